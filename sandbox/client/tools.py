"""Which tools are there? What an agent needs to show a model, to call it, and to hand it to a framework."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, final

from sandbox.client.answers import Answer
from sandbox.client.told import description, plain_name
from sandbox.v1 import tool_execution_pb2
from sandbox.values import JsonObject

if TYPE_CHECKING:
    from agents import FunctionTool
    from langchain_core.tools import StructuredTool
    from pydantic_ai import Tool as PydanticAiTool

DEFAULT_TIMEOUT_S: Final = 30.0

Arguments: TypeAlias = "JsonObject | str | bytes"
"""Text that a model wrote is sent as it is, for the service to judge."""
Call: TypeAlias = Callable[[Arguments], Answer]
AsyncCall: TypeAlias = Callable[[Arguments], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What is known of one tool."""

    name: str
    version: str
    summary: str
    use_when: str
    effects: str
    input_schema: JsonObject
    """JSON Schema 2020-12 of the arguments."""
    output_schema: JsonObject
    examples: tuple[JsonObject, ...]
    """Arguments that the tool's own tests accept."""
    spec_digest: str

    @property
    def plain_name(self) -> str:
        """The name without dots, which models take: `shop__query` for `shop.query`."""
        return plain_name(self.name)

    @property
    def description(self) -> str:
        """What a model is told beside the schema: the summary, when to use it, and examples."""
        return description(self.summary, self.use_when, self.examples)


class Caller(Protocol):
    """What a tool is called through; `Client`."""

    def call(self, tool: str, arguments: Arguments, *, request_id: str = ..., timeout_s: float = ...) -> Answer:
        """Call a tool."""
        ...


class AsyncCaller(Protocol):
    """What a tool is called through; `AsyncClient`."""

    async def call(self, tool: str, arguments: Arguments, *, request_id: str = ..., timeout_s: float = ...) -> Answer:
        """Call a tool."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedTool(Tool):
    """A tool that a framework can take; each of these methods needs the extra of `tool-sandbox` that is named like it.

    What the model reads is a result as JSON, or the sentence of a refusal, with which it can mend its call. What has no
    receipt and no reason is raised: nobody was reached, the service broke, a receipt does not prove its answer.
    """

    def to_langchain(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> StructuredTool:
        """Return a tool of LangChain and LangGraph, whose messages carry the verified answer as `artifact`."""
        with extra("langchain"):
            from sandbox.client.frameworks.langchain import structured_tool
        return structured_tool(self, self.way(timeout_s), self.async_way(timeout_s))

    def to_openai_agents(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> FunctionTool:
        """Return a tool of the OpenAI Agents SDK, whose outputs are texts with the verified answer as `answer`."""
        with extra("openai-agents"):
            from sandbox.client.frameworks.openai_agents import function_tool
        return function_tool(self, self.async_way(timeout_s))

    def to_pydantic_ai(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> PydanticAiTool[object]:
        """Return a tool of Pydantic AI, whose returns carry the verified answer as `metadata`."""
        with extra("pydantic-ai"):
            from sandbox.client.frameworks.pydantic_ai import pydantic_ai_tool
        return pydantic_ai_tool(self, self.async_way(timeout_s))

    def way(self, timeout_s: float) -> Call | None:
        """Return how a thread calls the tool; None where only an event loop can."""
        raise NotImplementedError

    def async_way(self, timeout_s: float) -> AsyncCall:
        """Return how an event loop calls the tool."""
        raise NotImplementedError


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool(OfferedTool):
    """A tool of a `Client`."""

    caller: Caller = field(repr=False, compare=False)

    def call(self, arguments: Arguments, *, request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> Answer:
        """Call the tool; see `Client.call`."""
        return self.caller.call(self.name, arguments, request_id=request_id, timeout_s=timeout_s)

    def way(self, timeout_s: float) -> Call:
        """Return how a thread calls the tool."""
        return lambda arguments: self.call(arguments, timeout_s=timeout_s)

    def async_way(self, timeout_s: float) -> AsyncCall:
        """Return how an event loop calls the tool: in a thread, which stops waiting with the client alone."""
        return lambda arguments: asyncio.to_thread(self.call, arguments, timeout_s=timeout_s)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncClientTool(OfferedTool):
    """A tool of an `AsyncClient`."""

    caller: AsyncCaller = field(repr=False, compare=False)

    async def call(self, arguments: Arguments, *, request_id: str = "", timeout_s: float = DEFAULT_TIMEOUT_S) -> Answer:
        """Call the tool; see `Client.call`."""
        return await self.caller.call(self.name, arguments, request_id=request_id, timeout_s=timeout_s)

    def way(self, timeout_s: float) -> None:
        """Return None: a thread has no event loop to call on."""

    def async_way(self, timeout_s: float) -> AsyncCall:
        """Return how an event loop calls the tool; who stops waiting stops the work at the engine."""
        return lambda arguments: self.call(arguments, timeout_s=timeout_s)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import what an extra brings; raises `ImportError` with one sentence where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        sentence = f"there is no module `{error.name}` here; `pip install 'tool-sandbox[{name}]'` brings it"
        raise ModuleNotFoundError(sentence, name=error.name) from None


def offered(tool: Tool, caller: Caller) -> ClientTool:
    """Return the tool, to be called through a client."""
    return ClientTool(caller=caller, **{each.name: getattr(tool, each.name) for each in fields(Tool)})


def offered_async(tool: Tool, caller: AsyncCaller) -> AsyncClientTool:
    """Return the tool, to be called through a client of an event loop."""
    return AsyncClientTool(caller=caller, **{each.name: getattr(tool, each.name) for each in fields(Tool)})


def tool_of(message: tool_execution_pb2.Tool) -> Tool:
    """Return the wire's tool as a value."""
    return Tool(
        name=message.name,
        version=message.version,
        summary=message.summary,
        use_when=message.use_when,
        effects=message.effects,
        input_schema=json.loads(message.input_schema_json),
        output_schema=json.loads(message.output_schema_json),
        examples=tuple(json.loads(example) for example in message.examples_json),
        spec_digest=message.spec_digest,
    )
