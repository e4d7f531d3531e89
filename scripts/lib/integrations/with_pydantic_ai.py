"""Pydantic AI: an agent's run over the client's tools, with a function in the model's place."""

from __future__ import annotations

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from telling import asked_next, telling

from sandbox.client import Client


def model(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Ask for what is refused, and mend it by the refusal's text."""
    last = messages[-1].parts[-1]
    sql = asked_next(str(last.content) if isinstance(last, ToolReturnPart) else None)
    return ModelResponse(parts=[ToolCallPart("shop__query", {"sql": sql}) if sql else TextPart("twelve")])


with telling("pydantic-ai-slim", "client, gRPC") as told, Client.from_deployment(told.deployment, "agent") as client:
    tools = [tool.to_pydantic_ai() for tool in client.tools()]
    told.check_listed([tool.name for tool in tools])
    run = Agent(FunctionModel(model), tools=tools).run_sync("How many orders?")
    parts = [part for message in run.all_messages() for part in message.parts]
    no, yes = (part for part in parts if isinstance(part, ToolReturnPart))
    told.check_refused(str(no.content))
    told.check_rows(str(yes.content))
    told.check_receipts(no.metadata.receipt.text, yes.metadata.receipt.text)
    assert (
        told.snippet("pydantic-ai")["agent"].run_sync("How many orders?", model=FunctionModel(model)).output == "twelve"
    )
