"""How does a plan run on SQLite? On a session confined to its tool, until rows, bytes or time are spent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, final

import apsw

from sandbox.executors.sqlite_catalogue import unavailable
from sandbox.executors.sqlite_session import Session
from sandbox.leases import FileLease
from sandbox.reasons import Reason, Refused
from sandbox.stages import AuthorizedCall, Cancellation, ExecutedCall, ResultColumn, SqlPlan, Truncation
from sandbox.toolspec import Digest, TableRule, ToolSpec
from sandbox.values import Row

KEPT_SESSIONS: Final = 64
"""Idle sessions kept for one tool; more are closed."""

_TYPES: Final = {int: "integer", float: "real", str: "text", bytes: "blob"}
_UNAVAILABLE: Final = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
    apsw.ProtocolError,
)
_CLASSES: Final = (
    ("integer overflow", "overflow"),
    ("malformed JSON", "malformed_json"),
    ("JSON", "malformed_json"),
    ("too big", "too_large"),
    ("out of memory", "out_of_memory"),
    ("parser stack", "too_complex"),
    ("too many", "too_complex"),
    ("LIKE or GLOB", "pattern_too_complex"),
    ("ESCAPE", "pattern"),
)
"""Beginnings of what the engine says, and the fixed words a caller gets instead: the engine quotes hidden rows."""


@final
class SqliteExecutor:
    """Runs plans on the SQLite file of one connection."""

    def __init__(self) -> None:
        """Begin without sessions."""
        self._idle: dict[tuple[Digest, bool], list[Session]] = {}
        self._is_closed = False

    def execute(
        self, authorized: AuthorizedCall, spec: ToolSpec, tables: dict[str, TableRule], lease: FileLease
    ) -> ExecutedCall:
        """Spend the permit and run the plan; raises `Refused` for everything that stops it."""
        plan = authorized.spend()
        cancellation = authorized.planned.traced.validated.authenticated.proposed.cancellation
        begun = time.monotonic()
        deadline = begun + plan.max_seconds
        if cancellation.deadline is not None and cancellation.deadline < deadline:
            deadline = cancellation.deadline
        with self._session(lease, spec, tables, is_fenced=plan.is_fenced) as session:
            session.begin(plan, deadline, cancellation)
            try:
                columns, rows, truncation = _fetch(session, plan)
            except apsw.Error as error:
                raise _refusal(error, session, lease, deadline, cancellation) from error
        return ExecutedCall(
            authorized=authorized,
            columns=columns,
            rows=rows,
            truncation=truncation,
            lease_digest=lease.digest,
            execute_us=int((time.monotonic() - begun) * 1e6),
        )

    def close(self) -> None:
        """Close idle sessions; those in use close when they are given back."""
        self._is_closed = True
        for sessions in self._idle.values():
            while sessions:
                sessions.pop().connection.close()

    @contextmanager
    def _session(
        self, lease: FileLease, spec: ToolSpec, tables: dict[str, TableRule], *, is_fenced: bool
    ) -> Iterator[Session]:
        # INVARIANT: a session serves one tool; a statement prepared on it is not authorized again.
        idle = self._idle.setdefault((spec.digest, is_fenced), [])
        try:
            session = idle.pop()
        except IndexError:
            try:
                session = Session(lease.path, tables, is_fenced=is_fenced)
            except apsw.Error as error:
                raise unavailable(lease.path) from error
        try:
            yield session
        except apsw.Error:
            session.connection.close()
            raise
        if self._is_closed or len(idle) >= KEPT_SESSIONS:
            session.connection.close()
        else:
            idle.append(session)


def _fetch(session: Session, plan: SqlPlan) -> tuple[tuple[ResultColumn, ...], tuple[Row, ...], Truncation]:
    columns = session.columns_of(plan.sql_to_run, plan.parameters)
    rows: list[Row] = []
    size, truncation = 0, Truncation.NONE
    cursor = session.connection.execute(plan.sql_to_run, plan.parameters)
    for row in cursor:
        if len(rows) == plan.max_rows:
            truncation = Truncation.ROWS
            break
        rows.append(row)
        for cell in row:
            if cell.__class__ is str or cell.__class__ is bytes:
                size += len(cell)
        if size > plan.max_bytes:
            truncation = Truncation.BYTES
            break
    cursor.close()
    return _typed(columns, rows), tuple(rows), truncation


def _typed(columns: Sequence[ResultColumn], rows: Sequence[Row]) -> tuple[ResultColumn, ...]:
    if not rows:
        return tuple(columns)
    return tuple(
        ResultColumn(column.name, _type_of({cell.__class__ for cell in cells}), column.declared_type)
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True)
    )


def _type_of(classes: set[type]) -> str:
    classes.discard(type(None))
    if not classes:
        return "null"
    if len(classes) == 1:
        return _TYPES[classes.pop()]
    return "real" if classes == {int, float} else "any"


def _refusal(
    error: apsw.Error, session: Session, lease: FileLease, deadline: float, cancellation: Cancellation
) -> Refused:
    if isinstance(error, apsw.InterruptError):
        return _interrupted(deadline, cancellation)
    if isinstance(error, apsw.AuthError) or session.denied:
        message = "the engine's own check does not agree that the statement reads only what the tool allows"
        return Refused(Reason.SQL_OBJECT_FORBIDDEN, message, rule="sql/engine-disagrees")
    if isinstance(error, _UNAVAILABLE):
        return unavailable(lease.path)
    found = _class_of(error)
    if found == "other" and "no such" in str(error):
        message = "the database has changed since the tool was loaded; the operator reloads it with `sandbox lint`"
        return Refused(Reason.EXECUTOR_UNAVAILABLE, message)
    message = f"the engine stopped the statement while it ran: {found.replace('_', ' ')}"
    return Refused(Reason.SQL_FAILED, message, error=found)


def _interrupted(deadline: float, cancellation: Cancellation) -> Refused:
    if cancellation.is_cancelled and time.monotonic() <= deadline:
        return Refused(Reason.CALL_CANCELLED, "the call was stopped, at the engine too")
    message = "the time for this call ran out and the engine was stopped; narrow the query"
    return Refused(Reason.EXECUTION_TIMED_OUT, message)


def _class_of(error: apsw.Error) -> str:
    if isinstance(error, apsw.TooBigError):
        return "too_large"
    if isinstance(error, apsw.NoMemError):
        return "out_of_memory"
    told = str(error)
    return next((word for part, word in _CLASSES if part in told), "other")
