"""OpenAI Agents: `Runner.run` over the client's tools, with a fake `Model`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, RunResult, ToolCallOutputItem, Usage, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from telling import asked_next, telling

from sandbox.client import AsyncClient


class FakeModel(Model):
    """Asks for what is refused, and mends it by the refusal's text."""

    async def get_response(self, *_: Any, input: Any, **__: Any) -> ModelResponse:  # noqa: A002 - its name there
        last = input[-1] if isinstance(input, list) else {}
        sql = asked_next(last.get("output"))
        if sql:
            arguments = json.dumps({"sql": sql})
            call = ResponseFunctionToolCall(
                type="function_call", name="shop__query", arguments=arguments, call_id=f"call-{len(input)}"
            )
            return ModelResponse(output=[call], usage=Usage(), response_id=None)
        text = ResponseOutputText(type="output_text", text="twelve", annotations=[])
        message = ResponseOutputMessage(id="1", type="message", role="assistant", status="completed", content=[text])
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


async def run(tools: list[Any]) -> RunResult:
    """Let an agent with these tools answer a question."""
    return await Runner.run(Agent(name="agent", model=FakeModel(), tools=tools), "How many orders?")


async def main() -> None:
    """Show the loop."""
    with telling("openai-agents", "client, gRPC") as told:
        async with AsyncClient.from_deployment(told.deployment, "agent") as client:
            tools = [tool.to_openai_agents() for tool in await client.tools()]
            told.check_listed([tool.name for tool in tools])
            items = (await run(tools)).new_items
            no, yes = (item.output for item in items if isinstance(item, ToolCallOutputItem))
            told.check_refused(no)
            told.check_rows(yes)
            told.check_receipts(no.answer.receipt.text, yes.answer.receipt.text)
        agent = told.snippet("openai-agents")["agent"]
        assert [tool.name for tool in agent.tools] == [tool.name for tool in tools]


set_tracing_disabled(disabled=True)
asyncio.run(main())
