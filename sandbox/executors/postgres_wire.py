"""How do bytes go to a PostgreSQL server and back, without ever waiting longer than a call may?

One connection, never blocking: every wait ends when the server answers, when time is over or when somebody rings. What
is sent goes through the extended protocol alone, where a text is one statement, and in pipelines, so that a whole
transaction costs one round trip.
"""

from __future__ import annotations

import fcntl
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, ParamSpec, final

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from sandbox.executors.bell import Bell
from sandbox.executors.ending import Over
from sandbox.executors.postgres_trouble import trouble_of
from sandbox.executors.server_trouble import Gone, TooMuch
from sandbox.stages import Cancellation

MAX_LET_GO: Final = 1024 * 1024
"""Bytes of one row that are read only to be let go; for more, the connection is given up."""

_POLL_MAX_S: Final = 60.0
_CONNECTING: Final[Mapping[int, int]] = {
    pq.PollingStatus.READING: select.POLLIN,
    pq.PollingStatus.WRITING: select.POLLOUT,
}

_Words = ParamSpec("_Words")

Result = pq.abc.PGresult
"""What libpq gives for one statement, or for one row of it."""


@final
class Wire:
    """One connection. Used by one thread at a time, but for its bell."""

    __slots__ = ("_cancellation", "_connection", "_poll", "_until", "_watched", "bell")

    def __init__(self, parameters: Mapping[str, str], until: float, cancellation: Cancellation) -> None:
        """Connect with libpq's parameters before `until` (`time.monotonic()` seconds); raises `Gone` or `Over`."""
        self.bell = Bell()
        self._poll = select.poll()
        self._poll.register(self.bell, select.POLLIN)
        self._watched = -1
        self.bound(until, cancellation)
        self._connection = pq.PGconn.connect_start(make_conninfo(**parameters).encode())
        cancellation.on_cancel(self.bell.ring)
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        finally:
            cancellation.forget(self.bell.ring)

    def bound(self, until: float, cancellation: Cancellation) -> None:
        """Let waits from here on end at `until`, or when the bell rings for a cancellation."""
        self._until = until
        self._cancellation = cancellation

    def close(self) -> None:
        """Hang up, without a word more than is said already."""
        self._connection.finish()
        self.bell.close()

    @property
    def is_alive(self) -> bool:
        """Whether an idle connection still is one; looks, and waits for nothing.

        A server that says anything unasked has ended the session, or changed what it was told when it began.
        """
        return not self._ready(select.POLLIN, 0.0)

    @property
    def is_idle(self) -> bool:
        """Whether the server is in no transaction and waits for the next statement."""
        return self._connection.transaction_status == pq.TransactionStatus.IDLE

    @property
    def is_superuser(self) -> bool:
        """Whether the server let a superuser in."""
        return self._connection.parameter_status(b"is_superuser") != b"off"

    def prepare(self, name: bytes, text: bytes) -> None:
        """Queue the preparing of one statement."""
        self._queued(self._connection.send_prepare, name, text)

    def describe(self, name: bytes) -> None:
        """Queue the question which columns a prepared statement gives."""
        self._queued(self._connection.send_describe_prepared, name)

    def run_prepared(self, name: bytes, values: Sequence[bytes | None] = ()) -> None:
        """Queue the running of a prepared statement, its values as text."""
        self._queued(self._connection.send_query_prepared, name, values or None)

    def run(self, text: bytes, values: Sequence[bytes | None] = ()) -> None:
        """Queue one statement that is not prepared."""
        self._queued(self._connection.send_query_params, text, values or None)

    def drop(self, name: bytes) -> None:
        """Queue the forgetting of a prepared statement."""
        self._queued(self._connection.send_close_prepared, name)

    def sync(self) -> None:
        """End the pipeline and send all of it."""
        self._queued(self._connection.pipeline_sync)
        try:
            while self._connection.flush():
                self._wait(select.POLLOUT | select.POLLIN)
                self._connection.consume_input()
        except psycopg.Error as error:
            raise Gone from error

    def result(self, max_pending: int) -> Result | None:
        """Return the next result, None after each statement's last.

        Raises `TooMuch` where more than `max_pending` bytes have come and no result is whole.
        """
        pending = 0
        if time.monotonic() > self._until:  # a flood is never waited for
            raise Over
        try:
            while self._connection.is_busy():
                self._wait(select.POLLIN)
                pending += self._readable()
                self._connection.consume_input()
                if pending > max_pending and self._connection.is_busy():
                    raise TooMuch
            result = self._connection.get_result()
        except psycopg.Error as error:
            raise Gone from error
        if result is None and self._connection.status != pq.ConnStatus.OK:
            raise Gone
        return result

    def drain(self) -> str:
        """Read and let go of what is left of a pipeline, to its end; return the SQLSTATE of the last error in it."""
        state = ""
        while True:
            try:
                result = self.result(MAX_LET_GO)
            except TooMuch as error:
                raise Gone from error
            if result is None:
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return state
            if result.status == pq.ExecStatus.FATAL_ERROR:
                state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode("ascii", "replace")

    @property
    def is_at_hand(self) -> bool:
        """Whether the next result has arrived already."""
        return not self._connection.is_busy()

    def rows_one_by_one(self) -> None:
        """Have the statement whose results come next give each row as a result of its own."""
        try:
            self._connection.set_single_row_mode()
        except psycopg.Error as error:
            raise Gone from error

    def cancel(self, grace_s: float) -> None:
        """Ask the server to stop the statement under way, and wait until it has taken the request to its process.

        Raises `Gone` if that is not done within `grace_s`. Waits from here on end with the grace.
        """
        self.bound(time.monotonic() + grace_s, Cancellation())
        try:
            request = self._connection.cancel_conn()
            request.start()
            while (status := request.poll()) != pq.PollingStatus.OK:
                if status not in _CONNECTING or time.monotonic() > self._until:
                    raise Gone
                waiting = select.poll()
                waiting.register(request.socket, _CONNECTING[status])
                waiting.poll(max(0.0, self._until - time.monotonic()) * 1000)
            request.finish()
        except psycopg.Error as error:
            raise Gone from error

    def _connect(self) -> None:
        connection = self._connection
        try:
            while (status := connection.connect_poll()) != pq.PollingStatus.OK:
                if status not in _CONNECTING:
                    trouble = trouble_of(connection.error_message.decode("utf-8", "replace"))
                    # A server that is not busy will not let this login in later either; it had to ask for the password.
                    raise Gone(trouble, was_refused=connection.used_password and trouble != "busy")
                self._wait(_CONNECTING[status])
            connection.nonblocking = 1
            connection.notice_handler = None
            connection.enter_pipeline_mode()
        except psycopg.Error as error:
            raise Gone from error

    def _queued(self, send: Callable[_Words, None], *words: _Words.args, **named: _Words.kwargs) -> None:
        try:
            send(*words, **named)
        except psycopg.Error as error:
            raise Gone from error

    def _wait(self, events: int) -> None:
        """Wait until the socket is ready; raises `Over`."""
        while True:
            left = self._until - time.monotonic()
            if left <= 0 or self._cancellation.is_cancelled:
                raise Over
            if self._ready(events, min(left, _POLL_MAX_S)):
                return

    def _ready(self, events: int, seconds: float) -> bool:
        socket = self._connection.socket
        if socket != self._watched:
            if self._watched >= 0:
                self._poll.unregister(self._watched)
            self._watched = socket
        self._poll.register(socket, events)
        found = self._poll.poll(seconds * 1000)
        if any(descriptor == self.bell.fileno() for descriptor, _ in found):
            self.bell.hush()
        return any(descriptor == socket for descriptor, _ in found)

    def _readable(self) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(self._connection.socket, termios.FIONREAD, b"\0\0\0\0"))
        return int(count)
