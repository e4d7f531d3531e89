"""What would a call do, here and now, without a client? Calls in this process, for `sandbox test` and `sql check`.

A trial call takes the whole pipeline with a token minted for one minute: no stage is skipped, none is loosened but,
where asked for, the rates.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

import orjson

from sandbox.app import House, Read, read_whole
from sandbox.deployment import Deployment, Misconfigured, read_private
from sandbox.executors import read_catalogue
from sandbox.identity.issuer import mint
from sandbox.identity.pki import self_signed_certificate, thumbprint
from sandbox.pipeline import Pipeline
from sandbox.policy import CedarPolicy, load_policies, load_policies_about
from sandbox.problems import Problem, counted, did_you_mean
from sandbox.reasons import Refused, quoted
from sandbox.settings import Settings
from sandbox.specs import SpecSet, load_one_spec
from sandbox.stages import (
    Action,
    Cancellation,
    Credential,
    ProposedCall,
    ResultBody,
    SealedResult,
    SqlPlan,
    ValidatedCall,
)
from sandbox.toolspec import Connection, Example, ToolName, ToolSpec
from sandbox.values import JsonObject

TOKEN_LIFE_S: Final = 60
DOOR: Final = "local"


class _NoLimits:
    """Rates and concurrency that never run out, for checks that spend none."""

    def spend(self, validated: ValidatedCall, *, is_answered: bool) -> AbstractContextManager[None]:  # noqa: ARG002 - the Protocol's parameters
        """Charge nothing."""
        return nullcontext()


@final
class Trial:
    """Calls in this process, over an open house."""

    def __init__(self, house: House, subject: str, *, is_unlimited: bool) -> None:
        """Make calls as `subject`."""
        self._house = house
        self._subject = subject
        self._certificate = self_signed_certificate(subject)
        self._token_key = read_private(house.deployment.keys / "token.key")
        pipeline = house.pipeline
        self._pipeline: Pipeline = dataclasses.replace(pipeline, limits=_NoLimits()) if is_unlimited else pipeline

    def must_take_sql(self, tool: str) -> None:
        """Raise `Misconfigured` unless the tool exists and takes model-written SQL."""
        self.must_serve(tool)
        spec = self._spec(tool)
        if spec.sql_argument is None:
            raise Misconfigured(f"tool {quoted(tool)} takes no SQL from its caller to check")

    def tools(self) -> Mapping[ToolName, ToolSpec]:
        """Return the deployment's tools."""
        return self._house.loaded.specs.tools

    def plan(self, tool: str, sql: str, claims: JsonObject) -> SqlPlan:
        """Take `sql` through the gate alone; raises `Refused`."""
        return self._house.loaded.executors.plan_sql(self._spec(tool), sql, claims)

    def call_sql(self, tool: str, sql: str, claims: JsonObject) -> SealedResult:
        """Call a tool that takes model-written SQL."""
        return self.call(tool, {self._spec(tool).sql_argument or "": sql}, claims)

    def call(self, tool: str, arguments: JsonObject, claims: JsonObject) -> SealedResult:
        """Take a call through the whole pipeline."""
        sealing = self._pipeline.run(
            ProposedCall(
                door=DOOR,
                credential=Credential(self._certificate, self._token(claims)),
                tool=tool,
                arguments_json=orjson.dumps(arguments),
                request_id="",
                validate_only=False,
                cancellation=Cancellation(),
                received_at=time.monotonic(),
            )
        )
        return sealing.wait()

    def _token(self, claims: JsonObject) -> str:
        own = dict(claims)
        roles = own.pop("roles", ["agent"])
        return mint(
            self._token_key,
            self._house.settings.identity,
            subject=self._subject,
            certificate_thumbprint=thumbprint(self._certificate),
            roles=[str(role) for role in roles] if isinstance(roles, list) else [str(roles)],
            claims=own,
            lifetime_s=TOKEN_LIFE_S,
        )

    def must_serve(self, tool: str) -> None:
        """Raise `Misconfigured` if the tool, or of all any where none is named, did not pass its self-test."""
        for name, failures in self._house.loaded.unserved.items():
            if tool in {"", name}:
                raise Misconfigured(f"tool {quoted(name)} did not pass its self-test: {failures[0]}")

    def _spec(self, tool: str) -> ToolSpec:
        for name, spec in self.tools().items():
            if name == tool:
                return spec
        known = sorted(self.tools())
        hint = did_you_mean(tool, known) or f"; this deployment has {', '.join(known) or 'none'}"
        raise Misconfigured(f"there is no tool {quoted(tool)}{hint}")


def _as_set(settings: Settings) -> Settings:
    return settings


def _unlimited(settings: Settings) -> Settings:
    """Let nothing that is charged across tools run out either: cold parses, refusals with a record of their own."""
    most = {"cold_parses_per_second": 100_000, "cold_parse_burst": 100_000, "recorded_refusals_per_minute": 1_000_000}
    return settings.model_copy(update={"limits": settings.limits.model_copy(update=most)})


@contextmanager
def opened_trial(
    root: Path, *, subject: str, is_unlimited: bool, state_elsewhere: Path | None = None, read: Read = read_whole
) -> Iterator[Trial]:
    """Open a deployment for trial calls; their records go to its log, or to one in `state_elsewhere`."""
    house = House.open(root, _unlimited if is_unlimited else _as_set, state_elsewhere=state_elsewhere, read=read)
    try:
        yield Trial(house, subject, is_unlimited=is_unlimited)
    finally:
        house.close()


@final
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExampleOutcome:
    """How one example went."""

    tool: str
    place: str
    """`toolspecs/FILE:LINE`."""
    expected: str
    found: str

    @property
    def is_as_expected(self) -> bool:
        """Whether it holds."""
        return self.expected == self.found

    def as_json(self) -> JsonObject:
        """Return the outcome for `--json`."""
        return {
            "tool": self.tool,
            "place": self.place,
            "ok": self.is_as_expected,
            "expected": self.expected,
            "found": self.found,
        }


@final
@dataclasses.dataclass(frozen=True, slots=True)
class Tested:
    """How the examples went."""

    outcomes: tuple[ExampleOutcome, ...]
    others: tuple[Problem, ...]
    """What is wrong with specs that were not asked for."""
    not_run: tuple[str, ...] = ()
    """Tools whose examples were left out, because calling them has effects."""


def run_examples(root: Path, tool: str, *, with_effects: bool = False) -> Tested:
    """Run the examples of one tool, or of all, with a log in a temporary folder.

    Examples are calls of the real targets, so those of tools with effects are left out unless `with_effects`.
    Of all, every spec must pass lint; of one, that one: it is tested beside whichever others do.
    """
    outcomes: list[ExampleOutcome] = []
    one = _OneTool(tool)
    with (
        TemporaryDirectory(prefix="sandbox-test-") as state,
        opened_trial(
            root,
            subject="sandbox-test",
            is_unlimited=True,
            state_elsewhere=Path(state),
            read=one.read if tool else read_whole,
        ) as trial,
    ):
        trial.must_serve(tool)
        specs = [spec for name, spec in trial.tools().items() if tool in {"", name}]
        left_out = [spec for spec in specs if spec.effects == "write" and not with_effects]
        for spec in specs:
            if spec not in left_out:
                outcomes += [_outcome(trial, spec, example) for example in spec.examples]
    return Tested(tuple(outcomes), one.others, tuple(spec.name for spec in left_out if spec.examples))


@final
class _OneTool:
    """Reads what one tool's trial needs; remembers what is wrong with the others."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.others: tuple[Problem, ...] = ()

    def read(
        self, deployment: Deployment, connections: Mapping[str, Connection], settings: Settings
    ) -> tuple[SpecSet, CedarPolicy]:
        specs, self.others = load_one_spec(deployment, connections, read_catalogue, settings, self._name)
        if not self.others:
            return specs, load_policies(deployment.policies, specs.tools)
        running = frozenset({f"{Action.EXECUTE.value}:{self._name}"})
        return specs, load_policies_about(deployment.policies, running, specs.tools)


def _outcome(trial: Trial, spec: ToolSpec, example: Example) -> ExampleOutcome:
    sealed = trial.call(spec.name, example.call, example.claims)
    expected, found = _compared(example, sealed)
    place = f"toolspecs/{spec.file}:{example.line}"
    return ExampleOutcome(tool=spec.name, place=place, expected=expected, found=found)


def _compared(example: Example, sealed: SealedResult) -> tuple[str, str]:
    answer = sealed.answer
    if example.expected_refusal is not None:
        expected = f"refused {example.expected_refusal}"
    elif example.expected_rows is not None:
        expected = "rows " + json.dumps(example.expected_rows)
    elif example.expected_row_count is not None:
        expected = counted(example.expected_row_count, "row")
    else:
        expected = "a result"
    match answer:
        case Refused() as refused:
            found = f"refused {refused.reason.value}"
            return expected, found if found == expected else f"{found}: {refused.message}"
        case ResultBody() as body:
            return expected, _found(example, body)
        case _:
            return expected, "no answer"


def _found(example: Example, body: ResultBody) -> str:
    if example.expected_rows is not None:
        return "rows " + json.dumps(json.loads(body.rows_json))
    return counted(body.row_count, "row") if example.expected_row_count is not None else "a result"
