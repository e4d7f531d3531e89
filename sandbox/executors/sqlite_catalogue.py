"""Which tables and columns does a SQLite file have? Read once a generation, never while a call is planned."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

import apsw

from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql.catalogue import Catalogue, ColumnShape, TableShape, folded
from sandbox.toolspec import Connection, Digest

_OBJECTS = "SELECT type, name, tbl_name, coalesce(sql, '') FROM main.sqlite_schema ORDER BY type, name"
_TABLES = "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND substr(name, 1, 7) <> 'sqlite_'"
_COLUMNS = "SELECT name, type, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid"


def open_read_only(path: str) -> apsw.Connection:
    """Open a database file that is not written, whatever happens; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
    uri = f"file:{quote(str(Path(path).absolute()))}?mode=ro"
    try:
        connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        connection.set_busy_timeout(1000)
        connection.execute("SELECT count(*) FROM main.sqlite_schema").fetchall()
    except apsw.Error as error:
        raise unavailable(path) from error
    return connection


def unavailable(path: str) -> Refused:
    """Return the refusal for a file that cannot be read."""
    name = quoted(Path(path).name)
    message = f"the database {name} cannot be read now; the operator finds the cause in the event log"
    return Refused(Reason.EXECUTOR_UNAVAILABLE, message)


def read_catalogue(connection: Connection) -> Catalogue:
    """Read the catalogue of a connection; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
    database = open_read_only(connection.path)
    try:
        tables = database.execute(_TABLES).fetchall()
        shapes = [_shape(database, str(name), str(kind), is_without_rowid=bool(wr)) for name, kind, wr in tables]
        facts = repr(database.execute(_OBJECTS).fetchall()).encode()
    except apsw.Error as error:
        raise unavailable(connection.path) from error
    finally:
        database.close()
    fingerprint = Digest(hashlib.sha256(facts).hexdigest())
    return Catalogue({folded(shape.name): shape for shape in shapes}, fingerprint)


def _shape(database: apsw.Connection, name: str, kind: str, *, is_without_rowid: bool) -> TableShape:
    columns = tuple(
        ColumnShape(str(column), str(declared), is_hidden=hidden == 1)
        for column, declared, hidden in database.execute(_COLUMNS, (name,))
    )
    return TableShape(name, columns, "view" if kind == "view" else "table", has_rowid=not is_without_rowid)
