"""Which calls must no tool let through? Known-bad ones, put to a tool's own gate and to nothing behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from sandbox.executors.http_requests import RequestMaker
from sandbox.executors.ready import ReadyTool
from sandbox.reasons import Reason, Refused
from sandbox.settings import SqlSettings
from sandbox.specs.arguments import Arguments
from sandbox.specs.inputs import types_of
from sandbox.sql import folded
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
        "mysql": {
            "the engine's catalogue": "SELECT * FROM mysql.global_priv",
            "the catalogue's views": "SELECT * FROM information_schema.TABLES",
            "another database": "SELECT * FROM sandbox_own.claims_key",
            "an executable comment": "SELECT {column} FROM {table} /*! FOR UPDATE */",
            "MariaDB's executable comment": "SELECT {column} FROM {table} /*M! FOR UPDATE */",
            "row locks": "SELECT {column} FROM {table} FOR UPDATE",
            "shared row locks": "SELECT {column} FROM {table} LOCK IN SHARE MODE",
            "writing a file": "SELECT {column} FROM {table} INTO OUTFILE '/sandbox'",
            "reading a file": "SELECT load_file('/etc/hostname')",
            "a variable": "SELECT @sandbox_claims",
            "setting a variable": "SELECT @sandbox_claims := 'x'",
            "a system variable": "SELECT @@datadir",
            "a lock by name": "SELECT get_lock('sandbox', 0)",
            "a sequence": "SELECT nextval(sandbox_sequence)",
            "another role": "SET ROLE admin",
            "a setting": "SET SESSION sql_mode = 'ANSI_QUOTES'",
            "SQL in a string": "EXECUTE IMMEDIATE 'DELETE FROM {table}'",
            "a handler": "HANDLER {table} OPEN",
            "a description": "EXPLAIN SELECT {column} FROM {table}",
            "an XML error": "SELECT extractvalue('<a/>', concat('~', {column})) FROM {table}",
            "waiting": "SELECT sleep(60)",
            "ending a neighbour": "KILL 1",
        },
        "duckdb": {
            "the engine's catalogue": "SELECT * FROM duckdb_tables()",
            "the catalogue's views": "SELECT * FROM information_schema.tables",
            "a description": "SELECT * FROM (DESCRIBE {table})",
            "a PRAGMA": "PRAGMA database_list",
            "a file as a table": "SELECT * FROM '/etc/hostname'",
            "a file by a function": "SELECT * FROM read_text('/etc/hostname')",
            "another file": "ATTACH 'sandbox.duckdb' AS sandbox_attached",
            "a copy": "COPY {table} TO 'sandbox.csv'",
            "an extension": "INSTALL httpfs",
            "a setting": "SET enable_external_access = true",
            "a variable": "SELECT getvariable('sandbox')",
            "SQL in a string": "SELECT * FROM query('SELECT 1')",
            "a sequence": "SELECT nextval('sandbox_sequence')",
            "a pivot": "PIVOT {table} ON {column}",
            "waiting": "SELECT pg_sleep(60)",
        },
    }
)
"""What is refused whatever a tool's rules are; `{hidden}` and `{other}` only where there is one."""
_HONEST: Final = "SELECT {column} FROM {table}"
_HONEST_COUNT: Final = "SELECT count(*) FROM {table}"
"""Of a table whose columns are all for aggregates alone."""
_SINGLE: Final = frozenset({"string", "integer", "number", "boolean", "null"})
_UNKNOWN_ARGUMENT: Final = "sandbox_unknown"
_SEGMENTS: Final = ("", ".", "..", "a/b", "a\\b", "%2e%2e", "..;", "a%2fb", "a\r\nX-Sandbox: 1", "a\x00")
"""Texts that would be more, or less, than one segment of a path."""
_QUERY: Final = "1&sandbox=1#\r\nX-Sandbox: 1"


def sql_statements(tool: ReadyTool) -> Mapping[str, str]:
    """Return the known-bad statements of a tool by name, over its own tables, and over others that its target has."""
    words = _words(tool)
    texts = {**_EVERYWHERE, **_OF_ENGINES[tool.connection.dialect]}
    absent = [f"{{{word}}}" for word, written in words.items() if not written]
    return {name: text.format_map(words) for name, text in texts.items() if not any(word in text for word in absent)}


def slips_of_sql(tool: ReadyTool, bounds: SqlSettings) -> Iterator[str]:
    """Yield what the gate of a tool for model-written SQL let through, and whether it refuses what is honest."""
    for name, text in sql_statements(tool).items():
        reason = _refusal(tool, text, bounds)
        if reason is None or not reason.value.startswith("SQL_"):
            yield f"the gate does not refuse {name}"
    words = _words(tool)
    honest = _HONEST if words["column"] else _HONEST_COUNT
    if words["table"] and (reason := _refusal(tool, honest.format_map(words), bounds)) is not None:
        yield f"the gate refuses a plain SELECT of the tool's own table ({reason.value})"


def slips_of_arguments(spec: ToolSpec) -> Iterator[str]:
    """Yield the arguments that the tool's schema took and should not have."""
    arguments = Arguments.of(spec)
    good = next((example.call for example in spec.examples if _refused(arguments, example.call) is None), None)
    if good is None:  # no call is known to fit, so the schema has to say it itself
        if spec.input_schema.get("additionalProperties") is not False:
            yield "an argument that the tool does not have is taken"
        return
    if _refused(arguments, {**good, _UNKNOWN_ARGUMENT: 1}) is None:
        yield "an argument that the tool does not have is taken"
    for name, schema in _properties(spec).items():
        if types_of(schema) <= _SINGLE and _refused(arguments, {**good, name: [{}]}) is None:
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


def _words(tool: ReadyTool) -> Mapping[str, str]:
    """Return what stands for each word of a statement; empty for what the target or the tool does not have."""
    known = {name: tool.catalogue.tables[name] for name in sorted(tool.confinement.tables)}
    named, words = DIALECTS[tool.connection.dialect].table_name, {"table": "", "column": "", "hidden": "", "other": ""}
    for name, shape in known.items():
        shown = tool.confinement.tables[name].columns
        is_shown = {folded(column) for column in shown}
        hidden = next((column.name for column in shape.columns if folded(column.name) not in is_shown), "")
        if not words["column"] or (hidden and not words["hidden"]):
            guarded = tool.confinement.tables[name].aggregate_only
            column = next((column for column in shown if column not in guarded), "")
            words |= {
                "table": named(shape.name),
                "column": column and named(column),
                "hidden": hidden and named(hidden),
            }
    others = (shape.name for name, shape in sorted(tool.catalogue.tables.items()) if name not in known)
    return words | {"other": next(map(named, others), "")}


def _refusal(tool: ReadyTool, text: str, bounds: SqlSettings) -> Reason | None:
    try:
        tool.draft(text, bounds)
    except Refused as refused:
        return refused.reason
    return None


def _refused(arguments: Arguments, given: JsonObject) -> Refused | None:
    try:
        arguments.check(dict(given))
    except Refused as refused:
        return refused
    return None


def _properties(spec: ToolSpec) -> Mapping[str, JsonValue]:
    properties = spec.input_schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _in_path(request: HttpRequest) -> list[str]:
    return [part.name for part in request.path if isinstance(part, Argument)]


def _in_query(request: HttpRequest) -> list[str]:
    return [value.name for _, value in request.query if isinstance(value, Argument)]
