"""CrewAI, on mcp 1.x: an agent's loop over the tools that `sandbox connect crewai` prints, with a fake model."""

from __future__ import annotations

import re
from typing import Any

from crewai import Agent, BaseLLM
from mcp.types import LATEST_PROTOCOL_VERSION
from pydantic import Field
from telling import TOOLS, asked_next, telling


class FakeModel(BaseLLM):
    """Asks for what is refused, and mends it by the refusal's text; keeps what it was offered and told."""

    offered: list[str] = Field(default_factory=list)
    told: list[str] = Field(default_factory=list)

    def supports_function_calling(self) -> bool:
        return True

    def call(self, messages: Any, tools: Any = None, *_: Any, **__: Any) -> Any:
        self.offered = [tool["function"]["name"] for tool in tools]
        self.told = [str(message["content"]) for message in messages if message["role"] == "tool"]
        sql = asked_next(self.told[-1] if self.told else None)
        if sql is None:
            return "twelve"
        named = next(name for name in self.offered if name.endswith("query"))
        return [{"id": f"call-{len(messages)}", "name": named, "input": {"sql": sql}}]


with telling("crewai", "MCP, stdio", LATEST_PROTOCOL_VERSION) as told:
    tools = told.snippet("crewai")["tools"]
    told.check_listed([tool.name for tool in tools])
    model = FakeModel(model="fake")
    agent = Agent(role="clerk", goal="count orders", backstory="none", llm=model, tools=tools)
    assert agent.kickoff("How many orders?").raw == "twelve"
    assert model.offered == [re.sub("_+", "_", name) for name in TOOLS], model.offered
    no, yes = model.told
    told.check_refused(no)
    told.check_rows(yes)
