"""How does MCP describe a tool? In its own words; what a host may believe of it follows from what is enforced.

https://modelcontextprotocol.io/specification/2026-07-28/server/tools
"""

from __future__ import annotations

import json
from typing import Final

import mcp_types

from sandbox.client import Tool
from sandbox.values import JsonObject, JsonValue

MAX_EXAMPLES: Final = 3
"""Of a tool's own examples, what its description shows: hosts put descriptions before every prompt."""
_DOT: Final = "."
_PLAIN_DOT: Final = "__"

CALL_ID: Final = "call_id"
RECEIPT: Final = "receipt_sha256"
_PROOF: Final[JsonObject] = {
    CALL_ID: {"type": "string", "description": "Names this call, and its receipt"},
    RECEIPT: {"type": "string", "description": "SHA-256 of the receipt, in hexadecimal"},
}


def mcp_tool(tool: Tool, *, has_plain_name: bool) -> mcp_types.Tool:
    """Return the tool as MCP lists it; with `has_plain_name` for hosts that take no dot in a name."""
    is_read = tool.effects == "read"
    return mcp_types.Tool(
        name=plain_name(tool.name) if has_plain_name else tool.name,
        description=_description(tool),
        input_schema=dict(tool.input_schema),
        output_schema=_with_proof(tool.output_schema),
        annotations=mcp_types.ToolAnnotations(
            read_only_hint=is_read, destructive_hint=not is_read, idempotent_hint=is_read
        ),
    )


def plain_name(name: str) -> str:
    """Return a tool's name without dots."""
    return name.replace(_DOT, _PLAIN_DOT)


def _description(tool: Tool) -> str:
    parts = [tool.summary]
    if tool.use_when:
        parts.append(f"Use when: {tool.use_when}")
    parts += [f"Example: {json.dumps(example, ensure_ascii=False)}" for example in tool.examples[:MAX_EXAMPLES]]
    return "\n".join(parts)


def _with_proof(schema: JsonObject) -> dict[str, JsonValue]:
    """Return the schema of a result with what proves it."""
    properties, required = schema["properties"], schema["required"]
    assert isinstance(properties, dict)  # noqa: S101 - as our own specs make it
    assert isinstance(required, list)  # noqa: S101
    return {**schema, "properties": {**properties, **_PROOF}, "required": [*required, *_PROOF]}
