"""How does Pydantic AI take a tool? As a `Tool` of a schema, whose returns have the verified answer as metadata."""

from __future__ import annotations

from pydantic_ai import Tool as PydanticAiTool
from pydantic_ai import ToolReturn

from sandbox.client.frameworks.hearing import heard_async
from sandbox.client.tools import AsyncCall, Tool
from sandbox.values import JsonValue


def pydantic_ai_tool(tool: Tool, async_call: AsyncCall) -> PydanticAiTool[object]:
    """Return the tool; the service checks its arguments."""

    async def run(**arguments: JsonValue) -> ToolReturn[str]:
        text, answer = await heard_async(tool, async_call, arguments)
        return ToolReturn(return_value=text, metadata=answer)

    return PydanticAiTool.from_schema(
        run, name=tool.plain_name, description=tool.description, json_schema=dict(tool.input_schema)
    )
