"""How does one request reach its host, and one response come back? One connection a request, bounded in every way.

The host is resolved, every address is checked, and the connection goes to one of the checked addresses by number:
nobody asks a second time. No proxy, no cookie, no redirect, no second request on a connection; one deadline for it all.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, final

from sandbox.outbound.addresses import Address, Network, is_permitted
from sandbox.outbound.resolver import ask_aside
from sandbox.stages import Cancellation

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host as text; raises `OSError` if it has none."""

Trouble: TypeAlias = Literal[
    "resolve", "address", "connect", "tls", "cut", "response", "encoding", "too_large", "timed_out", "cancelled"
]
"""What can go wrong, as a fixed word: never in the target's own words."""

MAX_HEADER_BYTES: Final = 64 * 1024
"""Of a status line with all headers; http.client takes at most 100 of them."""
MAX_ADDRESSES: Final = 8
"""Tried in turn; beyond it a name is a list."""
PIECE: Final = 64 * 1024


class Failed(Exception):
    """No whole response came."""

    def __init__(self, trouble: Trouble, *, was_sent: bool = False, is_answered: bool = False) -> None:
        """Say what went wrong, whether anything of the request had been sent and a status line had come."""
        super().__init__(trouble)
        self.trouble: Trouble = trouble
        self.was_sent = was_sent
        self.is_answered = is_answered


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a connection leads, and what it may reach there."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    networks: tuple[Network, ...]
    resolve: Resolve


@final
@dataclass(frozen=True, slots=True)
class Question:
    """A request, and how much of a response is wanted."""

    request: bytes
    takes_body: Callable[[int], bool]
    """Whether the body of a response with this status is read."""
    max_body: int


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """A response within bounds."""

    status: int
    body: bytes


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def exchange(destination: Destination, question: Question, deadline: float, cancellation: Cancellation) -> Answer:
    """Send the request and return the response; raises `Failed`. `deadline` is in `time.monotonic()` seconds."""
    with _opening(destination, deadline, cancellation) as line:
        return line.exchange(question)


def reach(destination: Destination, deadline: float) -> None:
    """Connect as `exchange` does, agree on TLS and hang up, without a request; raises `Failed`."""
    with _opening(destination, deadline, Cancellation()) as line:
        line.connect()


@contextmanager
def _opening(destination: Destination, deadline: float, cancellation: Cancellation) -> Iterator[_Line]:
    """Give a connection for the block, whatever goes wrong in which is told as `Failed`."""
    line = _Line(destination, deadline)
    cancellation.on_cancel(line.cut)
    try:
        yield line
    except Failed as failed:
        raise line.told(failed.trouble) from failed
    except TimeoutError as error:
        raise line.told("timed_out") from error
    except ssl.SSLError as error:
        raise line.told("cut" if line.was_sent else "tls") from error
    except http.client.IncompleteRead as error:
        raise line.told("cut") from error
    except (http.client.HTTPException, ValueError) as error:
        raise line.told("cut" if isinstance(error, http.client.RemoteDisconnected) else "response") from error
    except OSError as error:
        raise line.told("cut" if line.was_sent else "connect") from error
    finally:
        cancellation.forget(line.cut)
        line.close()


@final
class _Line:
    """One connection, from the name to the last byte."""

    def __init__(self, destination: Destination, deadline: float) -> None:
        self._to = destination
        self._deadline = deadline
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False
        self._resolved = threading.Event()
        self.was_sent = False
        self.is_answered = False

    def cut(self) -> None:
        """Stop whatever the line waits for, from any thread."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                with suppress(OSError):
                    # WHY: not the method of an `SSLSocket`, which drops its state under the reading thread.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._resolved.set()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def told(self, trouble: Trouble) -> Failed:
        """Return what went wrong; whoever was stopped, or ran out of time, was not cut by the target."""
        if self._is_cut:
            trouble = "cancelled"
        elif trouble != "too_large" and time.monotonic() >= self._deadline:
            trouble = "timed_out"
        return Failed(trouble, was_sent=self.was_sent, is_answered=self.is_answered)

    def exchange(self, question: Question) -> Answer:
        """Do it all once."""
        request, line = question.request, self.connect()
        for start in range(0, len(request), PIECE):
            line.settimeout(self._left())
            self.was_sent = True
            line.sendall(request[start : start + PIECE])
        incoming = _Incoming(self, line)
        with http.client.HTTPResponse(
            cast("socket.socket", incoming), method=request.split(b" ", 1)[0].decode()
        ) as response:
            response.begin()
            if incoming.has_ended:
                raise Failed("cut")  # `http.client` takes the end of the stream for the end of the headers
            self.is_answered = True
            if not question.takes_body(response.status):
                return Answer(response.status, b"")
            incoming.room += question.max_body + MAX_HEADER_BYTES  # chunks have headers of their own
            return Answer(response.status, _body(response, question.max_body))

    def connect(self) -> socket.socket:
        """Connect to one of the host's addresses, and agree on TLS where the destination has it."""
        return self._secured(self._connected(self._checked()))

    def take(self, line: socket.socket, most: int) -> bytes:
        """Return what has come; empty at the end."""
        line.settimeout(self._left())
        piece = line.recv(most)
        if not piece and self._is_cut:
            raise Failed("cancelled")  # the end is ours: nobody may take it for the end of a body
        return piece

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._is_cut:
            raise Failed("cancelled")
        return left

    def _checked(self) -> list[Address]:
        """Return the host's addresses, all of which may be reached."""
        addresses = [ipaddress.ip_address(text) for text in dict.fromkeys(self._asked())]
        # INVARIANT: one forbidden address forbids the name: which one a later connection takes is chance.
        if not all(is_permitted(address, self._to.networks) for address in addresses):
            raise Failed("address")
        if not addresses:
            raise Failed("resolve")
        return addresses[:MAX_ADDRESSES]

    def _asked(self) -> Sequence[str]:
        """Ask the resolver; nobody about an address."""
        with suppress(ValueError):
            return [str(ipaddress.ip_address(self._to.host))]
        host, port, resolve = self._to.host, self._to.port, self._to.resolve
        found = ask_aside(lambda: resolve(host, port), self._resolved, self._left())
        self._left()
        return found

    def _connected(self, addresses: Sequence[Address]) -> socket.socket:
        for index, address in enumerate(addresses):
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            left_s = self._left()
            try:
                line = self._held(socket.socket(family, socket.SOCK_STREAM))
                # WHY: an address that swallows packets leaves time for the others.
                line.settimeout(left_s / (len(addresses) - index))
                line.connect((str(address), self._to.port))  # a number: nothing is resolved again
            except OSError:
                self.close()
                self._left()
            else:
                return line
        raise Failed("connect")

    def _secured(self, line: socket.socket) -> socket.socket:
        if self._to.tls is None:
            return line
        line.settimeout(self._left())
        secured = self._to.tls.wrap_socket(
            line, server_hostname=self._to.host, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        self._held(secured)
        secured.do_handshake()
        return secured

    def _held(self, line: socket.socket) -> socket.socket:
        with self._lock:
            self._socket = line
        self._left()  # cut in between: nobody else would notice
        return line


@final
class _Incoming(io.RawIOBase):
    """What `http.client` reads from: each read within the deadline, all reads within `room`."""

    def __init__(self, owner: _Line, line: socket.socket) -> None:
        self._owner = owner
        self._line = line
        self.room = MAX_HEADER_BYTES
        self.has_ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Be the socket that `http.client` asks for a file."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what `BufferedReader` hands over
        if self.room <= 0:
            raise Failed("too_large")
        piece = self._owner.take(self._line, min(len(buffer), self.room))
        self.room -= len(piece)
        self.has_ended = not piece
        buffer[: len(piece)] = piece
        return len(piece)


def _body(response: http.client.HTTPResponse, max_body: int) -> bytes:
    """Read the body as far as it may go; raises `Failed`."""
    codings = [coding.strip().lower() for coding in response.headers.get("Content-Encoding", "").split(",")]
    if any(coding not in {"", "identity"} for coding in codings):
        raise Failed("encoding")
    transfer = response.headers.get("Transfer-Encoding", "chunked").strip().lower()
    lengths = set(response.headers.get_all("Content-Length", []))
    if transfer != "chunked" or len(lengths) > 1 or (lengths and "Transfer-Encoding" in response.headers):
        raise Failed("response")
    if response.length is not None and response.length > max_body:
        raise Failed("too_large")
    body = bytearray()
    while piece := response.read(min(PIECE, max_body + 1 - len(body))):
        body += piece
        if len(body) > max_body:
            raise Failed("too_large")
    if response.length:
        raise Failed("cut")  # fewer bytes than were promised
    return bytes(body)
