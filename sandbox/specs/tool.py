"""Is this file a tool? Reads one spec file, holds it to everything at once, and builds the only kind of `ToolSpec`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, final

from sandbox.problems import Mark, did_you_mean
from sandbox.reasons import Reason, Refused, quoted
from sandbox.settings import Settings
from sandbox.specs.access import read_allow, read_limits
from sandbox.specs.arguments import Arguments
from sandbox.specs.document import Shape, choice, comma_hint, fields, matching, sentence, text
from sandbox.specs.examples import read_examples
from sandbox.specs.findings import Findings, Rule
from sandbox.specs.http_spec import check_kind, read_exchange
from sandbox.specs.inputs import NO_INPUTS, Inputs, read_long_form, read_short_form, types_of
from sandbox.specs.live import Target, Targets, check_statement, gate_input, table_rules
from sandbox.specs.readable import readable
from sandbox.specs.yaml import Entries, Entry, Items, Node, Scalar, decoded, read_yaml
from sandbox.toolspec import Connection, Digest, Example, HttpTarget, TableRule, ToolLimits, ToolName, ToolSpec

FORMAT: Final = "tool/v1"
KEYS: Final = (
    "spec", "name", "version", "owner", "summary", "use_when", "kind", "effects", "connection", "input",
    "input_schema", "statement", "allow", "request", "response", "limits", "examples",
)  # fmt: skip
KINDS: Final = ("sql", "http")
LATER_KINDS: Final = ("python", "command", "mcp", "external")
EFFECTS: Final = ("read", "write")
MAX_SUMMARY: Final = 200
MAX_USE_WHEN: Final = 500
MAX_STATEMENT: Final = 64 * 1024
TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SEMVER_ID: Final = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
VERSION: Final = re.compile(
    rf"(?:0|[1-9][0-9]{{0,8}})(?:\.(?:0|[1-9][0-9]{{0,8}})){{2}}(?:-{_SEMVER_ID}(?:\.{_SEMVER_ID})*)?(?:\+[0-9A-Za-z.-]+)?"
)
OWNER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9.-]{1,190}|[A-Za-z0-9][A-Za-z0-9 ._/-]{0,99}")
_SCALAR_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "null"})
_TOOL: Final = Shape(
    "a tool spec", KEYS, ("spec", "name", "version", "owner", "summary", "kind", "effects", "connection")
)


@final
@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a spec is held to."""

    targets: Targets
    connection_names: frozenset[str]
    """Every name of `connections.toml`."""
    settings: Settings


@final
@dataclass(frozen=True, slots=True)
class ToolRead:
    """What one file gave."""

    findings: Findings
    spec: ToolSpec | None
    """None if anything is wrong."""
    name: str | None
    """Also of a spec that is wrong elsewhere."""
    name_mark: Mark


def read_tool(file: str, source: bytes, around: Surroundings) -> ToolRead:
    """Read one spec file, named `file` within `toolspecs/`; notes every problem in one pass."""
    findings = Findings(f"toolspecs/{file}")
    content = decoded(source, findings)
    node = None
    if content is not None:
        findings = Findings(f"toolspecs/{file}", content)
        node = read_yaml(content, findings)
    if node is None:
        return ToolRead(findings, None, None, Mark(0, 0))
    if not isinstance(node, Entries):
        message = "the file holds no mapping; a tool spec, key by key, is accepted"
        findings.add(Rule.TYPE, node.mark, message)
        return ToolRead(findings, None, None, node.mark)
    known = fields(node, _TOOL, findings)
    spec = _ToolReader(known, node, findings, around).read(file, source)
    mark = known["name"].node.mark if "name" in known else node.mark
    return ToolRead(findings, None if findings.problems else spec, spec.name or None, mark)


@final
class _ToolReader:
    """Takes the keys of one spec in their order."""

    def __init__(self, known: Mapping[str, Entry], node: Node, findings: Findings, around: Surroundings) -> None:
        self._known = known
        self._node = node
        self._findings = findings
        self._around = around
        self._connection_name = ""
        self._name = ""

    def read(self, file: str, source: bytes) -> ToolSpec:
        """Return the spec; it counts only if nothing was found."""
        self._name = self._matching("name", TOOL_NAME, "1 to 128 of `A-Z a-z 0-9 _ . -`")
        kind, effects = self._header()
        before = len(self._findings.problems)
        inputs = self._inputs()
        has_good_inputs = len(self._findings.problems) == before
        check_kind(self._known, self._node, kind, self._findings)
        connection = self._connection(kind)
        http = read_exchange(self._known, inputs, connection, effects, self._findings) if kind == "http" else None
        statement = self._statement() if kind == "sql" else None
        self._check_sql(kind, inputs, statement, effects)
        limits = self._limits(kind)
        examples = self._examples(inputs if has_good_inputs else None)
        tables = self._tables(connection, inputs, statement) if kind == "sql" else MappingProxyType({})
        return ToolSpec(
            name=ToolName(self._name),
            version=self._matching("version", VERSION, "a semantic version such as `1.2.0`"),
            owner=self._matching("owner", OWNER, "an e-mail address or a team's name"),
            summary=self._sentence("summary", MAX_SUMMARY),
            use_when=self._sentence("use_when", MAX_USE_WHEN),
            kind=kind,
            effects=effects,
            connection=self._connection_name,
            input_schema=inputs.schema,
            sql_argument=inputs.sql_arguments[0] if inputs.sql_arguments else None,
            statement=None if statement is None else str(statement.value),
            tables=tables,
            limits=limits,
            examples=examples,
            file=file,
            source=source,
            digest=Digest(hashlib.sha256(source).hexdigest()),
            http=http,
            may_read=self._may_read(connection, inputs, tables),
        )

    def _at(self, key: str) -> Node | None:
        return self._known[key].node if key in self._known else None

    def _matching(self, key: str, pattern: re.Pattern[str], accepted: str) -> str:
        node = self._at(key)
        return "" if node is None else matching(node, pattern, accepted, self._findings) or ""

    def _sentence(self, key: str, most: int) -> str:
        node = self._at(key)
        return "" if node is None else sentence(node, self._findings, most=most) or ""

    def _header(self) -> tuple[Literal["sql", "http"], Literal["read", "write"]]:
        """Return the tool's kind and effects; what cannot be read counts as `sql` and `read`."""
        chosen: dict[str, str | None] = {}
        for key, options, later in (("spec", (FORMAT,), ()), ("kind", KINDS, LATER_KINDS), ("effects", EFFECTS, ())):
            node = self._at(key)
            chosen[key] = None if node is None else choice(node, options, self._findings, later=later)
        return "http" if chosen["kind"] == "http" else "sql", "write" if chosen["effects"] == "write" else "read"

    def _inputs(self) -> Inputs:
        short, long = self._at("input"), self._at("input_schema")
        if short is not None and long is not None:
            message = "both `input` and `input_schema` say what the arguments are; one of them is accepted"
            self._findings.add(Rule.KIND_OF_TOOL, self._known["input_schema"].mark, message)
        if short is not None:
            return read_short_form(short, self._findings)
        return read_long_form(long, self._findings) if long is not None else NO_INPUTS

    def _statement(self) -> Scalar | None:
        node = self._at("statement")
        if node is None or text(node, self._findings, most=MAX_STATEMENT, accepted="one SQL `SELECT`") is None:
            return None
        return node if isinstance(node, Scalar) else None

    def _check_sql(self, kind: str, inputs: Inputs, statement: Scalar | None, effects: str) -> None:
        add, written = self._findings.add, inputs.sql_arguments
        if kind == "http":
            if written:
                add(
                    Rule.KIND_OF_TOOL,
                    inputs.marks[written[0]],
                    "a tool of `kind: http` takes no argument of type `sql`",
                )
            return
        if effects == "write":
            add(Rule.EFFECTS, self._known["effects"].node.mark, "SQL is always read; `effects: read` is accepted")
        if len(written) > 1:
            message = f"{len(written)} arguments of type `sql`; a tool takes one"
            add(Rule.KIND_OF_TOOL, inputs.marks[written[1]], message)
        if "statement" in self._known and written:
            message = "the tool has a `statement` and takes SQL as an argument; one of both is accepted"
            add(Rule.KIND_OF_TOOL, self._known["statement"].mark, message)
        if "statement" not in self._known and not written and not self._has_broken_inputs(inputs):
            message = "the tool has no SQL; a `statement`, or one argument of type `sql`, is accepted"
            add(Rule.KIND_OF_TOOL, self._node.mark, message)
        if written and "allow" not in self._known:
            message = "a model writes this tool's SQL, so the key `allow` must name the tables and columns it may read"
            add(Rule.MISSING_KEY, self._node.mark, message)
        if statement is not None:
            self._check_parameters(inputs)

    def _has_broken_inputs(self, inputs: Inputs) -> bool:
        """Whether the arguments could not be read, so that their kinds are unknown."""
        is_stated = "input" in self._known or "input_schema" in self._known
        return is_stated and bool(self._findings.problems) and not inputs.sql_arguments

    def _check_parameters(self, inputs: Inputs) -> None:
        properties = inputs.schema.get("properties")
        for name, schema in properties.items() if isinstance(properties, Mapping) else ():
            if not types_of(schema) <= _SCALAR_TYPES:
                message = (
                    f"argument {quoted(name)} is no single value; a statement's arguments are text, numbers or booleans"
                )
                self._findings.add(Rule.SCHEMA, inputs.marks[name], message)

    def _connection(self, kind: str) -> Connection | None:
        """Return the connection if it is sound and of the tool's kind."""
        node = self._at("connection")
        name = text(node, self._findings, most=64, accepted="a connection's name") if node is not None else None
        if node is None or name is None:
            return None
        self._connection_name = name
        if name not in self._around.connection_names:
            hint = did_you_mean(name, self._around.connection_names)
            message = f"`connections.toml` has no connection {quoted(name)}{hint}"
            self._findings.add(Rule.UNKNOWN_CONNECTION, node.mark, message)
        connection = self._around.targets.connection(name)
        if connection is not None and (kind == "http") != isinstance(connection.target, HttpTarget):
            message = f"connection {quoted(name)} is of engine {quoted(connection.engine)}; a tool of `kind: {kind}`"
            other = "needs one of engine `http`" if kind == "http" else "needs a database"
            self._findings.add(Rule.KIND_OF_TOOL, node.mark, f"{message} {other}")
            return None
        if connection is not None and self._name and not connection.admits(self._name):
            message = f"tool {quoted(self._name)} is outside the ceiling of connection {quoted(name)}"
            self._findings.add(Rule.CEILING, node.mark, f"{message}; its operator can widen it")
        return connection

    def _limits(self, kind: str) -> ToolLimits:
        node = self._at("limits")
        if node is None:
            return ToolLimits()
        for entry in node.entries if isinstance(node, Entries) and kind == "sql" else ():
            if entry.key == "max_response_bytes":
                message = "`max_response_bytes` bounds an HTTP answer; `max_bytes` bounds the rows of SQL"
                self._findings.add(Rule.KIND_OF_TOOL, entry.mark, message)
        return read_limits(node, self._findings, self._around.settings.server.max_message_bytes)

    def _examples(self, inputs: Inputs | None) -> tuple[Example, ...]:
        node = self._at("examples")
        if node is None:
            return ()
        before = len(self._findings.problems)
        examples = read_examples(node, self._findings)
        if inputs is not None and len(self._findings.problems) == before and isinstance(node, Items):
            for example, item in zip(examples, node.nodes, strict=True):
                self._check_call(example, item, inputs)
        return examples

    def _check_call(self, example: Example, item: Node, inputs: Inputs) -> None:
        """Note an example whose arguments do not fit, unless it says so itself."""
        if example.expected_refusal == Reason.ARGUMENT_INVALID:
            return
        try:
            Arguments(inputs.schema).check(dict(example.call))
        except Refused as refused:
            message = f"the example's `call` does not fit the tool: {refused.message}{self._cut_call(item)}"
            self._findings.add(Rule.EXAMPLE, item.mark, message)

    def _cut_call(self, item: Node) -> str:
        """Return a hint if a comma has cut one of the call's values."""
        known = {entry.key: entry.node for entry in item.entries} if isinstance(item, Entries) else {}
        call = known.get("call")
        hints = [comma_hint(entry, self._findings) for entry in call.entries] if isinstance(call, Entries) else []
        return next(filter(None, hints), "")

    def _tables(
        self, connection: Connection | None, inputs: Inputs, statement: Scalar | None
    ) -> Mapping[str, TableRule]:
        allow = self._at("allow")
        drafts = read_allow(allow, self._findings) if allow is not None else ()
        if connection is None:
            return MappingProxyType({})
        target = self._around.targets.at(connection.name, self._known["connection"].node.mark, self._findings)
        if target is None:
            return MappingProxyType({})
        before = len(self._findings.problems)
        rules = table_rules(drafts, target, self._findings)
        if len(self._findings.problems) > before:
            return rules  # what the statement may not read for want of a rule is told there
        if statement is not None and not inputs.sql_arguments:
            self._prove(statement, inputs, rules, target)
        return rules

    def _may_read(self, connection: Connection | None, inputs: Inputs, tables: Mapping[str, TableRule]) -> str:
        if connection is None or not (inputs.sql_arguments and tables):
            return ""
        return readable(connection.dialect, tables.values(), self._around.settings.sql.min_group_size)

    def _prove(self, statement: Scalar, inputs: Inputs, rules: Mapping[str, TableRule], target: Target) -> None:
        is_bounded = "allow" in self._known
        reach = rules if is_bounded else target.ceiling_rules()
        given = gate_input(statement, frozenset(inputs.marks), reach, target, self._around.settings.sql)
        check_statement(statement, inputs, given, self._findings, None if is_bounded else target)
