"""How is one connection confined to one tool? Read-only, behind views, under an authorizer, within a deadline.

Each table the tool may read hides behind two temporary views: an inner one under a name nobody can guess, which picks
the allowed columns, masks them and filters the rows; and an outer one under the table's own name. The file itself is
attached under a name nobody can guess either, so a statement has no word for a table but the outer view's. The
authorizer keeps all of this, and knows nothing of our parser: with the gate switched off, it still lets no write, no
other table, no hidden column and no hidden row through.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Final, final

import apsw

from sandbox.executors.ending import cancelled, failed, timed_out
from sandbox.executors.engine import Confinement, Fetched, PlanStale
from sandbox.executors.results import Description, describe, fetch
from sandbox.executors.sqlite_authorizer import Authorizer, Beneath
from sandbox.executors.sqlite_catalogue import BUSY_S, MAX_PREPARED, open_file, unavailable
from sandbox.executors.sqlite_errors import told
from sandbox.executors.sqlite_views import Views, quoted_name
from sandbox.reasons import Reason, Refused
from sandbox.sql import MAX_COLUMNS, folded
from sandbox.stages import Cancellation, Rights, SqlPlan
from sandbox.toolspec import TableRule
from sandbox.values import Cell, JsonObject

STEPS: Final = 1_000
"""Virtual machine instructions between two looks at the deadline: some 20 µs of work, slowed by about 5 %."""

MIN_VALUE_BYTES: Final = 256 * 1024
"""Least limit of one string or blob while a statement runs. Some functions take the square of a string's length, and
nothing stops the engine within one call of a function: at this size that is under a second, at 1 MiB it is thirteen."""

MAX_ENGINE_BYTES: Final = 512 * 1024 * 1024
"""Memory of all SQLite connections of this process beyond which a running statement is stopped: sorters and temporary
tables stay in memory, for a temporary file would hold rows unencrypted."""

MAX_DESCRIBED: Final = MAX_PREPARED
"""Statements whose result columns a session remembers; as many as the connection keeps prepared."""

MAX_OPCODES: Final = 25_000
"""Instructions of one statement: a megabyte once it is prepared. The longest of 1,078 honest statements has 743."""

MOVED_CHECK_S: Final = 1.0
"""How often a session looks whether its file is still the one at its path."""

BUSY_STEP_S: Final = 0.001
"""Between two tries while a writer holds the whole file."""

_LIMITS: Final = {
    apsw.SQLITE_LIMIT_SQL_LENGTH: 1_100_000,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 1_000,
    apsw.SQLITE_LIMIT_COMPOUND_SELECT: 200,
    apsw.SQLITE_LIMIT_VDBE_OP: MAX_OPCODES,
    apsw.SQLITE_LIMIT_FUNCTION_ARG: 100,
    apsw.SQLITE_LIMIT_ATTACHED: 0,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    apsw.SQLITE_LIMIT_VARIABLE_NUMBER: 250,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    apsw.SQLITE_LIMIT_WORKER_THREADS: 0,
    apsw.SQLITE_LIMIT_COLUMN: MAX_COLUMNS,
}
_NOBODY: Final = Cancellation()


@final
class Session:
    """A connection that can read what one tool may show, and nothing else. Used by one thread at a time."""

    __slots__ = (
        "_authorizer", "_cancellation", "_claims", "_connection", "_deadline", "_described", "_file", "_guard",
        "_is_starved", "_look_at", "_max_bytes", "_path", "_schema", "_sql", "_traced",
        "_woken",
    )  # fmt: skip

    def __init__(self, path: str, confinement: Confinement, *, is_fenced: bool) -> None:
        """Open the file and confine the connection for good; raises `Refused` or `PlanStale`."""
        self._guard = threading.Lock()
        self._cancellation = _NOBODY
        self._claims: JsonObject = {}
        self._deadline = float("inf")
        self._is_starved = False
        self._sql = ""
        self._woken = threading.Event()
        self._traced = 0
        self._described: dict[str, Description] = {}
        self._max_bytes = confinement.max_bytes
        self._path = path
        self._look_at = time.monotonic() + MOVED_CHECK_S
        # INVARIANT: looked at before it is opened, so that a file replaced in between is found to have moved.
        try:
            self._file = _identity(path)
        except OSError as error:
            raise unavailable(path) from error
        self._connection, self._schema = open_file(path)
        try:
            self._authorizer = Authorizer(self._schema, self._connection.table_exists)
            self._confine(confinement, is_fenced=is_fenced)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, (apsw.Error, OSError)):
                raise self._told(error, is_prepared=False) from error
            raise

    def is_current(self, now: float) -> bool:
        """Whether the file at the path is still the one that was opened; looks once a second."""
        if now < self._look_at:
            return True
        self._look_at = now + MOVED_CHECK_S
        try:
            return _identity(self._path) == self._file
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def run(self, plan: SqlPlan, deadline: float, cancellation: Cancellation) -> Fetched:
        """Run the plan until `deadline` (`time.monotonic()` seconds); raises `Refused` or `PlanStale`."""
        self._authorizer.rights = plan.rights
        self._authorizer.denied = ""
        self._claims = plan.claims
        self._deadline = deadline
        self._sql = plan.sql_to_run
        self._cancellation = cancellation
        stop = partial(self._stop, cancellation)
        cancellation.on_cancel(stop)
        try:
            return self._run(plan)
        except (apsw.Error, UnicodeError) as error:
            # What is prepared anew while it runs fails with an error of preparing.
            is_prepared = self._traced > 0 and not self._authorizer.was_asked
            raise self._told(error, is_prepared=is_prepared) from error
        finally:
            cancellation.forget(stop)
            with self._guard:
                self._cancellation = _NOBODY
                if self._woken.is_set():
                    self._woken.clear()

    def rehearse(self, tables: Iterable[TableRule]) -> None:
        """Read the beginning of every table the tool may show; raises `Refused` or `PlanStale`."""
        for rule in tables:
            self._authorizer.rights = Rights(
                relations=(rule.table,), columns=tuple((rule.table, c) for c in rule.columns), functions=(), claims=()
            )
            self._traced, self._sql = 0, f"SELECT * FROM {quoted_name(rule.table)} LIMIT 1"  # noqa: S608 - a quoted name
            try:
                self._connection.execute(self._sql).fetchall()
            except apsw.Error as error:
                raise self._told(error, is_prepared=False) from error

    def _run(self, plan: SqlPlan) -> Fetched:
        for _ in range(2):
            self._traced = 0
            cursor = self._connection.execute(plan.sql_to_run, plan.parameters)
            try:
                fetched = fetch(cursor, self._described[plan.sql_to_run].of, plan.max_rows, plan.max_bytes)
            finally:
                cursor.close(True)
            if not self._authorizer.was_asked:
                return fetched
            self._described.clear()  # the tables changed and the engine prepared anew while it ran: once more
        raise PlanStale("prepared anew twice")

    def _before(self, cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
        """Look at a prepared statement before it runs; False stops it."""
        self._traced += 1
        if self._traced > 1:
            return False
        if self._authorizer.was_asked or self._sql not in self._described:
            if cursor.is_explain or not cursor.is_readonly:
                return False
            if len(self._described) >= MAX_DESCRIBED:
                self._described.clear()
            named = tuple((str(name), declared or "") for name, declared, *_ in cursor.get_description())
            self._described[self._sql] = describe(named, self._max_bytes)
            self._authorizer.was_asked = False
        return True

    def _must_end(self) -> bool:
        if apsw.memory_used() > MAX_ENGINE_BYTES:
            self._is_starved = True
            return True
        return time.monotonic() > self._deadline or self._cancellation.is_cancelled

    def _is_patient(self, tries: int) -> bool:
        if tries * BUSY_STEP_S >= BUSY_S or self._must_end():
            return False
        return not self._woken.wait(BUSY_STEP_S)

    def _stop(self, cancellation: Cancellation) -> None:
        # INVARIANT: an interrupt never meets another call's statement, though a cancellation may come late.
        with self._guard:
            if self._cancellation is cancellation:
                self._woken.set()
                self._connection.interrupt()

    def _told(self, error: Exception, *, is_prepared: bool) -> Refused | PlanStale:
        """Return what to raise for an error, without its words."""
        if isinstance(error, (apsw.InterruptError, apsw.BusyError)) and (stopped := self._stopped()):
            return stopped
        if isinstance(error, UnicodeDecodeError):
            return failed("not_unicode", "a text of the database is not UTF-8; `hex(…)` reads it")
        if isinstance(error, UnicodeError):
            message = "a text holds half of a surrogate pair; Unicode text is accepted"
            return Refused(Reason.ARGUMENT_INVALID, message, rule="arguments/unicode")
        if not isinstance(error, apsw.Error):
            return unavailable(self._path)
        if self._authorizer.denied:
            return PlanStale(self._authorizer.denied)
        return told(error, is_prepared=is_prepared) or unavailable(self._path)

    def _stopped(self) -> Refused | None:
        """Return why we stopped the statement, if it was us."""
        if self._is_starved:
            self._is_starved = False
            return failed("out_of_memory", "the statement needs too much memory")
        if self._cancellation.is_cancelled:
            return cancelled()
        return timed_out() if time.monotonic() > self._deadline else None

    def _confine(self, confinement: Confinement, *, is_fenced: bool) -> None:
        connection = self._connection
        connection.execute(f"PRAGMA temp_store = MEMORY; PRAGMA {self._schema}.cache_size = -1000")
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        # WHY: without it SQLite prepares anew for other bound values, and the authorizer takes that for another schema.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        views = Views(self._schema)
        views.register(connection, self._claim)
        self._authorizer.private = views.functions
        self._authorizer.modules = frozenset(str(row[0]).lower() for row in connection.execute("PRAGMA module_list"))
        self._shadow_views(confinement)
        for name, rule in confinement.tables.items():
            inner = views.hide(connection, rule, is_view=name in confinement.views, is_fenced=is_fenced)
            self._authorizer.inner[inner] = folded(rule.table)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.execute("PRAGMA cell_size_check = ON; PRAGMA query_only = ON")
        for limit, value in _LIMITS.items():
            connection.limit(limit, value)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, max(MIN_VALUE_BYTES, confinement.max_bytes))
        connection.set_busy_handler(self._is_patient)
        connection.set_progress_handler(self._must_end, STEPS)
        connection.authorizer = self._authorizer
        connection.exec_trace = self._before

    def _shadow_views(self, confinement: Confinement) -> None:
        """Learn what those tables that are views of the file read, and leave no word for it to statements."""
        query = f"SELECT name FROM {self._schema}.sqlite_schema WHERE type = 'view'"  # noqa: S608 - our own name
        views = {folded(str(row[0])) for row in self._connection.execute(query)}
        if became := views.intersection(confinement.tables) - confinement.views:
            raise PlanStale(f"became views: {', '.join(sorted(became))}")
        beneath: set[Beneath] = set()
        for name in confinement.views & views:
            beneath |= self._reads_of(confinement.tables[name])
        self._authorizer.beneath = frozenset(beneath)
        if not confinement.views:
            self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)  # of the file; temporary views stay
        others = {folded(table): table for table, _, _ in beneath if folded(table) not in confinement.tables}
        for table in others.values():
            self._connection.execute(f"CREATE TEMP VIEW {quoted_name(table)} AS SELECT NULL AS hidden")

    def _reads_of(self, rule: TableRule) -> set[Beneath]:
        seen: set[Beneath] = set()

        def note(
            operation: int, first: str | None, second: str | None, database: str | None, within: str | None
        ) -> int:
            if operation == apsw.SQLITE_READ and database == self._schema and within and first and second:
                seen.add((first, second, within))
            return apsw.SQLITE_OK

        self._connection.authorizer = note
        try:
            self._connection.execute(f"SELECT * FROM {self._schema}.{quoted_name(rule.table)} LIMIT 0")  # noqa: S608 - quoted
        finally:
            self._connection.authorizer = None
        return seen

    def _claim(self, *arguments: Cell) -> Cell:
        value = self._claims.get(str(arguments[0]))
        return value if isinstance(value, (str, int, float)) else None


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - a microsecond less than Path
    return status.st_dev, status.st_ino
