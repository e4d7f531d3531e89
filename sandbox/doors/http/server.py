"""How is the HTTP door opened? On a thread of its own, behind mutual TLS, with a loop that never blocks on a call."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, final

import uvicorn

from sandbox.build import build_id
from sandbox.deployment import Deployment
from sandbox.doors.desk import Desk
from sandbox.doors.http.connection import Connection
from sandbox.doors.http.front import Front
from sandbox.doors.http.mcp import Mcp
from sandbox.doors.http.tls import Contexts
from sandbox.presence import parsed_address, taken
from sandbox.reasons import Fault
from sandbox.settings import Settings
from sandbox.telemetry.events import broke

KEEP_ALIVE_S: Final = 30
"""How long a connection without a request is kept."""
MAX_HEAD_BYTES: Final = 32 * 1024
BACKLOG: Final = 1024


@final
@dataclass(frozen=True, slots=True)
class HttpDoor:
    """An open door."""

    address: str
    """HOST:PORT that it answers on."""
    _server: uvicorn.Server
    _thread: threading.Thread
    _threads: ThreadPoolExecutor
    _mcp: Mcp

    def close(self, grace_s: float) -> None:
        """Take no new requests, give running ones `grace_s` seconds, then end."""
        self._server.config.timeout_graceful_shutdown = max(round(grace_s), 1)
        self._mcp.let_go()
        self._server.should_exit = True
        self._thread.join()
        # Whoever ran was told to stop with its connection: what is left is to write down how it ended.
        self._threads.shutdown(cancel_futures=True)

    def hurry(self) -> None:
        """End the grace of a `close` under way."""
        self._server.force_exit = True


def open_http_door(desk: Desk, deployment: Deployment, settings: Settings, *, shares_port: bool = False) -> HttpDoor:
    """Listen on `settings.http.listen` and serve; raises `Misconfigured` if the address cannot be taken."""
    contexts = Contexts(deployment, needs_certificate=not settings.http.bearer_tokens)
    listening = _listen(settings.http.listen, shares_port=shares_port)
    host, _ = parsed_address(settings.http.listen, "http.listen")
    address = f"{host}:{listening.getsockname()[1]}"
    threads = ThreadPoolExecutor(settings.server.threads, thread_name_prefix="http-call")
    mcp = Mcp(desk, build_id(), settings.server.max_message_bytes)
    config = uvicorn.Config(
        Front(desk, address, settings, mcp, threads),
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        loop="asyncio",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=settings.http.max_connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
    config.load()
    config.ssl = contexts.first
    server = _Server(config)
    thread = threading.Thread(target=_serve, args=(server, mcp, listening), name="http", daemon=True)
    thread.start()
    server.has_begun.wait()
    if not server.started:
        raise Fault("http door")
    return HttpDoor(address, server, thread, threads, mcp)


@final
class _Server(uvicorn.Server):
    """Tells when it listens, or has ended without."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_begun = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_begun.set()


def _serve(server: _Server, mcp: Mcp, listening: socket.socket) -> None:
    async def serve() -> None:
        async with mcp.running():
            await server.serve(sockets=[listening])
            for left in [*server.server_state.connections]:
                left.transport.abort()

    try:
        asyncio.run(serve())
    except BaseException as error:  # noqa: BLE001 - nobody else hears of a thread's end
        broke("http door ended", error)
    finally:
        server.has_begun.set()


def _listen(listen: str, *, shares_port: bool) -> socket.socket:
    host, port = parsed_address(listen, "http.listen")
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise taken(listen, error, "http.listen") from error
    return listening
