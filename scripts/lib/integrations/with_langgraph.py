"""LangGraph: an agent's whole loop over the client's tools, with a fake chat model."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from telling import asked_next, telling

from sandbox.client import Client


class FakeModel(BaseChatModel):
    """Asks for what is refused, and mends it by the refusal's text."""

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, *_: Any, **__: Any) -> FakeModel:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        last = messages[-1]
        sql = asked_next(last.text if isinstance(last, ToolMessage) else None)
        calls = [{"name": "shop__query", "args": {"sql": sql}, "id": f"call-{len(messages)}"}] if sql else []
        return ChatResult(generations=[ChatGeneration(message=AIMessage("" if sql else "twelve", tool_calls=calls))])


with telling("langgraph", "client, gRPC") as told, Client.from_deployment(told.deployment, "agent") as client:
    tools = [tool.to_langchain() for tool in client.tools()]
    told.check_listed([tool.name for tool in tools])
    run = create_agent(FakeModel(), tools).invoke({"messages": [("user", "How many orders?")]})
    no, yes = (message for message in run["messages"] if isinstance(message, ToolMessage))
    told.check_refused(no.text)
    told.check_rows(yes.text)
    told.check_receipts(no.artifact.receipt.text, yes.artifact.receipt.text)
    assert told.snippet("langgraph")["node"].tools_by_name.keys() == {tool.name for tool in tools}
