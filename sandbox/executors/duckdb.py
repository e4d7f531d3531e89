"""How do plans run on a DuckDB file? Each in a process of its own, which is killed when the call is over."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, final

from sandbox.confined.frames import Heading, Rows, Statement, Stopped, Tables, Task
from sandbox.executors.duckdb_errors import no_process, told, unavailable
from sandbox.executors.duckdb_host import Host, Lost, NotMade, Process
from sandbox.executors.duckdb_views import as_read, select_of, views_of
from sandbox.executors.ending import Over, cancelled, end_of, failed, timed_out
from sandbox.executors.engine import Confinement, Fetched, PlanStale
from sandbox.executors.places import Places
from sandbox.executors.results import check_heading, fetch, heading_bytes
from sandbox.leases import FileLease
from sandbox.reasons import Fault, Refused
from sandbox.sql import Catalogue, ColumnShape, TableShape, folded
from sandbox.sql.dialects.duckdb_functions import BEHIND_GRAMMAR
from sandbox.stages import Cancellation, Lease, ResultColumn, SqlPlan
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import Connection, Digest, FileTarget, TableRule
from sandbox.values import Cell, Row

MAX_RUNNING: Final = 8
"""Statements that run on one file at once, over all workers; each may take half a gigabyte and a core."""

CATALOGUE_S: Final = 10.0

_CELLS: Final = (int, float, str, bytes, type(None))


@final
class DuckdbExecutor:
    """Runs plans on the DuckDB file of one connection."""

    def __init__(self, connection: Connection, workers: int = 1) -> None:
        """Begin without a process; so many processes of the service share what may run at once."""
        if not isinstance(connection.target, FileTarget):
            raise Fault("duckdb executor: a connection that is no file")
        self._name = connection.name
        self._path = connection.target.path
        self._host = Host()
        self._places = Places(max(1, MAX_RUNNING // workers))
        self._believed: Tables | None = None
        """What the file had when it was last read."""

    def read_catalogue(self, seconds: float = CATALOGUE_S) -> Catalogue:
        """Read the file's tables; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
        try:
            self._believed = found = self._found(_from_now(seconds), Cancellation())
        except Over as error:
            raise unavailable() from error
        return _catalogue(found)

    def rehearse(self, confinement: Confinement, lease: Lease, seconds: float = CATALOGUE_S) -> None:
        """Confine a process, look at each table, and let go; so many seconds each."""
        try:
            for name, rule in confinement.tables.items():
                until, nobody = _from_now(seconds), Cancellation()
                statement = _statement(select_of(rule), {name: rule}, confinement, self._tables(until, nobody))
                with self._talk(Task(_path_of(lease), statement), until, nobody) as replies:
                    for _ in replies:
                        pass
        except Over as error:
            raise unavailable() from error

    def run(self, plan: SqlPlan, confinement: Confinement, lease: Lease, cancellation: Cancellation) -> Fetched:
        """Run the plan in a process of its own; raises `Refused` or `PlanStale`."""
        until = end_of(plan, cancellation)
        read = frozenset(plan.rights.columns)
        rules = {name: as_read(confinement.tables[name], read) for name in map(folded, plan.rights.relations)}
        try:
            believed = self._tables(until, cancellation)
            statement = _statement(plan.sql_to_run, rules, confinement, believed, plan)
            with (
                self._places.hold(until, cancellation),
                self._talk(Task(_path_of(lease), statement), until, cancellation) as replies,
            ):
                heading = next(replies)
                if not isinstance(heading, Heading):
                    raise Fault("duckdb executor: rows without a heading")
                columns = _columns(heading, confinement.max_bytes)
                return fetch(_rows(replies, heading.types), lambda _: columns, plan.max_rows, plan.max_bytes)
        except Over:
            raise (cancelled() if cancellation.is_cancelled else timed_out()) from None

    def forget(self) -> None:
        """Nothing is kept from one call to the next."""

    def close(self) -> None:
        """End every process, now or with the call that it runs for."""
        self._host.close()

    def _tables(self, until: float, cancellation: Cancellation) -> Tables:
        """Return what the file is believed to have, read where nobody has looked yet; raises `Refused` or `Over`."""
        believed = self._believed
        if believed is None:
            believed = self._found(until, cancellation)
            if self._believed is None:  # else somebody has read it meanwhile, and later
                self._believed = believed
        return believed

    def _found(self, until: float, cancellation: Cancellation) -> Tables:
        try:
            with self._host.process(Task(self._path), until, cancellation) as process:
                found = process.take()
        except NotMade as error:
            raise self._without_process(error) from error
        except Lost as error:
            raise unavailable() from error
        if not isinstance(found, Tables):
            raise unavailable()
        return found

    @contextmanager
    def _talk(self, task: Task, until: float, cancellation: Cancellation) -> Iterator[Iterator[Heading | Rows]]:
        try:
            with self._host.process(task, until, cancellation) as process:
                yield _replies(process)
        except NotMade as error:
            raise self._without_process(error) from error
        except Lost as error:
            # A process that ends without a word was killed by the system, for want of memory as a rule.
            raise failed("out_of_memory", "the statement needs too much memory") from error

    def _without_process(self, error: NotMade) -> Refused:
        """Return the refusal for a call that no process can be made for; operators are told why."""
        warn_often("process not made", self._name, causes=str(error))
        return no_process()


def _statement(
    text: str,
    rules: Mapping[str, TableRule],
    confinement: Confinement,
    believed: Tables,
    plan: SqlPlan | None = None,
) -> Statement:
    """Return what a process is told; raises `PlanStale` if a table is none, or of another kind than at load."""
    tables = {folded(table.name): table for table in believed.tables}
    for name in rules:
        if name not in tables or tables[name].is_view is not (name in confinement.views):
            raise PlanStale(f"the table {name} is gone, or of another kind")
    return Statement(
        text=text,
        parameters=dict(plan.parameters) if plan else {},
        claims=dict(plan.claims) if plan else {},
        views=views_of(rules, tables),
        relations=frozenset(rules),
        functions=BEHIND_GRAMMAR.union(plan.rights.functions if plan else ()),
        fingerprint=believed.fingerprint,
        max_bytes=confinement.max_bytes,
    )


def _replies(process: Process) -> Iterator[Heading | Rows]:
    """Yield what comes until the result ends; raises what a process stopped for."""
    while True:
        reply = process.take()
        if isinstance(reply, Stopped):
            raise told(reply.word, reply.why)
        if isinstance(reply, Tables):
            raise Fault("duckdb executor: tables in place of rows")
        yield reply
        if isinstance(reply, Rows) and not reply.rows:
            return


def _rows(replies: Iterator[Heading | Rows], types: Sequence[str]) -> Iterator[Row]:
    for reply in replies:
        if not isinstance(reply, Rows):
            raise Fault("duckdb executor: a second heading")
        for row in reply.rows:
            yield tuple(_cell(value, kind) for value, kind in zip(row, types, strict=True))


def _cell(value: object, kind: str) -> Cell:
    if isinstance(value, str) and kind == "integer":
        return int(value)
    if not isinstance(value, _CELLS):
        raise Fault("duckdb executor: a cell that is none")
    return value


def _columns(heading: Heading, max_bytes: int) -> tuple[ResultColumn, ...]:
    check_heading(heading_bytes(tuple((one.name, one.declared_type) for one in heading.columns)), max_bytes)
    typed = zip(heading.columns, heading.types, strict=True)
    return tuple(ResultColumn(column.name, kind, column.declared_type) for column, kind in typed)


def _catalogue(found: Tables) -> Catalogue:
    shapes: dict[str, TableShape] = {}
    for table in found.tables:
        columns = tuple(ColumnShape(column.name, column.declared_type) for column in table.columns)
        kind: Literal["table", "view"] = "view" if table.is_view else "table"
        shapes[folded(table.name)] = TableShape(table.name, columns, kind, has_rowid=not table.is_view)
    return Catalogue(shapes, Digest(found.fingerprint))


def _from_now(seconds: float) -> float:
    return time.monotonic() + seconds


def _path_of(lease: Lease) -> str:
    if not isinstance(lease, FileLease):
        raise Fault("duckdb executor: a lease of another kind than a file's")
    return lease.path
