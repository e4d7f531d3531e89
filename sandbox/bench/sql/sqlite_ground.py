"""The shop on SQLite: bare in memory, confined on a file, and a copy of what may be seen."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

import apsw

from sandbox.bench.sql.ground import all_rights, filled, plan, proven_by, told, told_fetched
from sandbox.bench.sql.harm import BARE_S, BOUNDED_S, CANARY, MAX_ROWS, Harm, Seen
from sandbox.bench.sql.shop import MAX_BYTES, SHOWN_VIEW, permitted_shop, rules, whole_shop
from sandbox.executors.engine import Confinement, PlanStale
from sandbox.executors.sqlite import SqliteExecutor
from sandbox.leases import FileLease
from sandbox.reasons import Refused
from sandbox.sql import Proven
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import Cancellation
from sandbox.toolspec import Connection, Digest, FileTarget, SqlCeiling, SqlEngine

_STEPS: Final = 1_000
"""Of SQLite's machine, between two looks at the clock."""
_PRAGMAS: Final = (
    *("query_only", "writable_schema", "foreign_keys", "recursive_triggers", "journal_mode", "temp_store"),
    *("cache_size", "locking_mode", "synchronous", "secure_delete", "trusted_schema", "cell_size_check"),
)
"""Settings of a connection, which no file remembers."""


@final
class SqliteGround:
    """The shop on SQLite."""

    engine: SqlEngine = "sqlite"

    def __init__(self, folder: Path) -> None:
        """Make the shop's file and a scratch folder, with a file of somebody else's, in `folder`."""
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        self._other = _image(["CREATE TABLE theirs (word TEXT)", f"INSERT INTO theirs VALUES ('{CANARY}')"])  # noqa: S608 - constants
        self._whole, self._permitted = _image(whole_shop(0)), _image(permitted_shop(0))
        self._file = folder / "shop.db"
        self._file.write_bytes(self._whole)
        self._put_right()
        self._rules = rules("")
        connection = Connection(
            name="bench",
            engine="sqlite",
            target=FileTarget(str(self._file)),
            ceiling=SqlCeiling(None),
            digest=Digest("0" * 64),
        )
        self._executor = SqliteExecutor(connection)
        self._catalogue = self._executor.read_catalogue()
        self._confinement = Confinement(
            key=Digest("1" * 64), tables=self._rules, views=frozenset({SHOWN_VIEW}), max_bytes=MAX_BYTES
        )
        self._lease = FileLease("bench", str(self._file), "read-only", b"")

    def bare(self, text: str) -> Seen:
        """Run a text on a fresh copy in memory as its owner."""
        with closing(_opened(self._whole)) as connection:
            fresh = _settings(connection)
            answer, is_answered, harms = _answer(connection, text)
            if connection.in_transaction:
                harms.add(Harm.HOLDS)
            if connection.serialize("main") != self._whole or _settings(connection) != fresh or not self._is_right():
                harms.add(Harm.CHANGED)
        self._put_right()
        return Seen(answer, is_answered, frozenset(harms))

    def permit(self, text: str) -> Proven:
        """Take a text through the gate; raises `Refused`."""
        return proven_by("sqlite", text, self._catalogue, self._rules, {})

    def permit_bare(self, text: str) -> str:
        """Take a text through the gate, and return what may run; raises `Refused`."""
        return self.permit(text).sql_to_run

    def confined(self, text: str) -> Seen:
        """Run a text on a session that is confined to the tool, with all the rights it could have."""
        return self.run(all_rights(text, self._rules, DIALECTS["sqlite"].functions), text, BARE_S)

    def run(self, proven: Proven, text: str, seconds: float) -> Seen:
        """Run what the gate let through on a session that is confined to the tool."""
        is_answered, begun = False, time.monotonic()
        try:
            made = plan("sqlite", text, proven, seconds)
            answer = told_fetched(self._executor.run(made, self._confinement, self._lease, Cancellation()))
            is_answered = True
        except Refused as refused:
            answer = f"{refused.reason} {refused.rule} {refused.message} {dict(refused.metadata)}"
        except PlanStale as stale:
            answer = f"the engine disagrees: {stale}"
        harms = {Harm.SPENDS} if time.monotonic() - begun > seconds + BOUNDED_S else set[Harm]()
        if not self._is_right() or self._file.read_bytes() != self._whole:
            harms.add(Harm.CHANGED)
            self._put_right()
        return Seen(answer, is_answered, frozenset(harms))

    def owned(self, text: str) -> Seen:
        """Run a text as the owner of what the tool may show."""
        with closing(_opened(self._permitted)) as connection:
            answer, is_answered, _ = _answer(connection, text)
        return Seen(answer, is_answered, frozenset())

    def fill(self, sql: str, guess: str) -> str:
        """Return an attack with its guess and its folder."""
        return filled(sql, guess, self._scratch)

    def close(self) -> None:
        """Let go of the file."""
        self._executor.close()

    def _is_right(self) -> bool:
        found = {path.name: path.read_bytes() for path in self._scratch.iterdir()}
        return found == {"other.db": self._other}

    def _put_right(self) -> None:
        if not self._is_right():
            for path in self._scratch.iterdir():
                path.unlink()
            (self._scratch / "other.db").write_bytes(self._other)
        if self._file.read_bytes() != self._whole:
            self._file.write_bytes(self._whole)


@contextmanager
def sqlite_ground() -> Iterator[SqliteGround]:
    """Make the shop in a folder that goes at the end."""
    with TemporaryDirectory(prefix="sandbox-bench-") as folder, closing(SqliteGround(Path(folder))) as ground:
        yield ground


def _image(statements: Iterable[str]) -> bytes:
    with closing(apsw.Connection(":memory:")) as connection:
        for statement in statements:
            connection.execute(statement)
        return connection.serialize("main")


def _opened(image: bytes) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.deserialize("main", image)
    return connection


def _settings(connection: apsw.Connection) -> str:
    """Return a digest of what a connection remembers beside the file."""
    # WHY first: the schema `temp` is among the databases once it has been looked at.
    facts = [connection.execute("SELECT type, name, sql FROM temp.sqlite_schema").fetchall()]
    facts += [connection.execute(f"PRAGMA {name}").fetchall() for name in (*_PRAGMAS, "database_list")]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _answer(connection: apsw.Connection, text: str) -> tuple[str, bool, set[Harm]]:
    """Run a text, all statements of it, and return rows or error, whether it ended, and whether it spent too much."""
    names: list[str] = []
    rows: list[tuple[object, ...]] = []
    end = time.monotonic() + BARE_S

    def traced(cursor: apsw.Cursor, *_: object) -> bool:
        names[:] = [name for name, *_ in cursor.get_description()] or names  # a comment at the end is no statement
        return True

    connection.exec_trace = traced
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        for row in connection.execute(text):
            rows.append(row)
            if len(rows) > MAX_ROWS or time.monotonic() > end:
                return "too much", False, {Harm.SPENDS}
    except apsw.InterruptError:
        return "too long", False, {Harm.SPENDS}
    except (apsw.Error, ValueError, OverflowError, UnicodeError) as error:
        return f"{type(error).__name__}: {error}", False, set()
    finally:
        connection.exec_trace = None
        connection.set_progress_handler(None, 0)
    return told(names, rows), True, set()
