"""How do bytes go to a MariaDB server and back, without ever waiting longer than a call may?

One connection, never blocking: every wait ends when the server answers, when time is over or when somebody rings. What
is sent may be several commands at once, which the server answers in order: a call's preparations cost one round trip.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, final

from sandbox.executors.bell import Bell
from sandbox.executors.ending import Over
from sandbox.executors.hosts import addresses_of
from sandbox.executors.mysql_packets import (
    NATIVE,
    Malformed,
    error_number,
    login_packet,
    native_proof,
    read_greeting,
    tls_request,
)
from sandbox.executors.mysql_trouble import REFUSED, trouble_of
from sandbox.executors.server_trouble import Gone, TooMuch
from sandbox.stages import Cancellation

MAX_LET_GO: Final = 1024 * 1024
"""Bytes of one packet that are read only to be let go; for more, the connection is given up."""
_WHOLE: Final = 0xFFFFFF
"""A packet so long has another one after it that goes on."""
_CHUNK: Final = 256 * 1024
_POLL_MAX_S: Final = 60.0
_SWITCH: Final = 0xFE
_ERROR: Final = 0xFF


@final
class Wire:
    """One connection. Used by one thread at a time, but for its bell."""

    __slots__ = ("_buffer", "_cancellation", "_is_closed", "_poll", "_sequence", "_socket", "_until", "bell")

    def __init__(
        self,
        place: Mapping[str, str],
        login: tuple[str, str, str],
        until: float,
        cancellation: Cancellation,
        more: int = 0,
    ) -> None:
        """Connect, and log in as `(user, password, database)`, before `until`; raises `Gone` or `Over`."""
        self._is_closed = False
        self.bell = Bell()
        self._buffer = bytearray()
        self._sequence = 0
        self._socket: socket.socket | ssl.SSLSocket | None = None
        self._poll = select.poll()
        self._poll.register(self.bell, select.POLLIN)
        self.bound(until, cancellation)
        cancellation.on_cancel(self.bell.ring)
        try:
            self._connect(place)
            self._log_in(place, *login, more)
        except (OSError, Malformed) as error:
            self.close()
            raise Gone("tls" if isinstance(error, ssl.SSLError) else "other") from error
        except BaseException:
            self.close()
            raise
        finally:
            cancellation.forget(self.bell.ring)

    def bound(self, until: float, cancellation: Cancellation) -> None:
        """Let waits from here on end at `until` (`time.monotonic()`), or when the bell rings for a cancellation."""
        self._until = until
        self._cancellation = cancellation

    def close(self) -> None:
        """Hang up, without a word more than is said already."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None
        self.bell.close()

    def __del__(self) -> None:
        self.close()  # whoever lets go of a session hangs up

    @property
    def is_alive(self) -> bool:
        """Whether an idle connection still is one; looks, and waits for nothing. A server says nothing unasked."""
        return self._socket is not None and not self._buffer and not self._ready(select.POLLIN, 0.0)

    def send(self, *commands: bytes) -> None:
        """Send commands, which are answered in order; raises `Gone` or `Over`."""
        self._write(b"".join(len(command).to_bytes(3, "little") + b"\0" + command for command in commands))

    def packet(self, max_bytes: int = MAX_LET_GO) -> bytes:
        """Return what the server says next; raises `TooMuch` for more than `max_bytes`, `Gone`, or `Over`."""
        if time.monotonic() > self._until:  # a flood is never waited for
            raise Over
        size = self._head()
        if size > max_bytes:
            raise TooMuch
        packet = self._take(size)
        while size == _WHOLE:
            size = self._head()
            if len(packet) + size > max_bytes:
                raise TooMuch
            packet += self._take(size)
        return packet

    def short_packet(self) -> bytes:
        """Return what the server says next where little is expected, but not nothing; raises `Gone` or `Over`."""
        try:
            packet = self.packet()
        except TooMuch as error:
            raise Gone from error
        if not packet:
            raise Gone
        return packet

    @property
    def is_at_hand(self) -> bool:
        """Whether the next packet has begun to arrive."""
        return len(self._buffer) >= 4 or self._ready(select.POLLIN, 0.0)

    def _head(self) -> int:
        head = self._take(4)
        self._sequence = head[3]
        return int.from_bytes(head[:3], "little")

    def _take(self, count: int) -> bytes:
        buffer = self._buffer
        while len(buffer) < count:
            buffer += self._read()
        taken = bytes(buffer[:count])
        del buffer[:count]
        return taken

    def _read(self) -> bytes:
        while True:
            try:
                if self._socket is None:
                    raise Gone
                found = self._socket.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            except OSError as error:
                raise Gone from error
            else:
                if not found:
                    raise Gone
                return found

    def _write(self, told: bytes) -> None:
        left = memoryview(told)
        while left:
            try:
                if self._socket is None:
                    raise Gone
                left = left[self._socket.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except OSError as error:
                raise Gone from error

    def _answer(self, told: bytes) -> None:
        """Answer within the exchange that the server began."""
        self._write(len(told).to_bytes(3, "little") + bytes([(self._sequence + 1) % 256]) + told)

    def _connect(self, place: Mapping[str, str]) -> None:
        if path := place.get("socket"):
            self._reach(socket.socket(socket.AF_UNIX), path, self._until)
            return
        addresses = addresses_of(place["host"], self._until, self._cancellation)
        if not addresses:
            raise Gone("resolve")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            reaching = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            reaching.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                now = time.monotonic()
                self._reach(reaching, (address, int(place["port"])), now + (self._until - now) / left)
            except (Gone, Over):
                if left == 1 or self._cancellation.is_cancelled:
                    raise
                self._unwatch(reaching)
                reaching.close()
            else:
                return

    def _reach(self, reaching: socket.socket, address: str | tuple[str, int], until: float) -> None:
        self._socket = reaching
        reaching.setblocking(False)
        try:
            reaching.connect(address)
        except BlockingIOError:
            self._wait(select.POLLOUT, until)
            if reaching.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise Gone("connect") from None
        except OSError as error:
            raise Gone("connect") from error

    def _log_in(self, place: Mapping[str, str], user: str, password: str, database: str, more: int) -> None:
        first = self.short_packet()
        if first[:1] == bytes([_ERROR]):
            raise Gone(trouble_of(error_number(first)))
        greeting = read_greeting(first)
        speaks_tls = place.get("ssl-mode") == "verify_identity"
        if speaks_tls:
            if not greeting.speaks_tls:
                raise Gone("tls")
            self._answer(tls_request())
            self._sequence += 1
            self._begin_tls(place)
        self._answer(login_packet(user, password, database, greeting.challenge, speaks_tls=speaks_tls, more=more))
        said = self.short_packet()
        if said[0] == _SWITCH:
            method, _, challenge = said[1:].partition(b"\0")
            if method != NATIVE:
                # INVARIANT: a server that asks for the password itself, in whatever form, gets none.
                raise Gone("method", was_refused=True)
            self._answer(native_proof(password, challenge.rstrip(b"\0")))
            said = self.short_packet()
        if said[0] == _ERROR:
            trouble = trouble_of(error_number(said))
            raise Gone(trouble, was_refused=trouble in REFUSED)
        if said[0] != 0:
            raise Gone("method", was_refused=True)

    def _begin_tls(self, place: Mapping[str, str]) -> None:
        plain = self._socket
        if plain is None or self._buffer:  # nothing that came before TLS is believed to have come within it
            raise Gone("tls")
        context = ssl.create_default_context(cafile=place.get("ssl-ca") or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._unwatch(plain)
        self._socket = tls = context.wrap_socket(plain, server_hostname=place["host"], do_handshake_on_connect=False)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            else:
                return

    def _unwatch(self, known: socket.socket) -> None:
        """Look no more for a socket, before it is closed: its number may be another's then."""
        with suppress(KeyError):  # nobody has waited for it yet
            self._poll.unregister(known)

    def _wait(self, events: int, until: float | None = None) -> None:
        """Wait until the socket is ready, no longer than `until` where that is earlier; raises `Over`."""
        end = self._until if until is None else min(until, self._until)
        while True:
            left = end - time.monotonic()
            if left <= 0 or self._cancellation.is_cancelled:
                raise Over
            if self._ready(events, min(left, _POLL_MAX_S)):
                return

    def _ready(self, events: int, seconds: float) -> bool:
        if self._socket is None:
            raise Gone
        if isinstance(self._socket, ssl.SSLSocket) and events == select.POLLIN and self._socket.pending():
            return True
        self._poll.register(self._socket, events)
        found = self._poll.poll(seconds * 1000)
        if any(descriptor == self.bell.fileno() for descriptor, _ in found):
            self.bell.hush()
        return any(descriptor == self._socket.fileno() for descriptor, _ in found)
