"""What runs a statement on a DuckDB file? A process made for it, which holds nothing else and is never used again.

The service starts this module once for each connection. It imports DuckDB, opens nothing and waits; for each statement
it forks a process, which opens the file read-only under a name nobody can guess, shuts itself in, lays a temporary view
under the name of each table that the statement reads, and runs the one statement. DuckDB has no privileges: the views,
the second reading of the text, the locked configuration and the limits of the process are all that confines a statement
beside the gate.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Final

import duckdb

from sandbox.confined.frames import (
    Column,
    Heading,
    Reply,
    Rows,
    Statement,
    Stopped,
    Table,
    Tables,
    Task,
    receive_task,
    send,
)

MEMORY: Final = "512MB"
"""What DuckDB may use for one statement."""
MAX_DATA: Final = 1536 * 1024 * 1024
"""What the process may have in all, for a list or text can be made beside what DuckDB counts."""
MAX_CPU_S: Final = 600
"""Beyond the longest time that a tool may have; the service ends statements, this ends what it could not."""
_BATCH: Final = 64
_FRAME_BYTES: Final = 256 * 1024
"""Texts and bytes of rows that are sent together."""

_CONFIGURATION: Final[Mapping[str, str | bool | int]] = {
    "threads": 1,
    "memory_limit": MEMORY,
    "temp_directory": "",  # a temporary file would hold rows unencrypted
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,  # else a table's name may be a variable of this very code
}

_TABLES: Final = """\
SELECT table_name, false FROM duckdb_tables() WHERE database_name = $file AND schema_name = 'main'
UNION ALL
SELECT view_name, true FROM duckdb_views() WHERE database_name = $file AND schema_name = 'main' AND NOT internal
ORDER BY 1"""
_COLUMNS: Final = """\
SELECT table_name, column_name, data_type FROM duckdb_columns()
WHERE database_name = $file AND schema_name = 'main' ORDER BY table_name, column_index"""
_FACTS: Final = """\
SELECT schema_name, table_name, sql FROM duckdb_tables() WHERE database_name = $file
UNION ALL SELECT schema_name, view_name, sql FROM duckdb_views() WHERE database_name = $file AND NOT internal
ORDER BY ALL"""
_MACROS: Final = """\
SELECT schema_name, function_name, macro_definition FROM duckdb_functions()
WHERE database_name = $file AND NOT internal ORDER BY ALL"""
"""Nothing but a view of the file can call one."""

_NATIVE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "integer"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "integer"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "real"),
    "BOOLEAN": "boolean",
    "VARCHAR": "text",
    "BLOB": "blob",
}
"""Types of a result; of all that are not here, the text that DuckDB writes."""
_WIDE: Final = frozenset({"HUGEINT", "UHUGEINT", "UBIGINT"})
"""Numbers that come as texts, for a frame holds none of more than 64 bits."""


class _Refuses(Exception):
    """The engine reads a statement as something that it may not be."""


class _RowTooLarge(Exception):
    """One row is longer than a whole result may be."""


_WORDS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (duckdb.OutOfMemoryException, "", "out_of_memory"),
    (MemoryError, "", "out_of_memory"),
    (duckdb.ConversionException, "", "type"),
    (duckdb.OutOfRangeException, "", "overflow"),
    (duckdb.BinderException, "Ambiguous", "ambiguous_column"),
    (duckdb.BinderException, "GROUP BY", "grouping"),
    (duckdb.BinderException, "aggregate", "misplaced_function"),
    (duckdb.BinderException, "window", "misplaced_function"),
    (duckdb.BinderException, "No function matches", "undefined_function"),
    (duckdb.BinderException, "not found", "stale"),
    (duckdb.BinderException, "does not have", "stale"),
    (duckdb.BinderException, "Set operations", "column_count"),
    (duckdb.BinderException, "", "type"),
    (duckdb.ParserException, "", "syntax"),
    (duckdb.CatalogException, "", "stale"),
    (duckdb.PermissionException, "", "stale"),
    (duckdb.InvalidInputException, "subquery", "cardinality"),
    (duckdb.InvalidInputException, "", "value"),
    (duckdb.NotImplementedException, "", "not_supported"),
    (UnicodeError, "", "not_unicode"),
    (_RowTooLarge, "", "row_too_large"),
)
"""An error's class, part of what the engine says, and the word for it."""


def main() -> None:
    """Fork a process for each connection that comes over the socket named by the first argument, until it closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever ends is gone, without a wait
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, 64)
    while True:
        try:
            word, fds, _, _ = socket.recv_fds(control, 1, 1)
        except InterruptedError:
            continue
        except OSError:
            word, fds = b"", []
        if not word or not fds:
            os.killpg(0, signal.SIGKILL)  # the service is gone, and with it all who wait for these processes
        _fork(control, socket.socket(fileno=fds[0]))


def _fork(control: socket.socket, connection: socket.socket) -> None:
    process = os.fork()
    if process == 0:
        control.close()
        with contextlib.suppress(Exception):
            _serve(connection)
        os._exit(0)
    with connection, contextlib.suppress(OSError):
        handle = os.pidfd_open(process)
        try:
            socket.send_fds(connection, [b"p"], [handle])
        finally:
            os.close(handle)


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))


def _serve(connection: socket.socket) -> None:
    _limit(resource.RLIMIT_DATA, MAX_DATA)
    _limit(resource.RLIMIT_CPU, MAX_CPU_S)
    database = duckdb.connect(
        ":memory:", config=dict(_CONFIGURATION)
    )  # most of the time a statement takes: ahead of it
    task = receive_task(connection)
    try:
        for reply in _replies(database, task):
            send(connection, reply)
    except _Refuses as refusal:
        send(connection, Stopped("stale", str(refusal)))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told as one word
        send(connection, Stopped(_word(error)))


def _word(error: Exception) -> str:
    said = str(error)
    return next((word for kind, part, word in _WORDS if isinstance(error, kind) and part in said), "other")


def _replies(database: duckdb.DuckDBPyConnection, task: Task) -> Iterator[Reply]:
    file = f"file_{secrets.token_hex(16)}"
    statement = task.statement
    try:
        _attach(database, task.path, file)
        found = _catalogue(database, file, is_whole=statement is None or _reads_view(statement))
    except (duckdb.Error, OSError, ValueError) as error:
        yield Stopped("unavailable", type(error).__name__)
        return
    if statement is None:
        yield found
        return
    if not _is_as_believed(found, statement):
        raise _Refuses("the catalogue has changed")
    _confine(database, file, statement)
    _hold_to(database, statement)
    yield from answer_of(database, statement.text, statement.parameters, statement.max_bytes)


def _attach(database: duckdb.DuckDBPyConnection, path: str, file: str) -> None:
    """Attach the file for reading, and nothing after it."""
    quoted = path.replace("'", "''")
    database.execute(f"ATTACH '{quoted}' AS {file} (READ_ONLY, TYPE duckdb)")
    database.execute("SET TimeZone = 'UTC'; SET enable_external_access = false")


def _catalogue(database: duckdb.DuckDBPyConnection, file: str, *, is_whole: bool) -> Tables:
    named = {"file": file}
    columns: dict[str, list[Column]] = {}
    for table, column, declared in database.execute(_COLUMNS, named).fetchall():
        columns.setdefault(table, []).append(Column(column, declared))
    tables = database.execute(_TABLES, named).fetchall()
    facts: list[object] = [columns]
    if is_whole:  # WHY: the macros alone take as long as all else
        facts += [database.execute(_FACTS, named).fetchall(), database.execute(_MACROS, named).fetchall()]
    return Tables(
        tuple(Table(name, bool(is_view), tuple(columns.get(name, ()))) for name, is_view in tables),
        hashlib.sha256(repr(facts).replace(file, "").encode("utf-8", "surrogatepass")).hexdigest(),
    )


def _is_as_believed(found: Tables, statement: Statement) -> bool:
    """Whether the tables that a statement reads are those that it was proven for."""
    believed = {view.table for view in statement.views}
    return believed <= set(found.tables) and (not _reads_view(statement) or found.fingerprint == statement.fingerprint)


def _reads_view(statement: Statement) -> bool:
    return any(view.table.is_view for view in statement.views)


def _confine(database: duckdb.DuckDBPyConnection, file: str, statement: Statement) -> None:
    """Lay a view under the name of each table, give the claims, and lock the rest."""
    private = f"claim_{secrets.token_hex(16)}_"
    for name, value in statement.claims.items():
        database.execute(f"SET VARIABLE {_name(private + name)} = $value", {"value": value})
    database.execute(f"CREATE TEMP MACRO claim(name) AS getvariable('{private}' || name)")
    for view in statement.views:
        where = f" WHERE ({view.row_filter})" if view.row_filter else ""
        name = _name(view.table.name)
        database.execute(f"CREATE TEMP VIEW {name} AS SELECT {view.columns} FROM {file}.main.{name}{where}")  # noqa: S608 - quoted names, a proven filter
    database.execute("SET lock_configuration = true")


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _hold_to(database: duckdb.DuckDBPyConnection, statement: Statement) -> None:
    """Refuse what DuckDB's own grammar does not read as one query of nothing but the tables and functions named."""
    texts = database.extract_statements(statement.text)
    if len(texts) != 1 or texts[0].type is not duckdb.StatementType.SELECT:
        raise _Refuses("not one SELECT")
    row = database.execute("SELECT json_serialize_sql($text)", {"text": statement.text}).fetchone()
    tree = json.loads(row[0]) if row else {}
    if tree.get("error", True) or len(tree["statements"]) != 1:
        raise _Refuses("no tree")
    tables: set[str] = set()
    made: set[str] = set()
    pending: list[object] = [tree["statements"][0]]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += node
        elif isinstance(node, dict):
            _look_at(node, statement, tables, made)
            pending += node.values()
    if not tables <= statement.relations | made:
        raise _Refuses("another table")


_SOURCES: Final = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "CTE", "COLUMN_DATA"}
)
_CLASSES: Final = frozenset(
    {
        *("FUNCTION", "COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "CAST", "CASE", "OPERATOR", "SUBQUERY"),
        *("WINDOW", "BETWEEN", "STAR", "COLLATE", "PARAMETER", "DEFAULT", "TYPE", "POSITIONAL_REFERENCE"),
        "LAMBDA",  # `a -> b` is one until it is bound
    }
)


def _look_at(node: Mapping[str, object], statement: Statement, tables: set[str], made: set[str]) -> None:
    """Note the tables of one node; raises `_Refuses` for what a statement may not hold."""
    kind, name = node.get("class"), str(node.get("function_name", "")).lower()
    if kind is not None and kind not in _CLASSES:
        raise _Refuses(f"an expression of class {kind}")
    if "function_name" in node and (name not in statement.functions or node.get("schema") or node.get("catalog")):
        raise _Refuses(f"the function {name}")
    if "table_name" in node and "schema_name" in node:
        if node["schema_name"] or node.get("catalog_name"):
            raise _Refuses("a table with a schema")
        tables.add(str(node["table_name"]).lower())
    if "sample" in node and "alias" in node and node.get("type") not in _SOURCES:
        raise _Refuses(f"a source of type {node.get('type')}")
    if isinstance(map_ := node.get("cte_map"), dict):
        made.update(str(entry["key"]).lower() for entry in map_.get("map", ()))


def answer_of(
    database: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, object], max_bytes: int
) -> Iterator[Heading | Rows]:
    """Run a query and yield its columns, then its rows, with the text that DuckDB writes for what is no plain value."""
    bound = dict(parameters)
    described = database.execute(f"DESCRIBE {text}", bound).fetchall()
    columns = tuple(Column(str(name), str(declared)) for name, declared, *_ in described)
    types = tuple(_NATIVE.get(column.declared_type, "") for column in columns)
    yield Heading(columns, tuple(one or "text" for one in types))
    is_plain = [bool(one) and column.declared_type not in _WIDE for one, column in zip(types, columns, strict=True)]
    if not all(is_plain):
        shown = ", ".join(f"#{at}" if one else f"CAST(#{at} AS VARCHAR)" for at, one in enumerate(is_plain, 1))
        text = f"SELECT {shown} FROM ({text})"  # noqa: S608 - the text that was proven
    cursor = database.execute(text, bound)
    while rows := cursor.fetchmany(_BATCH):
        yield from _framed(rows, max_bytes)
    yield Rows(())


def _framed(rows: list[tuple[object, ...]], max_bytes: int) -> Iterator[Rows]:
    """Send rows on, few enough together; a row longer than a whole result may be ends it."""
    kept: list[tuple[object, ...]] = []
    size = 0
    for row in rows:
        length = sum(len(cell) for cell in row if isinstance(cell, (str, bytes)))
        if length > max_bytes:
            raise _RowTooLarge
        kept.append(row)
        size += length
        if size > _FRAME_BYTES:
            yield Rows(tuple(kept))
            kept, size = [], 0
    if kept:
        yield Rows(tuple(kept))


if __name__ == "__main__":
    main()
