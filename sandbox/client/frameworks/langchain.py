"""How do LangChain and LangGraph take a tool? As a `StructuredTool`, whose artifact is the verified answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from langchain_core.tools import StructuredTool

from sandbox.client.answers import Answer
from sandbox.client.frameworks.hearing import heard, heard_async
from sandbox.client.tools import AsyncCall, Call, Tool
from sandbox.values import JsonObject

TAKEN: Final = frozenset({"config", "run_manager", "self"})
"""Names that it puts beside the arguments, and in place of them."""


def structured_tool(tool: Tool, call: Call | None, async_call: AsyncCall) -> StructuredTool:
    """Return the tool; without `call` it is for event loops alone.

    Raises `ValueError` for an argument that would be lost.
    """
    properties = tool.input_schema.get("properties")
    taken = TAKEN.intersection(properties if isinstance(properties, Mapping) else ())
    if taken:
        raise ValueError(f"`{tool.name}` has an argument `{min(taken)}`, a name that LangChain keeps for itself")

    # WHY object: LangGraph evaluates these annotations, and a recursive alias has no names there.
    def run(**arguments: object) -> tuple[str, Answer]:
        assert call is not None  # noqa: S101 - or it is not given to LangChain
        return heard(tool, call, cast("JsonObject", arguments))

    async def run_async(**arguments: object) -> tuple[str, Answer]:
        return await heard_async(tool, async_call, cast("JsonObject", arguments))

    return StructuredTool(
        name=tool.plain_name,
        description=tool.description,
        args_schema=dict(tool.input_schema),
        func=None if call is None else run,
        coroutine=run_async,
        response_format="content_and_artifact",
        metadata={"tool": tool.name, "effects": tool.effects, "spec_digest": tool.spec_digest},
    )
