"""How do plans run on a SQLite file? On sessions confined to one tool each, kept while they are idle."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Final, final

import apsw

from sandbox.executors.ending import end_of
from sandbox.executors.engine import Confinement, Fetched
from sandbox.executors.sqlite_catalogue import BUSY_S, read_file_catalogue
from sandbox.executors.sqlite_session import Session
from sandbox.leases import FileLease
from sandbox.reasons import Fault, Reason, Refused
from sandbox.sql import Catalogue
from sandbox.stages import Cancellation, Lease, SqlPlan
from sandbox.toolspec import Connection, Digest, FileTarget

MAX_IDLE: Final = 128
"""Idle sessions kept for one file, over all tools; beyond it a session is closed after its call. Each holds a file
descriptor or two and up to 1 MB of pages."""

MAX_IDLE_BYTES: Final = 128 * 1024 * 1024
"""Memory of all SQLite connections of this process beyond which none stays idle: what idle sessions keep prepared must
not take from `MAX_ENGINE_BYTES` what running statements need."""

RELIEF_S: Final = 1.0
"""How often, at most, idle sessions are closed for it: opening one costs some calls' time, and it may well be a
running statement that holds the memory. A statement that was stopped for want of memory does not wait for it."""

_KEPT_AFTER: Final = frozenset(
    {
        Reason.SQL_FAILED,
        Reason.EXECUTION_TIMED_OUT,
        Reason.CALL_CANCELLED,
        Reason.ARGUMENT_INVALID,
        Reason.RESULT_TOO_LARGE,
    }
)
"""Refusals that say nothing against the session."""

_Key = tuple[Digest, bool]


@final
class _Process:
    """All executors of this process, for SQLite counts memory over all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executors: weakref.WeakSet[SqliteExecutor] = weakref.WeakSet()
        self._next = float("-inf")

    def add(self, executor: SqliteExecutor) -> None:
        with self._lock:
            self._executors.add(executor)

    def relieve(self, *, is_urgent: bool) -> None:
        """Close what is idle, unless it was done a moment ago."""
        now = time.monotonic()
        with self._lock:
            if now < self._next and not is_urgent:
                return
            self._next = now + RELIEF_S
            executors = tuple(self._executors)
        for executor in executors:
            executor.let_idle_go()


_PROCESS: Final = _Process()


@final
class SqliteExecutor:
    """Runs plans on the SQLite file of one connection."""

    def __init__(self, connection: Connection, workers: int = 1) -> None:  # noqa: ARG002 - a file has no server to fill
        """Begin without sessions."""
        if not isinstance(connection.target, FileTarget):
            raise Fault("sqlite executor: a connection that is no file")
        self._path = connection.target.path
        self._lock = threading.Lock()
        self._idle: dict[_Key, list[Session]] = {}
        self._idle_count = 0
        self._epoch = 0
        """Sessions of an earlier epoch are not kept."""
        self._is_closed = False
        _PROCESS.add(self)

    def read_catalogue(self, seconds: float = BUSY_S) -> Catalogue:  # noqa: ARG002 - a writer is waited for a second
        """Read the file's tables; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
        return read_file_catalogue(self._path)

    def rehearse(self, confinement: Confinement, lease: Lease, seconds: float = BUSY_S) -> None:  # noqa: ARG002 - a writer is waited for a second
        """Open and confine a session, look into each table, and let go."""
        session = Session(_path_of(lease), confinement, is_fenced=False)
        try:
            session.rehearse(confinement.tables.values())
        finally:
            session.close()

    def run(self, plan: SqlPlan, confinement: Confinement, lease: Lease, cancellation: Cancellation) -> Fetched:
        """Run the plan on a session of its tool; raises `Refused` or `PlanStale`."""
        path = _path_of(lease)
        deadline = end_of(plan, cancellation)
        epoch = self._epoch
        session = self._take(path, confinement, time.monotonic(), is_fenced=plan.is_fenced)
        is_sound, is_starved = False, False
        try:
            fetched = session.run(plan, deadline, cancellation)
            is_sound = True
        except Refused as refused:
            is_sound = refused.reason in _KEPT_AFTER
            is_starved = refused.metadata.get("error") == "out_of_memory"
            raise
        finally:
            # INVARIANT: a session serves one tool; what it has prepared is not authorized again.
            self._give_back((confinement.key, plan.is_fenced), session, epoch if is_sound else None)
            if apsw.memory_used() > MAX_IDLE_BYTES:
                _PROCESS.relieve(is_urgent=is_starved)
        return fetched

    def forget(self) -> None:
        """Close idle sessions; those in use close when they are given back."""
        with self._lock:
            self._epoch += 1
        self.let_idle_go()

    def let_idle_go(self) -> None:
        """Close the idle sessions; whoever comes next opens anew."""
        with self._lock:
            idle, self._idle, self._idle_count = self._idle, {}, 0
        for sessions in idle.values():
            for session in sessions:
                session.close()

    def close(self) -> None:
        """Close everything, now or when it is given back."""
        self._is_closed = True
        self.forget()

    def _take(self, path: str, confinement: Confinement, now: float, *, is_fenced: bool) -> Session:
        while True:
            with self._lock:
                idle = self._idle.get((confinement.key, is_fenced))
                if not idle:
                    break
                session = idle.pop()
                self._idle_count -= 1
            if session.is_current(now):
                return session
            session.close()
        return Session(path, confinement, is_fenced=is_fenced)

    def _give_back(self, key: _Key, session: Session, epoch: int | None) -> None:
        """Keep a session of this epoch for the next call; close any other, and one of none."""
        with self._lock:
            if epoch == self._epoch and not self._is_closed and self._idle_count < MAX_IDLE:
                self._idle.setdefault(key, []).append(session)
                self._idle_count += 1
                return
        session.close()


def _path_of(lease: Lease) -> str:
    if not isinstance(lease, FileLease):
        raise Fault("sqlite executor: a lease of another kind than a file's")
    return lease.path
