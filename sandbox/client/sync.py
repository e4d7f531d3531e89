"""How does a program call tools? The client for threads; `aio` is the same for asyncio."""

from __future__ import annotations

import os
from typing import Self, final

import grpc

from sandbox.client.answers import Answer
from sandbox.client.credentials import CHANNEL_OPTIONS, Identity, address_of
from sandbox.client.questions import Question, Questions, Value
from sandbox.client.tools import DEFAULT_TIMEOUT_S, ClientTool, offered
from sandbox.values import JsonObject


@final
class Client:
    """Calls tools and verifies every receipt on arrival. Safe to share between threads; close it when done."""

    def __init__(self, address: str, identity: Identity) -> None:
        """Connect (lazily) to HOST:PORT as `identity`."""
        self._questions = Questions(identity.log_verifier_key)
        self._metadata = identity.metadata()
        self._channel = grpc.secure_channel(address, identity.channel_credentials(), options=CHANNEL_OPTIONS)

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
        return self.ask(self._questions.execute(tool, arguments, request_id), timeout_s)

    def explain(
        self, tool: str, arguments: JsonObject | str | bytes, *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Answer:
        """Ask what a call would do; nothing runs."""
        return self.ask(self._questions.execute(tool, arguments, validate_only=True), timeout_s)

    def tools(self) -> list[ClientTool]:
        """Return the tools within scope, in name order; each can be called, or handed to a framework."""
        page = self.ask(self._questions.tools(""), DEFAULT_TIMEOUT_S)
        found = [*page.tools]
        while page.next_token:
            page = self.ask(self._questions.tools(page.next_token), DEFAULT_TIMEOUT_S)
            found += page.tools
        return [offered(tool, self) for tool in found]

    def get_call(self, *, call_id: str = "", request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> Answer:
        """Return the answer of one of the caller's own calls."""
        return self.ask(self._questions.get_call(call_id, request_id), timeout_s)

    def cancel(self, *, call_id: str = "", request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> bool:
        """Stop one of the caller's own calls; whether it was running."""
        return self.ask(self._questions.cancel(call_id, request_id), timeout_s)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, question: Question[Value], timeout_s: float) -> Value:
        """Ask any question; what it reads is returned."""
        rpc = self._channel.unary_unary(question.method, None, None)
        try:
            response = rpc(question.request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return question.value_of_error(error, timeout_s)
        return question.value_of(response)
