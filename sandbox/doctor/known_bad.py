"""Which calls must no tool let through? Known-bad ones, put to a tool's own gate and to nothing behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from sandbox.executors.http_requests import RequestMaker
from sandbox.executors.ready import ReadyTool
from sandbox.reasons import Reason, Refused
from sandbox.specs.arguments import Arguments
from sandbox.specs.inputs import types_of
from sandbox.sql import Bounds, folded
from sandbox.sql.dialects import DIALECTS
from sandbox.toolspec import Argument, HttpRequest, SqlEngine, ToolSpec
from sandbox.values import JsonObject, JsonValue

_EVERYWHERE: Final = {
    "delete": "DELETE FROM {table}",
    "update": "UPDATE {table} SET {column} = NULL",
    "insert": "INSERT INTO {table} ({column}) VALUES (NULL)",
    "drop": "DROP TABLE {table}",
    "create": "CREATE TABLE sandbox_made AS SELECT {column} FROM {table}",
    "a second statement": "SELECT {column} FROM {table}; DELETE FROM {table}",
    "a second statement behind a comment": "SELECT 1 /* ; */ ; -- ;\n DELETE FROM {table}",
    "a WITH that deletes": "WITH gone AS (DELETE FROM {table} RETURNING {column}) SELECT * FROM gone",
    "EXPLAIN of a delete": "EXPLAIN DELETE FROM {table}",
    "a transaction": "BEGIN",
    "a hidden column": "SELECT {hidden} FROM {table}",
    "a hidden column in a condition": "SELECT count(*) FROM {table} WHERE {hidden} IS NOT NULL",
    "a hidden column to sort by": "SELECT {column} FROM {table} ORDER BY {hidden}",
    "another table": "SELECT * FROM {other}",
    "another table that is only counted": "SELECT count(*) FROM {other}",
    "another table in a subquery": "SELECT {column} FROM {table} WHERE EXISTS (SELECT 1 FROM {other})",
}
_OF_ENGINES: Final[Mapping[SqlEngine, Mapping[str, str]]] = MappingProxyType(
    {
        "sqlite": {
            "the engine's catalogue": "SELECT * FROM sqlite_master",
            "a PRAGMA": "PRAGMA writable_schema = ON",
            "a PRAGMA as a table": "SELECT * FROM pragma_database_list",
            "another file": "ATTACH DATABASE 'sandbox.db' AS sandbox_attached",
            "a library": "SELECT load_extension('sandbox')",
            "reading a file": "SELECT readfile('/etc/hostname')",
            "writing a file": "SELECT writefile('sandbox', 'x')",
            "a copy of the file": "VACUUM INTO 'sandbox.db'",
        },
        "postgres": {
            "the engine's catalogue": "SELECT * FROM pg_catalog.pg_authid",
            "SELECT INTO": "SELECT {column} INTO sandbox_made FROM {table}",
            "row locks": "SELECT {column} FROM {table} FOR UPDATE",
            "an advisory lock": "SELECT pg_advisory_lock(1)",
            "a sequence": "SELECT nextval('sandbox_sequence')",
            "a notification": "SELECT pg_notify('sandbox', '')",
            "another role": "SET ROLE postgres",
            "a setting": "SELECT set_config('role', 'postgres', false)",
            "reading a file": "SELECT pg_read_file('/etc/hostname')",
            "a large object": "SELECT lo_from_bytea(0, 'x')",
            "a program": "COPY {table} TO PROGRAM 'true'",
            "SQL in a string": "SELECT query_to_xml('DELETE FROM {table}', true, true, '')",
            "a block of code": "DO $$ BEGIN END $$",
            "EXPLAIN ANALYZE": "EXPLAIN ANALYZE SELECT {column} FROM {table}",
            "waiting": "SELECT pg_sleep(60)",
            "ending a neighbour": "SELECT pg_terminate_backend(1)",
        },
    }
)
"""What is refused whatever a tool's rules are; `{hidden}` and `{other}` only where there is one."""
_HONEST: Final = "SELECT {column} FROM {table}"
_SINGLE: Final = frozenset({"string", "integer", "number", "boolean", "null"})
_UNKNOWN_ARGUMENT: Final = "sandbox_unknown"
_SEGMENTS: Final = ("", ".", "..", "a/b", "a\\b", "%2e%2e", "..;", "a%2fb", "a\r\nX-Sandbox: 1", "a\x00")
"""Texts that would be more, or less, than one segment of a path."""
_QUERY: Final = "1&sandbox=1#\r\nX-Sandbox: 1"


def sql_statements(tool: ReadyTool) -> Mapping[str, str]:
    """Return the known-bad statements of a tool by name, over its own tables, and over others that its target has."""
    known = {name: tool.catalogue.tables[name] for name in sorted(tool.confinement.tables)}
    if not known:
        return {}
    rules, dialect = tool.confinement.tables, tool.connection.dialect
    written = {"table": "", "column": "", "hidden": "", "other": ""}
    for name, shape in known.items():
        shown = {folded(column) for column in rules[name].columns}
        hidden = next((column.name for column in shape.columns if folded(column.name) not in shown), "")
        if not written["table"] or (hidden and not written["hidden"]):
            written |= {
                "table": DIALECTS[dialect].table_name(shape.name),
                "column": _column(dialect, rules[name].columns[0]),
                "hidden": hidden and _column(dialect, hidden),
            }
    others = (shape.name for name, shape in sorted(tool.catalogue.tables.items()) if name not in known)
    written["other"] = next((DIALECTS[dialect].table_name(other) for other in others), "")
    absent = [f"{{{key}}}" for key, value in written.items() if not value]
    texts = {**_EVERYWHERE, **_OF_ENGINES[dialect]}
    return {
        name: text.format_map(written) for name, text in texts.items() if not any(key in text for key in absent)
    } | {"": _HONEST.format_map(written)}


def slips_of_sql(tool: ReadyTool, bounds: Bounds) -> Iterator[str]:
    """Yield what the gate of a tool for model-written SQL let through, or refused though it is honest."""
    for name, text in sql_statements(tool).items():
        reason = _refusal(tool, text, bounds)
        if not name and reason is not None:
            yield f"the gate refuses a plain SELECT of the tool's own table ({reason.value})"
        elif name and (reason is None or not reason.value.startswith("SQL_")):
            yield f"the gate does not refuse {name}"


def slips_of_arguments(spec: ToolSpec) -> Iterator[str]:
    """Yield the arguments of a wrong shape that the tool's schema took."""
    arguments = Arguments.of(spec)
    if not _is_refused(arguments, {_UNKNOWN_ARGUMENT: 1}):
        yield "an argument that the tool does not have is taken"
    for name, schema in _properties(spec).items():
        if types_of(schema) <= _SINGLE and not _is_refused(arguments, {name: [{}]}):
            yield f"argument `{name}` takes a list, which it is not"


def slips_of_request(spec: ToolSpec, maker: RequestMaker) -> Iterator[str]:
    """Yield the places of an HTTP tool's request where an argument becomes more than one segment or value."""
    if spec.http is None:
        return
    honest = dict.fromkeys(_properties(spec), "1")
    for name in _in_path(spec.http.request):
        for text in _SEGMENTS:
            try:
                maker.plan({**honest, name: text})
            except Refused as refused:
                if refused.rule == "http/segment":
                    continue
            yield f"argument `{name}` leaves its segment of the path: {text!r}"
    for name in _in_query(spec.http.request):
        target = maker.plan({**honest, name: _QUERY}).target
        if any(character in target for character in "#\r\n ") or "&sandbox" in target:
            yield f"argument `{name}` leaves its value in the query"


def _column(dialect: SqlEngine, name: str) -> str:
    # WHY: names of a server's catalogue that would need quotes are not in it.
    return '"' + name.replace('"', '""') + '"' if dialect == "sqlite" else name


def _refusal(tool: ReadyTool, text: str, bounds: Bounds) -> Reason | None:
    try:
        tool.draft(text, bounds)
    except Refused as refused:
        return refused.reason
    return None


def _is_refused(arguments: Arguments, given: JsonObject) -> bool:
    try:
        arguments.check(dict(given))
    except Refused:
        return True
    return False


def _properties(spec: ToolSpec) -> Mapping[str, JsonValue]:
    properties = spec.input_schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _in_path(request: HttpRequest) -> list[str]:
    return [part.name for part in request.path if isinstance(part, Argument)]


def _in_query(request: HttpRequest) -> list[str]:
    return [value.name for _, value in request.query if isinstance(value, Argument)]
