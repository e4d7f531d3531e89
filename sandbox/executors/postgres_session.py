"""How does a session run a plan? In a read-only transaction that is always rolled back, within the plan's bounds.

A statement is described before it runs for the first time; what gives no columns is no reading and never runs. A
session that does not come out of a plan whole is closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from psycopg import pq

from sandbox.executors.ending import Over, cancelled, failed, timed_out
from sandbox.executors.engine import Fetched, PlanStale
from sandbox.executors.postgres_cells import Reader, type_of
from sandbox.executors.postgres_claims import signed
from sandbox.executors.postgres_errors import place_in, told
from sandbox.executors.postgres_talk import BEGIN, ROLLBACK, TELL_CLAIMS, WHERE_AND_WHEN, Failed, Talk, described
from sandbox.executors.results import check_heading, fetch, heading_bytes, text_of
from sandbox.executors.server_trouble import Gone, TooMuch, unavailable
from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql import MAX_COLUMNS
from sandbox.stages import Cancellation, ResultColumn, SqlPlan, Truncation
from sandbox.values import Cell, Row

GRACE_S: Final = 0.5
"""How long a statement that must end may take to end; then its connection is cut."""
MAX_PREPARED: Final = 32
"""Statements that one session keeps prepared."""
MIN_PENDING: Final = 64 * 1024
"""Bytes of one row on the wire that are taken however few a tool may show; four times its `max_bytes` come on top, for
a cell is at most so much longer on the wire than in JSON."""
MAX_TYPES: Final = 1_000
"""Types whose names are remembered for one target."""

_ROWS: Final = frozenset({pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.TUPLES_OK})
_CANCELLED: Final = "57014"
_OUTDATED: Final = frozenset({"0A000", "26000"})
"""What a server says to a statement that was prepared for other tables than there are now."""
_NO_RIGHT: Final = "42501"
"""Also what a session is told whose login was dropped and made anew: it is nobody's by then."""
_NAME_OF_TYPE: Final = b"SELECT pg_catalog.format_type($1::oid, $2::int4)"
_ROW_OF_VIEW: Final = re.compile(r'^sandbox_[0-9a-f]{12}\."(?:public\.)?((?:[^"]|"")+)"')
"""A row of one of our views, whose name in quotes is that of the table: what its owner calls the type."""

TypeNames = dict[tuple[int, int], str]
"""What the target calls its types, by number and modifier."""


class Outdated(Exception):
    """What the session has prepared does not hold any more; another session may run the plan."""


@final
@dataclass(frozen=True, slots=True)
class _Prepared:
    name: bytes
    types: tuple[int, ...]
    columns: tuple[ResultColumn, ...]
    heading_bytes: int
    reader: Reader


@final
class Session:
    """A session of one login. Used by one thread at a time."""

    __slots__ = ("_known", "_made", "_talk", "_types", "is_sound", "used_at")

    def __init__(self, talk: Talk, types: TypeNames) -> None:
        """Run plans as whoever `talk` is logged in as."""
        self._talk = talk
        self._types = types
        self._known: dict[str, _Prepared] = {}
        self._made = 0
        self.is_sound = True
        """Whether it may run another plan."""
        self.used_at = 0.0
        """`time.monotonic()` seconds; 0 until it is kept for the first time."""

    @property
    def is_alive(self) -> bool:
        """Whether the server has not ended it while it was idle."""
        return self._talk.wire.is_alive

    def close(self) -> None:
        """Hang up."""
        self._talk.wire.close()

    def run(self, plan: SqlPlan, claims_key: bytes, until: float, cancellation: Cancellation) -> Fetched:
        """Run the plan until `until`; raises `Refused`, `PlanStale`, or `Outdated` where another session may do."""
        values = _values(plan)
        wire, self.is_sound = self._talk.wire, False
        wire.bound(until, cancellation)
        cancellation.on_cancel(wire.bell.ring)
        prepared = self._known.get(plan.sql_to_run)
        try:
            of_plan = prepared or self._prepare(plan)
            self.is_sound = wire.is_idle  # a refusal before anything of the plan was sent costs no session
            check_heading(of_plan.heading_bytes, plan.max_bytes)
            self.is_sound = False
            return self._run(plan, of_plan, values, claims_key)
        except Failed as error:
            self._recover()
            if prepared is not None and error.code in _OUTDATED:
                raise Outdated from None
            if self.used_at and error.code == _NO_RIGHT:
                self.is_sound = False
                raise Outdated from None
            raise _refusal(error, plan) from None
        except Over:
            self._stop()
            raise (cancelled() if cancellation.is_cancelled else timed_out()) from None
        except Gone as error:
            raise unavailable() from error
        finally:
            cancellation.forget(wire.bell.ring)

    def _prepare(self, plan: SqlPlan) -> _Prepared:
        """Have the server read and describe a statement; nothing of it runs."""
        wire, text = self._talk.wire, plan.sql_to_run.encode()
        if b"\0" in text:
            raise PlanStale("NUL in a statement")
        if len(self._known) >= MAX_PREPARED:
            oldest = next(iter(self._known))
            wire.drop(self._known.pop(oldest).name)
            wire.sync()
            wire.drain()
        self._made += 1
        name = b"plan%d" % self._made
        wire.prepare(name, text)
        wire.describe(name)
        wire.sync()
        self._talk.good()
        named = described(self._talk.good())
        wire.drain()
        if not 0 < len(named) <= MAX_COLUMNS:
            raise PlanStale("a statement that gives no rows")
        columns = tuple(
            ResultColumn(column, type_of(number), self._name_of(number, modifier)) for column, number, modifier in named
        )
        heading = heading_bytes(tuple((column.name, column.declared_type) for column in columns))
        prepared = _Prepared(name, tuple(number for _, number, _ in named), columns, heading, Reader())
        self._known[plan.sql_to_run] = prepared
        return prepared

    def _name_of(self, number: int, modifier: int) -> str:
        name = self._types.get((number, modifier))
        if name is None:
            ((found,),) = self._talk.ask(_NAME_OF_TYPE, b"%d" % number, b"%d" % modifier)
            name = _ROW_OF_VIEW.sub(r"\1", str(found))
            if len(self._types) < MAX_TYPES:
                self._types[number, modifier] = name
        return name

    def _run(self, plan: SqlPlan, prepared: _Prepared, values: list[bytes | None], claims_key: bytes) -> Fetched:
        wire = self._talk.wire
        wire.run_prepared(BEGIN)
        if plan.claims:
            wire.run_prepared(WHERE_AND_WHEN)
            wire.sync()
            self._talk.good()
            ((pid, began),) = Reader().rows(self._talk.good())
            wire.drain()
            wire.run_prepared(TELL_CLAIMS, (signed(plan.claims, claims_key, str(pid), str(began)),))
        wire.run_prepared(prepared.name, values)
        wire.run_prepared(ROLLBACK)
        wire.sync()
        self._talk.good()
        wire.rows_one_by_one()
        return self._fetch(plan, prepared)

    def _fetch(self, plan: SqlPlan, prepared: _Prepared) -> Fetched:
        source = _Source(self._talk, prepared, MIN_PENDING + 4 * plan.max_bytes)
        fetched = fetch(source, lambda _: prepared.columns, plan.max_rows, plan.max_bytes)
        if source.is_cut:
            return fetched._replace(truncation=Truncation.BYTES)
        if fetched.truncation is not Truncation.NONE and not source.ends_at_hand():
            self._stop()
            return fetched
        self._recover()
        return fetched

    def _recover(self) -> None:
        """Read what was asked to its end and roll back; the session lives on if that works."""
        with suppress(Failed, Gone, Over):
            self._rolled_back()
            self.is_sound = self._talk.wire.is_idle

    def _stop(self) -> None:
        """Have the engine stop; the session lives on only if its statement was seen to end by that.

        # INVARIANT: a cancel request never meets the next statement: it has struck, or there is no next one.
        """
        with suppress(Failed, Gone, Over):
            self._talk.wire.cancel(GRACE_S)
            self.is_sound = self._rolled_back() == _CANCELLED and self._talk.wire.is_idle

    def _rolled_back(self) -> str:
        state = self._talk.wire.drain()
        if not self._talk.wire.is_idle:
            self._talk.wire.run_prepared(ROLLBACK)
            self._talk.wire.sync()
            self._talk.good()
            self._talk.wire.drain()
        return state


@final
class _Source:
    """The rows of the statement under way, one by one."""

    __slots__ = ("_max_pending", "_prepared", "_taken", "_talk", "is_cut")

    def __init__(self, talk: Talk, prepared: _Prepared, max_pending: int) -> None:
        self._talk = talk
        self._prepared = prepared
        self._max_pending = max_pending
        self._taken = 0
        self.is_cut = False
        """A row came that is larger than a whole result may be; the session is of no use any more."""

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        try:
            result = self._talk.wire.result(self._max_pending)
        except TooMuch:
            return self._cut()
        if result is None:
            raise StopIteration
        if result.status not in _ROWS:
            raise Failed(result)
        if not self._taken and tuple(map(result.ftype, range(result.nfields))) != self._prepared.types:
            raise Gone
        try:
            rows = self._prepared.reader.rows(result)
        except UnicodeError:
            raise failed("not_unicode", "a text of the database is not in its encoding") from None
        if not rows:
            return self.__next__()
        if text_of(rows[0]) > self._max_pending:
            return self._cut()  # libpq reads on while a quick server sends, so it has come whole
        self._taken += 1
        return rows[0]

    def ends_at_hand(self) -> bool:
        """Whether what has arrived already is all there is; its rows are let go."""
        try:
            while self._talk.wire.is_at_hand:
                next(self)
        except (Failed, StopIteration):
            return True
        return False

    def _cut(self) -> Row:
        if self._taken:
            self.is_cut = True
            raise StopIteration
        message = "a single row is larger than the tool may return; fewer or shorter columns are accepted"
        raise Refused(Reason.RESULT_TOO_LARGE, message, rule="limits/max-bytes")


def _values(plan: SqlPlan) -> list[bytes | None]:
    """Return the parameters as text, in the order of their names."""
    return [_text(name, plan.parameters[name]) for name in sorted(plan.parameters)]


def _text(name: str, value: Cell) -> bytes | None:
    match value:
        case None:
            return None
        case bool():
            return b"true" if value else b"false"
        case bytes():
            return b"\\x" + value.hex().encode()
        case _:
            try:
                text = str(value).encode()
            except UnicodeEncodeError:
                text = b"\0"
            if b"\0" in text:
                message = f"the argument {quoted(name)} holds NUL or half of a surrogate pair; Unicode text is accepted"
                raise Refused(Reason.ARGUMENT_INVALID, message, rule="arguments/unicode")
            return text


def _refusal(error: Failed, plan: SqlPlan) -> Refused | PlanStale:
    refused = told(error.code)
    if isinstance(refused, Refused) and error.position and plan.proposed_sql is not None:
        refused.line, refused.column = place_in(plan.proposed_sql, plan.sql_to_run, error.position)
    return refused
