"""How does a connection of HTTP begin and end? uvicorn's own protocol, told who the peer is and when it is gone.

https://asgi.readthedocs.io/en/latest/specs/tls.html has no form for what is needed here: the certificate itself.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, final

from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.stages import Cancellation

PEER: Final = "sandbox.peer"
"""The key in a request's `state` under which its `Peer` stands."""
HEAD_S: Final = 10.0
"""How long the head of a request may take, counted from the handshake or from its first bytes."""


@final
class Peer:
    """Who is at the other end of one connection."""

    __slots__ = ("_transport", "certificate_pem", "gone")

    def __init__(self, transport: asyncio.Transport) -> None:
        """Read the peer's certificate, which the TLS layer has verified; empty if there was none."""
        held = transport.get_extra_info("ssl_object")
        der = held.getpeercert(binary_form=True) if isinstance(held, ssl.SSLObject) else None
        self.certificate_pem = ssl.DER_cert_to_PEM_cert(der).encode() if der else b""
        self.gone = Cancellation()
        self._transport = transport

    def hang_up(self) -> None:
        """End the connection at once, whatever waits to be sent."""
        self._transport.abort()


@final
class Connection(H11Protocol):
    """One connection: its requests find the `Peer` in their state, and one that sends no head in time is closed."""

    _peer: Peer | None = None
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note who it is; one connection too many ends here, for a connection costs before it asks."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            transport.abort()
            return
        self._peer = Peer(transport)
        self.app_state = {**self.app_state, PEER: self._peer}
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what runs for the peer."""
        self._stop_waiting()
        super().connection_lost(exc)
        if self._peer is not None:
            self._peer.gone.cancel()

    def data_received(self, data: bytes) -> None:
        """Take bytes; once they make a head there is no hurry here. Between requests uvicorn's own time runs."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._late is None and not self.transport.is_closing():
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """Take the next request, which may have come already."""
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
