"""How does an asyncio program call tools? `Client`, with `await`."""

from __future__ import annotations

import os
from typing import Self, final

import grpc
import grpc.aio

from sandbox.client.answers import Answer, arguments_json, read_answer
from sandbox.client.credentials import CHANNEL_OPTIONS, Identity, address_of
from sandbox.client.errors import meaning_of, refusal_or_raise
from sandbox.client.methods import AioMethods
from sandbox.client.sync import DEFAULT_TIMEOUT_S, reference
from sandbox.client.tools import Tool, tool_of
from sandbox.v1 import tool_execution_pb2 as pb
from sandbox.values import JsonObject


@final
class AsyncClient:
    """Calls tools and verifies every receipt on arrival, on the running event loop."""

    def __init__(self, address: str, identity: Identity) -> None:
        """Connect (lazily) to HOST:PORT as `identity`."""
        self._identity = identity
        self._metadata = identity.metadata()
        self._channel = grpc.aio.secure_channel(address, identity.channel_credentials(), options=CHANNEL_OPTIONS)
        self._rpc = AioMethods(self._channel)

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
        request = pb.ExecuteRequest(tool=tool, arguments_json=arguments_json(arguments), request_id=request_id)
        return await self._execute(request, timeout_s)

    async def explain(
        self, tool: str, arguments: JsonObject | str | bytes, *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Answer:
        """Ask what a call would do; nothing runs."""
        request = pb.ExecuteRequest(tool=tool, arguments_json=arguments_json(arguments), validate_only=True)
        return await self._execute(request, timeout_s)

    async def tools(self) -> list[Tool]:
        """Return the tools within scope, in name order."""
        found: list[Tool] = []
        token = ""
        while True:
            request = pb.ListToolsRequest(page_token=token)
            try:
                page = await self._rpc.list_tools(request, timeout=DEFAULT_TIMEOUT_S, metadata=self._metadata)
            except grpc.RpcError as error:
                raise meaning_of(error) from error
            found.extend(map(tool_of, page.tools))
            token = page.next_page_token
            if not token:
                return found

    async def get_call(
        self, *, call_id: str = "", request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Answer:
        """Return the answer of one of the caller's own calls."""
        request = pb.GetCallRequest(call=reference(call_id, request_id))
        try:
            response = await self._rpc.get_call(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise meaning_of(error) from error
        return read_answer(response.response, response.tool, self._identity.log_verifier_key)

    async def cancel(self, *, call_id: str = "", request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Stop one of the caller's own calls; whether it was running."""
        request = pb.CancelCallRequest(call=reference(call_id, request_id))
        try:
            response = await self._rpc.cancel_call(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise meaning_of(error) from error
        return bool(response.was_running)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _execute(self, request: pb.ExecuteRequest, timeout_s: float) -> Answer:
        try:
            response = await self._rpc.execute(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return refusal_or_raise(error)
        return read_answer(response, request.tool, self._identity.log_verifier_key)
