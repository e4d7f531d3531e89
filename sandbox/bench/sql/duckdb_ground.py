"""The shop on DuckDB: bare in this very process, confined in one of its own, and a copy of what may be seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

import duckdb

from sandbox.bench.sql.ground import DISAGREES, all_rights, filled, plan, proven_by, told, told_fetched
from sandbox.bench.sql.harm import BARE_S, BOUNDED_S, CANARY, MAX_ROWS, Harm, Seen
from sandbox.bench.sql.shop import MAX_BYTES, SHOWN_VIEW, TABLES, Tables, permitted_shop, rules, whole_shop
from sandbox.confined.duckdb_process import answer_of
from sandbox.confined.frames import Rows
from sandbox.executors.duckdb import DuckdbExecutor
from sandbox.executors.engine import Confinement, PlanStale
from sandbox.leases import FileLease
from sandbox.reasons import Refused
from sandbox.sql import Proven
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import Cancellation
from sandbox.toolspec import Connection, Digest, FileTarget, SqlCeiling, SqlEngine

_POSTGRES_TYPES: Final = 1
_BATCH: Final = 1_000
_PLAIN: Final = (int, float, str, bytes, type(None))
_THEIRS: Final = "theirs.csv"
_LEAST_S: Final = 1.0
"""How long a confined statement may take at the least: a process of its own takes a while on a busy machine."""
_STATE: Final = (
    "SELECT database_name, path, readonly FROM duckdb_databases() WHERE NOT internal ORDER BY ALL",
    "SELECT schema_name, table_name, sql FROM duckdb_tables() ORDER BY ALL",
    "SELECT schema_name, view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "SELECT schema_name, index_name, sql FROM duckdb_indexes() ORDER BY ALL",
    "SELECT * FROM duckdb_sequences() ORDER BY ALL",
    "SELECT schema_name FROM duckdb_schemas() WHERE NOT internal ORDER BY ALL",
    "SELECT type_name FROM duckdb_types() WHERE NOT internal ORDER BY ALL",
    "SELECT name, value FROM duckdb_settings() ORDER BY ALL",
    "SELECT * FROM duckdb_variables() ORDER BY ALL",
    "SELECT name FROM duckdb_secrets() ORDER BY ALL",
    "SELECT * FROM duckdb_prepared_statements() ORDER BY ALL",
    "SELECT extension_name, loaded FROM duckdb_extensions() ORDER BY ALL",
)
"""What a statement could change beside rows."""
_MACROS: Final = "SELECT function_name, macro_definition FROM duckdb_functions() WHERE NOT internal ORDER BY ALL"
_MAKES_MACROS: Final = ("MACRO", "FUNCTION")
"""What a text holds that can change one; listing them takes longer than all else."""


@final
class DuckdbGround:
    """The shop on DuckDB."""

    engine: SqlEngine = "duckdb"

    def __init__(self, folder: Path, tables: Tables = TABLES) -> None:
        """Make the shop's file and a scratch folder, with a file of somebody else's, in `folder`."""
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        self._bare = folder / "bare.duckdb"
        self._file = make_shop(folder / "shop.duckdb", tables)
        self._owned = opened(_made(folder / "permitted.duckdb", permitted_shop(_POSTGRES_TYPES, tables)))
        self._whole = self._file.read_bytes()
        self._put_right()
        self._database = self._anew()
        self._fresh = state_of(self._database, "")
        self._rules = rules("", tables)
        connection = Connection(
            name="bench",
            engine="duckdb",
            target=FileTarget(str(self._file)),
            ceiling=SqlCeiling(None),
            digest=Digest("0" * 64),
        )
        self._executor = DuckdbExecutor(connection)
        self._catalogue = self._executor.read_catalogue()
        self._confinement = Confinement(
            key=Digest("1" * 64), tables=self._rules, views=frozenset({SHOWN_VIEW}), max_bytes=MAX_BYTES
        )
        self._lease = FileLease("bench", str(self._file), "read-only", b"")

    def bare(self, text: str) -> Seen:
        """Run a text on a copy as its owner; one that it changed is thrown away."""
        answer, is_answered, harms = answer_to(self._database, text)
        is_open = is_in_transaction(self._database)
        if is_open:
            harms.add(Harm.HOLDS)
        if is_open or state_of(self._database, text) != self._fresh or not self._is_right():
            harms.add(Harm.CHANGED)
            self._database.close()
            self._database = self._anew()
            self._put_right()
        return Seen(answer, is_answered, frozenset(harms))

    def permit(self, text: str) -> Proven:
        """Take a text through the gate; raises `Refused`."""
        return proven_by("duckdb", text, self._catalogue, self._rules, {})

    def permit_bare(self, text: str) -> str:
        """Take a text through the gate, and return what may run; raises `Refused`."""
        return self.permit(text).sql_to_run

    def confined(self, text: str) -> Seen:
        """Run a text in a process that is confined to the tool, with all the rights it could have."""
        return self.run(all_rights(text, self._rules, DIALECTS["duckdb"].functions), text, BARE_S)

    def run(self, proven: Proven, text: str, seconds: float) -> Seen:
        """Run what the gate let through in a process that is confined to the tool."""
        begun = time.monotonic()
        answer, is_answered = self.ask(proven, text, seconds)
        harms = {Harm.SPENDS} if time.monotonic() - begun > max(seconds, _LEAST_S) + BOUNDED_S else set[Harm]()
        if not self._is_right() or self._file.read_bytes() != self._whole:
            harms.add(Harm.CHANGED)
            self._file.write_bytes(self._whole)
            self._put_right()
        return Seen(answer, is_answered, frozenset(harms))

    def ask(self, proven: Proven, text: str, seconds: float) -> tuple[str, bool]:
        """Run what the gate let through, unwatched; returns rows or error, and whether it ended."""
        try:
            made = plan("duckdb", text, proven, max(seconds, _LEAST_S))
            return told_fetched(self._executor.run(made, self._confinement, self._lease, Cancellation())), True
        except Refused as refused:
            return f"{refused.reason} {refused.rule} {refused.message} {dict(refused.metadata)}", False
        except PlanStale as stale:
            return f"{DISAGREES} {stale}", False

    def owned(self, text: str) -> Seen:
        """Run a text as the owner of what the tool may show."""
        try:
            answer = _as_executors_write(self._owned, text)
        except (duckdb.Error, ValueError, UnicodeError) as error:
            return Seen(f"{type(error).__name__}: {error}", is_answered=False, harms=frozenset())
        return Seen(answer, is_answered=True, harms=frozenset())

    def fill(self, sql: str, guess: str) -> str:
        """Return an attack with its guess and its folder."""
        return filled(sql, guess, self._scratch)

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()
        self._owned.close()
        self._executor.close()

    def _anew(self) -> duckdb.DuckDBPyConnection:
        self._bare.with_name("bare.duckdb.wal").unlink(missing_ok=True)
        self._bare.write_bytes(self._whole)
        return opened(self._bare)

    def _is_right(self) -> bool:
        found = [(path.name, path.read_bytes() if path.is_file() else b"") for path in self._scratch.iterdir()]
        return found == [(_THEIRS, CANARY.encode())]

    def _put_right(self) -> None:
        for path in sorted(self._scratch.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (self._scratch / _THEIRS).write_text(CANARY)


@contextmanager
def duckdb_ground() -> Iterator[DuckdbGround]:
    """Make the shop in a folder that goes at the end."""
    with TemporaryDirectory(prefix="sandbox-bench-") as folder, closing(DuckdbGround(Path(folder))) as ground:
        yield ground


def make_shop(path: Path, tables: Tables = TABLES) -> Path:
    """Make the file of the whole shop; returns its path."""
    return _made(path, [*whole_shop(_POSTGRES_TYPES, tables), "CREATE SEQUENCE numbers"])


def _made(path: Path, statements: Iterable[str]) -> Path:
    with closing(opened(path)) as database:
        for statement in statements:
            database.execute(statement.replace(" jsonb", " JSON").replace(" at timestamp", ' "at" timestamp'))
    return path


def opened(path: Path) -> duckdb.DuckDBPyConnection:
    """Return the owner's connection to a file."""
    configuration: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": "1GB",
        "temp_directory": "",
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
    }
    database = duckdb.connect(str(path), config=configuration)
    database.execute("SET TimeZone = 'UTC'")
    return database


def is_in_transaction(database: duckdb.DuckDBPyConnection) -> bool:
    """Whether a text left a transaction open; ends it."""
    try:
        database.execute("BEGIN")
        database.execute("ROLLBACK")
    except duckdb.Error:
        with suppress(duckdb.Error):
            database.execute("ROLLBACK")
        return True
    return False


def state_of(database: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return everything that a connection and its databases remember after a text."""
    try:
        facts = [database.execute(query).fetchall() for query in _STATE]
        if any(word in text.upper() for word in _MAKES_MACROS):
            facts.append(database.execute(_MACROS).fetchall())
        for schema, table, _ in facts[1]:
            facts.append(database.execute(f'SELECT * FROM "{schema}"."{table}" ORDER BY ALL').fetchall())  # noqa: S608 - names
    except duckdb.Error:
        return "something stands in the way of the shop's own names"
    return repr(facts)


def _as_executors_write(database: duckdb.DuckDBPyConnection, text: str) -> str:
    """Run a query and write its answer, with the text that DuckDB writes for what is no plain value."""
    cursor = database.execute(text)
    names, rows = [str(each[0]) for each in cursor.description or ()], cursor.fetchall()
    replies = answer_of(database, text, {}, MAX_BYTES)
    written = [row for reply in replies if isinstance(reply, Rows) for row in reply.rows]
    return told(
        names,
        [
            [cell if isinstance(cell, _PLAIN) else as_text for cell, as_text in zip(row, texts, strict=True)]
            for row, texts in zip(rows, written, strict=True)
        ],
    )


def answer_to(
    database: duckdb.DuckDBPyConnection, text: str, seconds: float = BARE_S, max_rows: int = MAX_ROWS
) -> tuple[str, bool, set[Harm]]:
    """Run a text, all statements of it, and return rows or error, whether it ended, and whether it spent too much."""
    rows: list[tuple[object, ...]] = []
    stop = threading.Timer(seconds, database.interrupt)
    stop.start()
    try:
        cursor = database.execute(text)
        while batch := cursor.fetchmany(_BATCH):
            rows += batch
            if len(rows) > max_rows:
                return "too much", False, {Harm.SPENDS}
        return told([str(each[0]) for each in cursor.description or ()], rows), True, set()
    except duckdb.InterruptException:
        return "too long", False, {Harm.SPENDS}
    except (duckdb.Error, ValueError, UnicodeError, RuntimeError, MemoryError) as error:
        harms = {Harm.SPENDS} if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)) else set[Harm]()
        return f"{type(error).__name__}: {error}", False, harms
    finally:
        stop.cancel()
