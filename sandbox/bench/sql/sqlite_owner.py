"""What does a text do on a bare SQLite? A copy of the shop in memory, and what a connection to it remembers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Final

import apsw

from sandbox.bench.sql.ground import told
from sandbox.bench.sql.harm import BARE_S, MAX_ROWS, Harm

_STEPS: Final = 1_000
"""Of SQLite's machine, between two looks at the clock."""
_PRAGMAS: Final = (
    *("query_only", "writable_schema", "foreign_keys", "recursive_triggers", "journal_mode", "temp_store"),
    *("cache_size", "locking_mode", "synchronous", "secure_delete", "trusted_schema", "cell_size_check"),
)
"""Settings of a connection, which no file remembers."""


def image(statements: Iterable[str]) -> bytes:
    """Return the file that statements make."""
    with closing(apsw.Connection(":memory:")) as connection:
        for statement in statements:
            connection.execute(statement)
        return connection.serialize("main")


def opened(file: bytes) -> apsw.Connection:
    """Return its owner's connection to a copy of a file in memory."""
    connection = apsw.Connection(":memory:")
    connection.deserialize("main", file)
    return connection


def settings_of(connection: apsw.Connection) -> str:
    """Return a digest of what a connection remembers beside the file."""
    # WHY first: the schema `temp` is among the databases once it has been looked at.
    facts = [connection.execute("SELECT type, name, sql FROM temp.sqlite_schema").fetchall()]
    facts += [connection.execute(f"PRAGMA {name}").fetchall() for name in (*_PRAGMAS, "database_list")]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def answer_of(
    connection: apsw.Connection, text: str, seconds: float = BARE_S, max_rows: int = MAX_ROWS
) -> tuple[str, bool, set[Harm]]:
    """Run a text, all statements of it, and return rows or error, whether it ended, and whether it spent too much."""
    names: list[str] = []
    rows: list[tuple[object, ...]] = []
    end = time.monotonic() + seconds

    def traced(cursor: apsw.Cursor, *_: object) -> bool:
        names[:] = [name for name, *_ in cursor.get_description()] or names  # a comment at the end is no statement
        return True

    connection.exec_trace = traced
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        for row in connection.execute(text):
            rows.append(row)
            if len(rows) > max_rows or time.monotonic() > end:
                return "too much", False, {Harm.SPENDS}
    except apsw.InterruptError:
        return "too long", False, {Harm.SPENDS}
    except (apsw.Error, ValueError, OverflowError, UnicodeError) as error:
        return f"{type(error).__name__}: {error}", False, set()
    finally:
        connection.exec_trace = None
        connection.set_progress_handler(None, 0)
    return told(names, rows), True, set()
