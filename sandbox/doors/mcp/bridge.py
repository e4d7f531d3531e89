"""How does a host on this machine reach the service? Over stdin and stdout, by a bridge that holds its credentials.

Certificate, key and token stay in files and go with every request over mutual TLS (P1); the host never sees them. Every
receipt is verified before an answer is passed on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, final

import anyio
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from sandbox.client import AsyncClient, ClientError, Identity, Tool, Unavailable, address_of
from sandbox.client.answers import read_answer
from sandbox.client.questions import SERVICE, Question, raise_meaning
from sandbox.doors.mcp.server import Context, Untold, mcp_server
from sandbox.v1 import tool_execution_pb2 as pb

TIMEOUT_S: Final = 300.0
"""How long a call may take; the tool's own limits are shorter."""


@final
class Bridge:
    """Asks the service as one identity, whose files are read again when they change: tokens are renewed."""

    def __init__(self, deployment: Path, name: str, address: str = "") -> None:
        """Ask as the identity `name`; without an `address` the service over the deployment."""
        self._deployment = deployment
        self._name = name
        self._address = address
        self._connection: _Connection | None = None

    async def tools(self) -> Sequence[Tool]:
        """Return the tools that the identity may see."""
        async with self._connected() as connection:
            return await connection.client.tools()

    async def execute(self, request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        """Take a call to its answer, whose receipt has been verified."""
        return await self._ask("Execute", request.SerializeToString(), request.tool)

    async def receipt(self, call_id: str) -> bytes:
        """Return the verified receipt of a call."""
        question = pb.GetCallRequest(call=pb.CallReference(call_id=call_id))
        return (await self._ask("GetCall", question.SerializeToString(), "")).receipt

    async def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            await self._connection.retire()

    async def _ask(self, method: str, request: bytes, tool: str) -> pb.ExecuteResponse:
        async with self._connected() as connection:

            def read(data: bytes) -> pb.ExecuteResponse:
                is_found = method == "GetCall"
                found = pb.GetCallResponse.FromString(data) if is_found else None
                response = found.response if found is not None else pb.ExecuteResponse.FromString(data)
                read_answer(response, found.tool if found is not None else tool, connection.identity.log_verifier_key)
                return response

            return await connection.client.ask(Question(SERVICE + method, request, read, raise_meaning), TIMEOUT_S)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        """Connect as the identity as its files are now, to the service where it is now; what runs goes on."""
        try:
            identity = Identity.from_deployment(self._deployment, self._name)
            address = self._address or address_of(self._deployment)
            before, connection = self._connection, self._connection
            if connection is None or (connection.identity, connection.address) != (identity, address):
                connection = self._connection = _Connection(address, identity)
            async with connection.used():
                if before is not None and before is not connection:
                    await before.retire()
                yield connection
        except ClientError as error:
            raise _untold(error) from error


@final
class _Connection:
    """One client, which ends when it is retired and nobody asks through it any more."""

    def __init__(self, address: str, identity: Identity) -> None:
        self.address = address
        self.identity = identity
        self.client = AsyncClient(address, identity)
        self._asking = 0
        self._is_retired = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Keep it for the block."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            await self._end_if_idle()

    async def retire(self) -> None:
        """End it, now or with the last of those who ask."""
        self._is_retired = True
        await self._end_if_idle()

    async def _end_if_idle(self) -> None:
        if self._is_retired and not self._asking:
            await self.client.close()


def _untold(error: ClientError) -> Untold:
    return Untold(str(error), error.reason, error.retry_after_s if isinstance(error, Unavailable) else 0.0)


LOOK_EVERY_S: Final = 5.0
"""How often the bridge looks whether there are other tools."""


@final
class _Listening:
    """Tells a host that its tools are others now, in the words of its revision."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._bus = InMemorySubscriptionBus()
        self.handler = ListenHandler(self._bus)
        self.ended = anyio.Event()
        self.session: ServerSession | None = None
        """The host's, of a revision that begins with a handshake."""

    async def look(self) -> None:
        """Look until it has ended; a service that is away has no other tools."""
        known: list[tuple[str, str]] | None = None
        while not self.ended.is_set():
            with suppress(Untold):
                found = [(tool.name, tool.spec_digest) for tool in await self._bridge.tools()]
                if known is not None and found != known:
                    await self._tell()
                known = found
            with anyio.move_on_after(LOOK_EVERY_S):
                await self.ended.wait()

    async def _tell(self) -> None:
        await self._bus.publish(ToolsListChanged())
        if self.session is not None:
            await self.session.send_tool_list_changed()


def serve_stdio(bridge: Bridge, version: str, *, has_plain_names: bool) -> None:
    """Speak MCP over stdin and stdout until the host closes them."""
    listening = _Listening(bridge)

    async def service_of(context: Context) -> Bridge:
        if context.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS:
            listening.session = context.session
        return bridge

    async def speak() -> None:
        server = mcp_server(service_of, version, listening.handler, has_plain_names=has_plain_names)
        options = server.create_initialization_options(NotificationOptions(tools_changed=True))
        try:
            async with stdio_server() as (reading, writing), anyio.create_task_group() as group:
                group.start_soon(listening.look)
                await server.run(reading, writing, options)
                listening.ended.set()
        finally:
            await bridge.close()

    anyio.run(speak)
