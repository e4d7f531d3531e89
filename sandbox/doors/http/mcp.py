"""How does MCP come in over HTTP? Streamable HTTP by its own SDK, in both revisions, each request by itself.

https://modelcontextprotocol.io/specification/2026-07-28/basic/transports#streamable-http
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, cast, final

import jiter
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from sandbox.client import Tool
from sandbox.client.tools import tool_of
from sandbox.doors.desk import Desk
from sandbox.doors.http.asked import Asked, Value
from sandbox.doors.http.problems import Problem
from sandbox.doors.mcp.server import Context, Untold, mcp_server
from sandbox.doors.tool_service import ToolService
from sandbox.doors.trouble import as_fault, note_refusal
from sandbox.reasons import Refused
from sandbox.v1 import tool_execution_pb2 as pb

DOOR: Final = "mcp"
ENDING: Final = (asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit)
"""What ends a task or the process. All else is caught: a panic of an engine, no `Exception`, would end the door."""
ASKED: Final = "sandbox.asked"
"""The key in a request's `state` under which its `Asked` stands."""


@final
class _Service:
    """Who stands behind the door, for one request: the service itself."""

    def __init__(self, tools: ToolService, asked: Asked) -> None:
        self._tools = tools
        self._asked = asked

    async def tools(self) -> Sequence[Tool]:
        """Return the tools that the caller may see."""
        return await self._told(self._list)

    async def execute(self, request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        """Take a call to its answer."""
        try:
            return await self._asked.execute(self._tools, request)
        except ENDING:
            raise
        except BaseException as error:
            raise _untold(error) from error

    async def receipt(self, call_id: str) -> bytes:
        """Return the receipt of one of the caller's own calls."""
        request = pb.GetCallRequest(call=pb.CallReference(call_id=call_id))
        found = await self._told(lambda: self._tools.get_call(request, self._asked.credential))
        return found.response.receipt

    def _list(self) -> list[Tool]:
        found: list[Tool] = []
        page = pb.ListToolsResponse()
        while True:
            request = pb.ListToolsRequest(page_token=page.next_page_token)
            page = self._tools.list_tools(request, self._asked.credential)
            found += map(tool_of, page.tools)
            if not page.next_page_token:
                return found

    async def _told(self, work: Callable[[], Value]) -> Value:
        try:
            return await self._asked.on_a_thread(work)
        except ENDING:
            raise
        except BaseException as error:
            raise _untold(error) from error


def _untold(error: BaseException) -> Untold:
    """Return what a caller is told of an exception: a refusal without a receipt, or a fault's reference."""
    if isinstance(error, Refused):
        note_refusal(error)
        return Untold(error.message, error.reason.value, error.retry_after_s)
    return Untold(str(as_fault(error, "mcp handler")))


@final
class Mcp:
    """The endpoint of MCP."""

    def __init__(self, desk: Desk, version: str, max_bytes: int) -> None:
        """Serve what `desk` offers."""
        self._desk = desk
        self._tools = ToolService(desk, DOOR)
        self._bus = InMemorySubscriptionBus()
        self._listening = ListenHandler(self._bus)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._telling: set[asyncio.Future[None]] = set()
        """Kept until they are done: the loop itself holds them weakly."""
        server = mcp_server(self._service_of, version, self._listening)
        self._manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=max_bytes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve for the block; once."""
        self._loop = loop = asyncio.get_running_loop()

        def changed() -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody listens
                loop.call_soon_threadsafe(self._tell_changed)

        self._desk.on_change(changed)
        async with self._manager.run():
            yield

    def let_go(self) -> None:
        """End the streams of those who listen, from any thread: they have no end of their own."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended, and with it the streams
                self._loop.call_soon_threadsafe(self._listening.close)

    def _tell_changed(self) -> None:
        telling = asyncio.ensure_future(self._bus.publish(ToolsListChanged()))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def take(self, asked: Asked, scope: Scope, send: Send, receive: Receive) -> None:
        """Answer one request, whose body has been read."""
        _check_keys(asked.body)
        messages: list[Message] = [{"type": "http.request", "body": asked.body, "more_body": False}]

        async def replayed() -> Message:
            return messages.pop() if messages else await receive()

        scope["state"][ASKED] = asked
        await self._manager.handle_request(scope, replayed, send)

    async def _service_of(self, context: Context) -> _Service:
        request = cast("Request", context.request)
        return _Service(self._tools, request.scope["state"][ASKED])


def _check_keys(body: bytes) -> None:
    """Raise `Problem` for JSON that says a key twice.

    # WHY here: the SDK keeps the last of two, and gateways before us may read the first.
    """
    try:
        jiter.from_json(body, catch_duplicate_keys=True)
    except ValueError as error:
        if "duplicate" in str(error).lower():
            raise Problem(400, "invalid_argument", "the body says a key twice; once is accepted") from error
