"""Is it a call the specs know, in the caller's scope? The adapter behind `pipeline.Specs`, for one generation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, final

import orjson

from sandbox.problems import did_you_mean
from sandbox.reasons import ASK_LATER, Reason, Refused, quoted
from sandbox.settings import ArgumentSettings
from sandbox.specs.arguments import Arguments, parse_arguments
from sandbox.specs.result_schema import result_schema
from sandbox.stages import AuthenticatedCall, Principal, ValidatedCall
from sandbox.toolspec import ToolName, ToolSpec

MAX_SCOPES: Final = 1_024
"""Sets of scope patterns remembered; tokens of one kind share one."""
AWAY_RETRY_S: Final = 60.0
"""Within which a database that is away is looked for again."""
MAX_SUGGESTED_FROM: Final = 200
"""Names compared for a suggestion: comparing is the dearest part of refusing an unknown tool."""


@final
@dataclass(frozen=True, slots=True)
class _Tool:
    """A spec with what every call of it needs."""

    spec: ToolSpec
    arguments: Arguments
    input_schema_json: str
    output_schema_json: str


@final
@dataclass(frozen=True, slots=True)
class _Scope:
    """What one set of patterns shows."""

    tools: Mapping[str, _Tool]
    specs: Mapping[ToolName, ToolSpec]
    """In name order."""


@final
class Specs:
    """The tools of one generation, each as far as a caller's scope shows it."""

    def __init__(
        self,
        tools: Mapping[ToolName, ToolSpec],
        settings: ArgumentSettings,
        unserved: Collection[ToolName] = (),
        away: Collection[ToolName] = (),
    ) -> None:
        """Compile every spec of `tools` but those `unserved`, which are there and refused; a reload makes a new one.

        Of those, the ones that are `away` are unserved until their server can be asked, and callers may ask again.
        """
        served = {name: tools[name] for name in sorted(tools) if name not in unserved}
        self.tools: Mapping[ToolName, ToolSpec] = MappingProxyType(served)
        self._unserved = frozenset(map(str, unserved))
        self._away = frozenset(map(str, away))
        self._bounds = settings
        self._compiled: Mapping[str, _Tool] = {name: _compiled(spec) for name, spec in self.tools.items()}
        self._scopes: dict[tuple[str, ...], _Scope] = {}

    def validate(self, authenticated: AuthenticatedCall) -> ValidatedCall:
        """Find the tool and check every argument against its spec."""
        proposed = authenticated.proposed
        tool = self._find(authenticated.principal, proposed.tool)
        arguments = parse_arguments(proposed.arguments_json, self._bounds)
        tool.arguments.check(arguments)
        return ValidatedCall(authenticated=authenticated, spec=tool.spec, arguments=arguments)

    def visible(self, principal: Principal) -> Mapping[ToolName, ToolSpec]:
        """The tools within the principal's scope, in name order."""
        return self._scope(principal).specs

    def find(self, principal: Principal, name: str) -> ToolSpec:
        """One tool in scope; raise `Refused` with `TOOL_UNKNOWN` for any other name."""
        return self._find(principal, name).spec

    def input_schema_json(self, spec: ToolSpec) -> str:
        """The JSON Schema of the tool's arguments."""
        return self._compiled[spec.name].input_schema_json

    def output_schema_json(self, spec: ToolSpec) -> str:
        """The JSON Schema of the tool's result."""
        return self._compiled[spec.name].output_schema_json

    def _find(self, principal: Principal, name: str) -> _Tool:
        scope = self._scopes.get(principal.tools) or self._scope(principal)
        tool = scope.tools.get(name)
        if tool is None:
            raise self._not_served(principal, name, scope)
        return tool

    def _not_served(self, principal: Principal, name: str, scope: _Scope) -> Refused:
        """Refuse a name that no served tool of the scope has.

        # INVARIANT: the sentence depends on the name and on what is in scope, never on what else exists.
        """
        if name in self._unserved and _is_in_scope(name, principal.tools):
            return self._unfit(name)
        near = list(scope.tools)[:MAX_SUGGESTED_FROM]
        hint = did_you_mean(name, near) if len(name) <= 128 else ""
        return Refused(
            Reason.TOOL_UNKNOWN,
            f"there is no tool {quoted(name)} within the token's scope{hint}",
            rule="tools/unknown",
            tool=quoted(name)[1:-1],
        )

    def _unfit(self, name: str) -> Refused:
        told, delay_s = f"the tool {quoted(name)} did not pass its self-test, so it is not served now", 0.0
        if name in self._away:
            told = f"the tool {quoted(name)} is not served while its database cannot be asked; it will be once it can"
            delay_s = AWAY_RETRY_S
        message = f"{told}; {ASK_LATER}"
        return Refused(Reason.EXECUTOR_UNAVAILABLE, message, rule="tools/self-test", retry_after_s=delay_s)

    def _scope(self, principal: Principal) -> _Scope:
        patterns = principal.tools
        known = self._scopes.get(patterns)
        if known is not None:
            return known
        tools = {name: tool for name, tool in self._compiled.items() if _is_in_scope(name, patterns)}
        scope = _Scope(tools, MappingProxyType({tool.spec.name: tool.spec for tool in tools.values()}))
        if len(self._scopes) >= MAX_SCOPES:
            self._scopes.clear()
        self._scopes[patterns] = scope
        return scope


def _compiled(spec: ToolSpec) -> _Tool:
    return _Tool(
        spec, Arguments.of(spec), tool_input_schema_json(spec), orjson.dumps(result_schema(spec)).decode()
    )  # fmt: skip


def tool_input_schema_json(spec: ToolSpec) -> str:
    """The JSON Schema of a tool's arguments, as agents see it; the one that takes SQL says what it may read."""
    schema, named = spec.input_schema, spec.sql_argument
    properties = schema.get("properties")
    argument = properties.get(named) if isinstance(properties, Mapping) and named is not None else None
    if spec.may_read and isinstance(properties, Mapping) and isinstance(argument, Mapping):
        said = str(argument.get("description", "One SELECT statement")).rstrip(". ")
        told = {**argument, "description": f"{said}. {spec.may_read}"}
        schema = {**schema, "properties": {**properties, str(named): told}}
    return orjson.dumps(schema).decode()


def _is_in_scope(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
