"""How is one login talked to? Logged in, one command at a time, in a state that is told before each statement anew."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, final

from sandbox.executors.ending import BACKSTOP_S
from sandbox.executors.idle import MAX_IDLE_S
from sandbox.executors.mysql_packets import ColumnOf, Malformed, error_number, length_at, read_column, read_row
from sandbox.executors.mysql_wire import Wire
from sandbox.executors.server_trouble import Gone, ServerError
from sandbox.sql import MAX_COLUMNS
from sandbox.stages import Cancellation

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer to a question of ours."""
SQL_MODE: Final = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""How the gate's lexer reads a text: `"x"` is a string, a backslash escapes, `||` means OR."""

RESET: Final = b"\x1f"
_QUERY: Final = b"\x03"
_PREPARE: Final = b"\x16"
_CLOSE: Final = b"\x19"
_STATE: Final[Mapping[str, str]] = {
    "sql_mode": f"'{SQL_MODE}'",
    "time_zone": "'+00:00'",
    "lc_time_names": "'en_US'",
    "autocommit": "1",
    "div_precision_increment": "4",
    "default_week_format": "0",
    "group_concat_max_len": str(16 * 1024 * 1024),  # the engine cuts what is longer, and says so nowhere
    "max_recursive_iterations": str(2**32 - 1),  # the same; a statement's time ends it
    "max_session_mem_used": str(256 * 1024 * 1024),
    "lock_wait_timeout": "2",
    "innodb_lock_wait_timeout": "2",
    "idle_transaction_timeout": "10",
    "wait_timeout": str(int(MAX_IDLE_S) + 5),
    "net_write_timeout": "60",
}
"""Settings of every session. None of them is a wall: what a login may read is."""
_EOF: Final = 0xFE
_ERROR: Final = 0xFF


class Failed(ServerError):
    """The server answered with an error."""

    def __init__(self, number: int) -> None:
        """Keep its number."""
        super().__init__(str(number))
        self.number = number


def query(text: str) -> bytes:
    """Return the command that runs one statement; no text is two, for the session cannot take several."""
    return _QUERY + text.encode("utf-8")


def state(seconds: float, max_rows: int) -> tuple[bytes, ...]:
    """Return the commands that make a session what a plan is proven for, whatever it was before."""
    settings = dict(_STATE)
    settings["max_statement_time"] = f"{seconds + BACKSTOP_S:.3f}"
    settings["sql_select_limit"] = str(max_rows + 1)
    told = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return RESET, query("SET NAMES utf8mb4"), query(f"SET SESSION {told}")


@final
class Talk:
    """A connection of one login. Used by one thread at a time."""

    __slots__ = ("connection_id", "server_started", "version", "wire")

    def __init__(
        self, place: Mapping[str, str], login: tuple[str, str, str], until: float, cancellation: Cancellation
    ) -> None:
        """Log in as `(user, password, database)` before `until`; raises `Gone` or `Over`."""
        self.wire = Wire(place, login, until, cancellation)
        try:
            ((number, now, version),) = self.ask("SELECT CONNECTION_ID(), UNIX_TIMESTAMP(), VERSION()")
        except Failed as error:
            self.wire.close()
            raise Gone from error
        except BaseException:
            self.wire.close()
            raise
        self.connection_id = str(number)
        self.version = str(version)
        self.server_started = int(float(now or "0")) - time.monotonic()
        """What to add to `time.monotonic()` for the server's time in seconds since 1970 UTC."""

    @property
    def server_time(self) -> int:
        """The server's time now, in seconds since 1970 UTC."""
        return int(self.server_started + time.monotonic())

    def ask(self, text: str) -> list[tuple[str | None, ...]]:
        """Return what a question of ours gives, as texts; raises `Failed`, `Gone` or `Over`."""
        self.wire.send(query(text))
        return self.answer()

    def answer(self) -> list[tuple[str | None, ...]]:
        """Return the rows of the next answer, as texts; raises as `ask` does."""
        columns = self.begin_rows()
        rows, size = [], 0
        while (row := self.row(len(columns), MAX_ANSWER)) is not None:
            size += sum(len(cell) for cell in row if cell is not None)
            if size > MAX_ANSWER:
                raise Gone
            rows.append(tuple(None if cell is None else cell.decode("utf-8", "replace") for cell in row))
        return rows

    def done(self) -> None:
        """Take the answer to a command that gives no rows; raises `Failed`, `Gone` or `Over`."""
        packet = self._packet()
        if packet[0] != 0:
            raise Gone

    def describe(self, text: str) -> tuple[ColumnOf, ...]:
        """Have the server read a statement, nothing of which runs; returns its columns, none if it gives no rows."""
        self.wire.send(_PREPARE + text.encode("utf-8"))
        packet = self._packet()
        if packet[0] != 0 or len(packet) < 9:
            raise Gone
        columns, parameters = (int.from_bytes(packet[at : at + 2], "little") for at in (5, 7))
        self._columns(parameters)
        described = self._columns(columns)
        self.wire.send(_CLOSE + packet[1:5])  # which the server does not answer
        return tuple(described) if not parameters else ()

    def begin_rows(self) -> list[ColumnOf]:
        """Take the head of an answer with rows; none where there are no rows. Raises `Failed`, `Gone` or `Over`."""
        packet = self._packet()
        if packet[0] == 0:
            return []
        try:
            count, end = length_at(packet, 0)
        except Malformed as error:  # a server that wants a file of ours gets none
            raise Gone from error
        if end != len(packet) or not 0 < count <= MAX_COLUMNS:
            raise Gone
        return self._columns(count)

    def row(self, count: int, max_bytes: int) -> list[bytes | None] | None:
        """Return the next row, None after the last; raises `TooMuch`, `Failed`, `Gone` or `Over`."""
        if not count:
            return None
        packet = self.wire.packet(max_bytes)
        if not packet:
            raise Gone
        if packet[0] == _ERROR:
            raise Failed(error_number(packet))
        if packet[0] == _EOF and len(packet) < 9:
            return None
        try:
            return read_row(packet, count)
        except Malformed as error:
            raise Gone from error

    def _packet(self) -> bytes:
        packet = self.wire.short_packet()
        if packet[0] == _ERROR:
            raise Failed(error_number(packet))
        return packet

    def _columns(self, count: int) -> list[ColumnOf]:
        if not count:
            return []
        try:
            found = [read_column(self._packet()) for _ in range(count)]
        except (Malformed, IndexError) as error:
            raise Gone from error
        if self._packet()[0] != _EOF:
            raise Gone
        return found


def names_of(columns: Sequence[ColumnOf]) -> tuple[str, ...]:
    """Return what a result's columns are called."""
    return tuple(column.name for column in columns)
