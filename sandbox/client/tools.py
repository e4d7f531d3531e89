"""Which tools are there? What an agent needs to show a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import final

from sandbox.v1 import tool_execution_pb2
from sandbox.values import JsonObject


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool."""

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
