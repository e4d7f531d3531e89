"""How does an asyncio program call tools? `Client`, with `await`."""

from __future__ import annotations

import asyncio
import os
from typing import Self, final

import grpc
import grpc.aio

from sandbox.client.answers import Answer
from sandbox.client.credentials import CHANNEL_OPTIONS, Identity, address_of
from sandbox.client.questions import Question, Questions, Value
from sandbox.client.tools import DEFAULT_TIMEOUT_S, AsyncClientTool, offered_async
from sandbox.values import JsonObject


@final
class AsyncClient:
    """Calls tools and verifies every receipt on arrival, on the running event loop."""

    def __init__(self, address: str, identity: Identity) -> None:
        """Connect (lazily) to HOST:PORT as `identity`."""
        self._questions = Questions(identity.log_verifier_key)
        self._metadata = identity.metadata()
        self._channel = grpc.aio.secure_channel(address, identity.channel_credentials(), options=CHANNEL_OPTIONS)

    @classmethod
    def from_deployment(cls, deployment: str | os.PathLike[str], name: str, address: str = "") -> Self:
        """Connect to the service of a deployment on this machine as the identity `name`."""
        return cls(address or address_of(deployment), Identity.from_deployment(deployment, name))

    async def call(
        self,
        tool: str,
        arguments: JsonObject | str | bytes,
        *,
        request_id: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Answer:
        """Call a tool; see `Client.call`."""
        return await self.ask(self._questions.execute(tool, arguments, request_id), timeout_s)

    async def explain(
        self, tool: str, arguments: JsonObject | str | bytes, *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Answer:
        """Ask what a call would do; nothing runs."""
        return await self.ask(self._questions.execute(tool, arguments, validate_only=True), timeout_s)

    async def tools(self) -> list[AsyncClientTool]:
        """Return the tools within scope, in name order; each can be called, or handed to a framework."""
        page = await self.ask(self._questions.tools(""), DEFAULT_TIMEOUT_S)
        found = [*page.tools]
        while page.next_token:
            page = await self.ask(self._questions.tools(page.next_token), DEFAULT_TIMEOUT_S)
            found += page.tools
        return [offered_async(tool, self) for tool in found]

    async def get_call(
        self, *, call_id: str = "", request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Answer:
        """Return the answer of one of the caller's own calls."""
        return await self.ask(self._questions.get_call(call_id, request_id), timeout_s)

    async def cancel(self, *, call_id: str = "", request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Stop one of the caller's own calls; whether it was running."""
        return await self.ask(self._questions.cancel(call_id, request_id), timeout_s)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def ask(self, question: Question[Value], timeout_s: float) -> Value:
        """Ask any question; what it reads is returned. Who stops waiting stops the work at the service.

        # WHY a task of its own: grpc answers a cancellation with one of its making, which anyio, and with it many a
        framework, takes for somebody else's.
        """
        task = asyncio.ensure_future(self._ask(question, timeout_s))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def _ask(self, question: Question[Value], timeout_s: float) -> Value:
        rpc = self._channel.unary_unary(question.method, None, None)
        try:
            response = await rpc(question.request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return question.value_of_error(error, timeout_s)
        return question.value_of(response)
