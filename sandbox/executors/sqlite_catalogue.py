"""Which tables and columns does a SQLite file have, and who opens it? Read-only, whatever happens."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql import Catalogue, ColumnShape, TableShape, folded
from sandbox.toolspec import Digest

BUSY_S: Final = 1.0
"""How long to wait for a writer that holds the whole file; with a write-ahead log none does."""

MAX_PREPARED: Final = 32
"""Statements that one connection keeps prepared."""

_TABLES: Final = (
    "SELECT name, type, wr FROM pragma_table_list WHERE schema = ?1 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)
_COLUMNS: Final = "SELECT name, type, hidden, pk FROM pragma_table_xinfo(?1, ?2) ORDER BY cid"
_HAS_KEY_INDEX: Final = "SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1, ?2) WHERE origin = 'pk')"
"""Only the row's number needs none (https://sqlite.org/lang_createtable.html#rowid)."""


def open_file(path: str) -> tuple[apsw.Connection, str]:
    """Open a database file for reading, under a schema name that nobody can guess; returns both.

    The connection's `main` is an empty database in memory, so no statement can name a table of the file as
    `main.orders`. Raises `Refused` with `EXECUTOR_UNAVAILABLE`.
    """
    schema = f"file_{secrets.token_hex(16)}"
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(":memory:", flags=flags, statementcachesize=MAX_PREPARED)
    try:
        connection.set_busy_timeout(int(BUSY_S * 1000))
        connection.execute(f"ATTACH ? AS {schema}", (f"file:{quote(str(Path(path).absolute()))}?mode=ro",))
        connection.execute(f"SELECT 1 FROM {schema}.sqlite_schema LIMIT 1").fetchall()  # noqa: S608 - our own name
    except (apsw.Error, ValueError) as error:
        connection.close()
        raise unavailable(path) from error
    return connection, schema


def unavailable(path: str) -> Refused:
    """Return the refusal for a file that cannot be read now."""
    name = quoted(Path(path).name)
    message = f"the database {name} cannot be read now: missing, locked or damaged; the operator can tell more"
    return Refused(Reason.EXECUTOR_UNAVAILABLE, message)


def read_file_catalogue(path: str) -> Catalogue:
    """Read the catalogue of a database file; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
    database, schema = open_file(path)
    found: list[TableShape | None] = []
    facts = ""
    try:
        with database:  # one snapshot
            tables = database.execute(_TABLES, (schema,)).fetchall()
            found += [_shape(database, schema, str(name), str(kind), has_rowid=not wr) for name, kind, wr in tables]
            objects = f"SELECT type, name, tbl_name, sql FROM {schema}.sqlite_schema ORDER BY type, name"  # noqa: S608 - our own name
            facts = repr(database.execute(objects).fetchall())
    except apsw.Error as error:
        raise unavailable(path) from error
    finally:
        database.close()
    fingerprint = Digest(hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest())
    return Catalogue({folded(shape.name): shape for shape in found if shape}, fingerprint)


def _shape(database: apsw.Connection, schema: str, name: str, kind: str, *, has_rowid: bool) -> TableShape | None:
    """Return a table's shape; None for a view that reads what is no longer there, which nothing can read."""
    try:
        described = database.execute(_COLUMNS, (name, schema)).fetchall()
        has_key_index = bool(database.execute(_HAS_KEY_INDEX, (name, schema)).get)
    except apsw.SQLError:
        return None
    is_view = kind == "view"
    is_numbered = has_rowid and not is_view and not has_key_index
    columns = tuple(
        ColumnShape(str(column), str(declared), is_hidden=hidden == 1, is_row_number=is_numbered and pk == 1)
        for column, declared, hidden, pk in described
    )
    return TableShape(name, columns, "view" if is_view else "table", has_rowid=has_rowid and not is_view)
