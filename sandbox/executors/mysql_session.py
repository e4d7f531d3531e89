"""How does a session run a plan? In a read-only transaction that is always rolled back, within the plan's bounds.

A statement is described before it runs for the first time; what gives no columns is no reading and never runs. A
session that does not come out of a plan whole is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, final

from sandbox.executors.ending import Over, cancelled, failed, timed_out
from sandbox.executors.engine import Fetched, PlanStale
from sandbox.executors.mysql_cells import Reader, column_of, readers_of
from sandbox.executors.mysql_claims import signed, tell
from sandbox.executors.mysql_errors import told
from sandbox.executors.mysql_literals import with_values
from sandbox.executors.mysql_shape import Kinds
from sandbox.executors.mysql_talk import Failed, Talk, query, state
from sandbox.executors.results import check_heading, fetch, heading_bytes
from sandbox.executors.server_trouble import Gone, TooMuch, unavailable
from sandbox.reasons import Reason, Refused
from sandbox.sql import MAX_COLUMNS
from sandbox.stages import Cancellation, ResultColumn, SqlPlan, Truncation
from sandbox.telemetry.events import warn_often
from sandbox.values import Cell, Row

MIN_PENDING: Final = 64 * 1024
"""Bytes of one row on the wire that are taken however few a tool may show; four times its `max_bytes` come on top, for
a cell is at most so much longer on the wire than in JSON."""
MAX_DESCRIBED: Final = 64
"""Statements whose columns one session remembers."""
MAX_TEXT: Final = 8 * 1024 * 1024
"""Bytes of a statement with its values in it."""

_BEGIN: Final = "START TRANSACTION READ ONLY"
_ROLLBACK: Final = "ROLLBACK"


@final
class Session:
    """A session of one login, for one set of claims. Used by one thread at a time."""

    __slots__ = ("_is_ended", "_known", "_name", "_stop", "_talk", "is_sound", "used_at")

    def __init__(self, name: str, talk: Talk, stop: Callable[[str], None]) -> None:
        """Run plans as whoever `talk` is logged in as; `stop` ends the connection of a number at the server.

        `name` is the connection's, for operators.
        """
        self._name = name
        self._talk = talk
        self._stop = stop
        self._known: dict[str, tuple[ResultColumn, ...]] = {}
        self._is_ended = False
        self.is_sound = True
        """Whether it may run another plan."""
        self.used_at = 0.0
        """`time.monotonic()` seconds."""

    @property
    def is_alive(self) -> bool:
        """Whether the server has not ended it while it was idle."""
        return self._talk.wire.is_alive

    def close(self) -> None:
        """Hang up."""
        self._talk.wire.close()

    def run(self, plan: SqlPlan, kinds: Kinds, claims_key: bytes, until: float, cancellation: Cancellation) -> Fetched:
        """Run the plan until `until`; raises `Refused` or `PlanStale`."""
        wire, self.is_sound = self._talk.wire, False
        wire.bound(until, cancellation)
        cancellation.on_cancel(wire.bell.ring)
        try:
            text = with_values(plan.sql_to_run, plan.dialect, plan.parameters)
            if len(text) * 4 > MAX_TEXT and len(text.encode()) > MAX_TEXT:
                raise Refused(Reason.ARGUMENT_INVALID, "the arguments are too large", rule="arguments/size")
            self._begin(plan, kinds, claims_key)
            check_heading(self._heading(text), plan.max_bytes)
            fetched = self._fetch(plan, text)
            if self.is_sound:
                self._roll_back()
        except Failed as error:
            self._roll_back()
            raise told(error.number) from None
        except Over:
            self._end()
            raise (cancelled() if cancellation.is_cancelled else timed_out()) from None
        except Gone as error:
            raise unavailable() from error
        except (Refused, PlanStale):
            if not self._is_ended:
                self._roll_back()
            raise
        finally:
            cancellation.forget(wire.bell.ring)
        return fetched

    def _begin(self, plan: SqlPlan, kinds: Kinds, claims_key: bytes) -> None:
        """Reset the session, begin, and see that each view stands for what the plan believes: one round trip."""
        talk = self._talk
        commands = [*state(plan.max_seconds, plan.max_rows), query(_BEGIN)]
        if plan.claims:
            commands.append(query(tell(signed(plan.claims, claims_key, talk.connection_id, talk.server_time))))
        talk.wire.send(*commands, query(kinds.question))
        for _ in commands:
            try:
                talk.done()
            except Failed as error:
                warn_often("session not settled", self._name, causes=str(error.number))
                raise Gone from error
        ((found, *_),) = talk.answer()
        if found != kinds.answer:
            raise PlanStale("a table has become a view, a view a table, or it is gone")

    def _heading(self, text: str) -> int:
        """Have the server describe a statement that is new to the session; returns how large its heading is."""
        columns = self._known.get(text)
        if columns is None:
            if "\0" in text:
                raise PlanStale("NUL in a statement")
            described = self._talk.describe(text)
            if not 0 < len(described) <= MAX_COLUMNS:
                raise PlanStale("a statement that gives no rows")
            columns = tuple(map(column_of, described))
            if len(self._known) >= MAX_DESCRIBED:
                self._known.pop(next(iter(self._known)))
            self._known[text] = columns
        return heading_bytes(tuple((column.name, column.declared_type) for column in columns))

    def _fetch(self, plan: SqlPlan, text: str) -> Fetched:
        self._talk.wire.send(query(text))
        described = self._talk.begin_rows()
        if not described:
            raise PlanStale("a statement that gives no rows")
        columns = tuple(map(column_of, described))
        source = _Source(self._talk, readers_of(described), MIN_PENDING + 4 * plan.max_bytes)
        try:
            fetched = fetch(source, lambda _: columns, plan.max_rows, plan.max_bytes)
        except Refused:
            self._end()
            raise
        if source.is_cut:
            self._end()
            return fetched._replace(truncation=Truncation.BYTES)
        if fetched.truncation is not Truncation.NONE and not source.ends_at_hand():
            self._end()
            return fetched
        self.is_sound = True
        return fetched

    def _roll_back(self) -> None:
        """Roll back, where nothing that was asked is left unread; the session lives on if that works."""
        self.is_sound = False
        with suppress(Failed, Gone, Over):
            self._talk.ask(_ROLLBACK)
            self.is_sound = True

    def _end(self) -> None:
        """Have the engine end the connection, whatever it does: no later statement can be met by that."""
        self.is_sound, self._is_ended = False, True
        self._stop(self._talk.connection_id)


@final
class _Source:
    """The rows of the statement under way, one by one."""

    __slots__ = ("_max_pending", "_readers", "_taken", "_talk", "is_cut")

    def __init__(self, talk: Talk, readers: Sequence[Reader], max_pending: int) -> None:
        self._talk = talk
        self._readers = readers
        self._max_pending = max_pending
        self._taken = 0
        self.is_cut = False
        """A row came that is larger than a whole result may be; the session is of no use any more."""

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        try:
            cells = self._talk.row(len(self._readers), self._max_pending)
        except TooMuch:
            if self._taken:
                self.is_cut = True
                raise StopIteration from None
            raise _too_large() from None
        if cells is None:
            raise StopIteration
        self._taken += 1
        return tuple([_cell(read, cell) for read, cell in zip(self._readers, cells, strict=True)])

    def ends_at_hand(self) -> bool:
        """Whether what has arrived already is all there is; its rows are let go."""
        try:
            while self._talk.wire.is_at_hand:
                next(self)
        except StopIteration:
            return not self.is_cut
        except Failed:  # the statement ended so, after the rows that were asked for
            return True
        except (Refused, Gone):
            return False
        return False


def _cell(read: Reader, text: bytes | None) -> Cell:
    if text is None:
        return None
    try:
        return read(text)
    except UnicodeError:
        raise failed("not_unicode", "a text of the database is not in its encoding") from None
    except ValueError as error:
        raise Gone from error


def _too_large() -> Refused:
    message = "a single row is larger than the tool may return; fewer or shorter columns are accepted"
    return Refused(Reason.RESULT_TOO_LARGE, message, rule="limits/max-bytes")
