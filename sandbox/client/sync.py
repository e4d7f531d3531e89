"""How does a program call tools? The client for threads; `aio` is the same for asyncio."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Self, final

import grpc

from sandbox.client.answers import Answer, arguments_json, read_answer
from sandbox.client.credentials import CHANNEL_OPTIONS, Identity, address_of
from sandbox.client.errors import meaning_of, refusal_or_raise
from sandbox.client.methods import Methods
from sandbox.client.tools import Tool, tool_of
from sandbox.v1 import tool_execution_pb2 as pb
from sandbox.values import JsonObject

DEFAULT_TIMEOUT_S = 30.0


@final
class Client:
    """Calls tools and verifies every receipt on arrival. Safe to share between threads; close it when done."""

    def __init__(self, address: str, identity: Identity) -> None:
        """Connect (lazily) to HOST:PORT as `identity`."""
        self._identity = identity
        self._metadata = identity.metadata()
        self._channel = grpc.secure_channel(address, identity.channel_credentials(), options=CHANNEL_OPTIONS)
        self._rpc = Methods(self._channel)

    @classmethod
    def from_deployment(cls, deployment: str | os.PathLike[str], name: str, address: str = "") -> Self:
        """Connect to the service of a deployment on this machine as the identity `name`."""
        return cls(address or address_of(deployment), Identity.from_deployment(deployment, name))

    def call(
        self,
        tool: str,
        arguments: JsonObject | str | bytes,
        *,
        request_id: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Answer:
        """Call a tool. Refusals are values; raises `ClientError` for what has no receipt.

        The service stops the work at the engine when `timeout_s` is over. With a `request_id` the same call may be
        sent again within 24 hours and will not run twice.
        """
        return self._execute(tool, arguments, request_id, timeout_s, validate_only=False)

    def explain(
        self, tool: str, arguments: JsonObject | str | bytes, *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Answer:
        """Ask what a call would do; nothing runs."""
        return self._execute(tool, arguments, "", timeout_s, validate_only=True)

    def tools(self) -> list[Tool]:
        """Return the tools within scope, in name order."""
        return list(self._tools())

    def get_call(self, *, call_id: str = "", request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> Answer:
        """Return the answer of one of the caller's own calls."""
        request = pb.GetCallRequest(call=reference(call_id, request_id))
        try:
            response = self._rpc.get_call(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise meaning_of(error) from error
        return read_answer(response.response, response.tool, self._identity.log_verifier_key)

    def cancel(self, *, call_id: str = "", request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Stop one of the caller's own calls; whether it was running."""
        request = pb.CancelCallRequest(call=reference(call_id, request_id))
        try:
            return bool(self._rpc.cancel_call(request, timeout=timeout_s, metadata=self._metadata).was_running)
        except grpc.RpcError as error:
            raise meaning_of(error) from error

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _execute(
        self, tool: str, arguments: JsonObject | str | bytes, request_id: str, timeout_s: float, *, validate_only: bool
    ) -> Answer:
        request = pb.ExecuteRequest(
            tool=tool, arguments_json=arguments_json(arguments), request_id=request_id, validate_only=validate_only
        )
        try:
            response = self._rpc.execute(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return refusal_or_raise(error)
        return read_answer(response, tool, self._identity.log_verifier_key)

    def _tools(self) -> Iterator[Tool]:
        token = ""
        while True:
            request = pb.ListToolsRequest(page_token=token)
            try:
                page = self._rpc.list_tools(request, timeout=DEFAULT_TIMEOUT_S, metadata=self._metadata)
            except grpc.RpcError as error:
                raise meaning_of(error) from error
            yield from map(tool_of, page.tools)
            token = page.next_page_token
            if not token:
                return


def reference(call_id: str, request_id: str) -> pb.CallReference:
    """Name a call by either id."""
    return pb.CallReference(call_id=call_id) if call_id else pb.CallReference(request_id=request_id)
