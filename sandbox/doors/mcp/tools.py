"""How does MCP describe a tool? In its own words; what a host may believe of it follows from what is enforced.

https://modelcontextprotocol.io/specification/2026-07-28/server/tools
"""

from __future__ import annotations

from typing import Final

import mcp_types

from sandbox.client import Tool
from sandbox.client.told import CALL_ID, RECEIPT
from sandbox.values import JsonObject, JsonValue

_PROOF: Final[JsonObject] = {
    CALL_ID: {"type": "string", "description": "Names this call, and its receipt"},
    RECEIPT: {"type": "string", "description": "SHA-256 of the receipt, in hexadecimal"},
}


def mcp_tool(tool: Tool, name: str) -> mcp_types.Tool:
    """Return the tool as MCP lists it, called `name`."""
    is_read = tool.effects == "read"
    return mcp_types.Tool(
        name=name,
        description=tool.description,
        input_schema=dict(tool.input_schema),
        output_schema=_with_proof(tool.output_schema),
        annotations=mcp_types.ToolAnnotations(
            read_only_hint=is_read, destructive_hint=not is_read, idempotent_hint=is_read
        ),
    )


def _with_proof(schema: JsonObject) -> dict[str, JsonValue]:
    """Return the schema of a result with what proves it."""
    properties, required = schema["properties"], schema["required"]
    assert isinstance(properties, dict)  # noqa: S101 - as our own specs make it
    assert isinstance(required, list)  # noqa: S101
    return {**schema, "properties": {**properties, **_PROOF}, "required": [*required, *_PROOF]}
