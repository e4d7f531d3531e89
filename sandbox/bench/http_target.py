"""What does the HTTP tool of a bench ask? A process of its own that gives every request the same short answer."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

BODY: Final = b'{"id": 7, "customer_id": 3, "region": "EU", "cents": 1234, "placed_on": "2026-03-09"}'
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
_ANSWER: Final = _HEAD % len(BODY) + BODY


class _Answering(asyncio.Protocol):
    """One connection: the first request whose head is whole is answered, and that is all."""

    def __init__(self) -> None:
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport if isinstance(transport, asyncio.Transport) else None

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._transport is not None and b"\r\n\r\n" in self._seen:
            self._transport.write(_ANSWER)
            self._transport.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answering, "127.0.0.1", 0, backlog=1_024)
    sys.stdout.write(f"ready http={server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
