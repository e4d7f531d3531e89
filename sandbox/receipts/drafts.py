"""What will the record of a call say? How the call ended, kept until the committer's thread makes the record of it.

Records are made there and not by the thread that took the call: a batch of them in one go costs less CPU than the same
ones made one by one between other work (docs/performance.md).
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias, assert_never, final

from msgspec import Struct

from sandbox.reasons import Effect, Reason, Refused
from sandbox.receipts.answers import abridged, explanation_payload, refusal_payload, result_payload
from sandbox.receipts.parts import RecordParts
from sandbox.receipts.payloads import SubjectKey
from sandbox.receipts.randomness import Draw
from sandbox.receipts.records import Entry, call_key, listed, with_payloads
from sandbox.receipts.running import RequestKey
from sandbox.stages import (
    AuthenticatedCall,
    AuthorizedCall,
    CallId,
    Explanation,
    HttpPlan,
    ReleasedResult,
    Truncation,
)
from sandbox.v1 import record_pb2
from sandbox.v1.record_pb2 import Record, Timings

_TRUNCATION: Final = {Truncation.NONE: 0, Truncation.ROWS: 1, Truncation.BYTES: 2}
_EFFECTS: Final = {
    Effect.UNSPECIFIED: record_pb2.EFFECT_UNSPECIFIED,
    Effect.NONE: record_pb2.EFFECT_NONE,
    Effect.DONE: record_pb2.EFFECT_DONE,
    Effect.UNKNOWN: record_pb2.EFFECT_UNKNOWN,
}
_MOST_US: Final = 2**32 - 1
"""Over an hour; `Timings` has 32 bits."""

LARGE_BYTES: Final = 64 * 1024
"""Contents beyond which a record is made by the thread that took the call: 1 MiB takes some 3 ms."""


@final
class Broke(Struct, frozen=True):
    """A call that ended with a fault."""

    payload: bytes
    """What a reviewer is told of it."""
    effect: Effect
    """Of a call that had begun."""


@final
class Begun(Struct, frozen=True):
    """A call with effects that is about to run."""


Ending: TypeAlias = "ReleasedResult | Explanation | Refused | Broke | Begun"
"""How far a call has come on record: a closed union, matched with `assert_never`."""


class _Said(NamedTuple):
    own: Record
    """What is not the same in other calls' records."""
    part: bytes
    """What all records of its plan, or of its tool, say."""
    contents: list[tuple[str, bytes]]
    """Payloads by role."""


@final
class CallDraft(Struct, frozen=True, kw_only=True):
    """The record of a call that has ended or is about to have effects, not made yet."""

    parts: RecordParts
    principal_part: bytes
    subject_key: SubjectKey
    call_id: CallId
    authenticated: AuthenticatedCall
    authorized: AuthorizedCall | None
    """What was permitted, if it came so far."""
    decided_at: float
    ended_at: float
    """`time.monotonic()` seconds, both."""
    wall_time_us: int
    """When it ended, since 1970 UTC."""
    request: RequestKey | None
    """A `request_id` that the answer stands for."""
    ending: Ending
    closes: int | None = None
    """The index of the call's intent, which holds what was asked; None of a call that had not begun."""
    forgets: bytes = b""
    """The key of the request that led to the intent, if it may be asked anew."""

    @property
    def is_large(self) -> bool:
        """Whether making it takes so long that others in its batch should not wait for it."""
        result = len(self.ending.body.rows_json) if isinstance(self.ending, ReleasedResult) else 0
        return result + len(self.authenticated.proposed.arguments_json) > LARGE_BYTES

    def entry(self, draw: Draw) -> Entry:
        """Make the record and encrypt its payloads."""
        own, part, contents = self._said()
        key = call_key(self.call_id)
        payloads = [self.subject_key.seal(role, content, key, draw) for role, content in contents]
        own.call_id = self.call_id
        own.wall_time_us = self.wall_time_us
        own.door = self.authenticated.proposed.door
        if self.closes is not None:
            own.kind = record_pb2.RECORD_KIND_OUTCOME
            own.about_index_plus_one = self.closes + 1
            own.effect = _EFFECTS[effect_of(self.ending)]
        return Entry(
            record=self.principal_part + part + with_payloads(own, payloads),
            call_id=key,
            token_digest=self.authenticated.principal.token_digest,
            payloads=payloads,
            request=self.request,
            opens=isinstance(self.ending, Begun),
            closes=self.closes,
            forgets=self.forgets,
        )

    def _said(self) -> _Said:
        match self.ending:
            case ReleasedResult() as released:
                return self._result(released)
            case Refused() as refused:
                return self._refusal(refused)
            case Explanation() as explanation:
                return self._explanation(explanation)
            case Broke(payload=payload):
                return self._fault(payload)
            case Begun():
                return self._intent()
            case _ as never:
                assert_never(never)

    def _result(self, released: ReleasedResult) -> _Said:
        executed, body = released.executed, released.body
        own = Record(
            kind=record_pb2.RECORD_KIND_READ,
            status=record_pb2.RECORD_STATUS_OK,
            lease_digest=executed.lease_digest,
            lease_expires_us=int((executed.lease_expires_at or 0) * 1e6),
            rows=body.row_count,
            bytes=len(body.rows_json),
            truncation=_TRUNCATION[body.truncation],
            timings=Timings(decide_us=self._us_until(self.decided_at), execute_us=min(executed.execute_us, _MOST_US)),
        )
        contents = [*self._asked(executed.authorized), ("result", result_payload(body))]
        return _Said(own, self.parts.of_plan(executed.authorized), contents)

    def _intent(self) -> _Said:
        own = Record(kind=record_pb2.RECORD_KIND_INTENT, timings=Timings(decide_us=self._us_until(self.decided_at)))
        return _Said(own, self._part_reached(), self._asked(self.authorized))

    def _explanation(self, explanation: Explanation) -> _Said:
        own = Record(
            kind=record_pb2.RECORD_KIND_EXPLANATION,
            status=record_pb2.RECORD_STATUS_OK,
            policy_rule_ids=listed(explanation.rule_ids),
            timings=Timings(decide_us=self._us_until(self.ended_at)),
        )
        contents = [
            ("arguments", self.authenticated.proposed.arguments_json),
            ("explanation", explanation_payload(explanation)),
        ]
        return _Said(own, self.parts.of_tool(self.authenticated.proposed.tool), contents)

    def _refusal(self, refused: Refused) -> _Said:
        own = Record(
            kind=record_pb2.RECORD_KIND_REFUSAL,
            status=record_pb2.RECORD_STATUS_REFUSED,
            reason=refused.reason.value,
            rule=refused.rule,
            timings=self._timings(),
        )
        # WHY: nothing of an unknown tool, whose name is what its caller typed.
        part = b"" if refused.reason is Reason.TOOL_UNKNOWN else self._part_reached()
        return _Said(own, part, self._abridged_with("refusal", refusal_payload(refused)))

    def _fault(self, payload: bytes) -> _Said:
        own = Record(kind=record_pb2.RECORD_KIND_READ, status=record_pb2.RECORD_STATUS_FAULT, timings=self._timings())
        return _Said(own, self._part_reached(), self._abridged_with("fault", payload))

    def _part_reached(self) -> bytes:
        """Return the record's part about the plan where one was permitted, else about the tool."""
        if self.authorized is not None:
            return self.parts.of_plan(self.authorized)
        return self.parts.of_tool(self.authenticated.proposed.tool)

    def _abridged_with(self, role: str, content: bytes) -> list[tuple[str, bytes]]:
        """Return the contents of a call without a result: what was asked, what was to run (if known), its end."""
        return [*((each, abridged(text)) for each, text in self._asked(self.authorized)), (role, content)]

    def _asked(self, authorized: AuthorizedCall | None) -> list[tuple[str, bytes]]:
        """Return what was asked and what was to run, if known; nothing where the intent's record holds it."""
        if self.closes is not None:
            return []
        statements = [] if authorized is None else _statements(authorized)
        return [("arguments", self.authenticated.proposed.arguments_json), *statements]

    def _timings(self) -> Timings:
        """Return how long a call without a result took, the engine's share apart if it came so far."""
        elapsed_us = self._us_until(self.ended_at)
        if self.authorized is None:
            return Timings(decide_us=elapsed_us)
        decide_us = self._us_until(self.decided_at)
        return Timings(decide_us=decide_us, execute_us=elapsed_us - decide_us)

    def _us_until(self, moment: float) -> int:
        """Return the microseconds from the request's arrival to a moment."""
        return min(max(int((moment - self.authenticated.proposed.received_at) * 1e6), 0), _MOST_US)


def effect_of(ending: Ending) -> Effect:
    """Return what is known of the effect of a call that had begun."""
    match ending:
        case ReleasedResult():
            return Effect.DONE
        case Refused(effect=effect) | Broke(effect=effect):
            return effect
        case Explanation() | Begun():
            return Effect.UNSPECIFIED
        case _ as never:
            assert_never(never)


def _statements(authorized: AuthorizedCall) -> list[tuple[str, bytes]]:
    """Return a model's statement and what was run of it, or a request; an author's is in its spec's leaf already."""
    plan = authorized.planned.plan
    if isinstance(plan, HttpPlan):
        return [("request", plan.request_to_send.encode())]
    if plan.proposed_sql is None:
        return []
    return [
        ("proposed_sql", plan.proposed_sql.encode("utf-8", "surrogatepass")),
        ("run_sql", plan.sql_to_run.encode("utf-8", "surrogatepass")),
    ]
