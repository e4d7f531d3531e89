"""How does the OpenAI Agents SDK take a tool? As a `FunctionTool`, whose outputs are texts that know their answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, final

from agents import FunctionTool
from agents.tool_context import ToolContext

from sandbox.client.answers import Answer
from sandbox.client.frameworks.hearing import heard_async
from sandbox.client.tools import AsyncCall, Tool
from sandbox.values import JsonValue

_STRICT: Final = frozenset(
    {
        "type",
        "description",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "pattern",
    }
)
"""What a schema may say in strict mode, as far as our specs say it.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""
_Context: TypeAlias = "ToolContext[object]"


@final
class ToldText(str):
    """What the model reads of an answer: the output of a tool's item in a run's `new_items`."""

    __slots__ = ("answer",)
    answer: Answer
    """The verified answer, with its receipt."""


def function_tool(tool: Tool, async_call: AsyncCall) -> FunctionTool:
    """Return the tool. The arguments go to the service as the model wrote them."""

    async def invoke(_: _Context, arguments: str) -> ToldText:
        text, answer = await heard_async(tool, async_call, arguments)
        told = ToldText(text)
        told.answer = answer
        return told

    return FunctionTool(
        name=tool.plain_name,
        description=tool.description,
        params_json_schema=dict(tool.input_schema),
        on_invoke_tool=invoke,
        strict_json_schema=is_strict(tool.input_schema),
    )


def is_strict(schema: JsonValue) -> bool:
    """Whether a schema says what strict mode takes, and nothing else: the SDK would change any other to fit."""
    if not isinstance(schema, Mapping) or not _STRICT.issuperset(schema):
        return False
    properties = schema.get("properties", {})
    assert isinstance(properties, Mapping)  # noqa: S101 - as our own specs make it
    required = schema.get("required", ())
    assert isinstance(required, Sequence)  # noqa: S101
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return False
    inner = [*properties.values(), *([schema["items"]] if "items" in schema else [])]
    return set(required) == set(properties) and all(map(is_strict, inner))
