"""Which shape has a tool's result? Its JSON Schema (2020-12), the same for every tool: rows with their columns.

The names are those of `sandbox call --json` (docs/contract.md).
"""

from __future__ import annotations

from typing import Final

from sandbox.toolspec import ToolSpec
from sandbox.values import JsonObject

_COLUMN: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "type": {"enum": ["integer", "real", "boolean", "text", "blob", "null", "any"]},
        "declared_type": {"type": "string"},
    },
    "required": ["name", "type", "declared_type"],
    "additionalProperties": False,
}


def result_schema(spec: ToolSpec) -> JsonObject:
    """Return the schema of what a call of `spec` gives back."""
    cell = {"type": ["string", "number", "boolean", "null"]}
    return {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": _COLUMN},
            "rows": {"type": "array", "items": {"type": "array", "items": cell}, "maxItems": spec.limits.max_rows},
            "row_count": {"type": "integer", "minimum": 0, "maximum": spec.limits.max_rows},
            "truncated_by": {
                "enum": ["", "rows", "bytes"],
                "description": "The limit that cut rows off the end; empty if none is missing",
            },
            "omitted_columns": {
                "type": "object",
                "additionalProperties": {"type": "integer", "minimum": 1},
                "description": "By table, how many columns `*` did not expand to",
            },
        },
        "required": ["columns", "rows", "row_count", "truncated_by", "omitted_columns"],
        "additionalProperties": False,
    }
