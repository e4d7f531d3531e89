"""Is it one JSON object, read the only way it can be read? Duplicate names and NaN are refused."""

from __future__ import annotations

import jiter

from sandbox.values import JsonObject, JsonValue


def parse_object(content: bytes) -> JsonObject | None:
    """Return the object, or None for anything else; 200 levels are the deepest that it reads."""
    try:
        value = jiter.from_json(content, catch_duplicate_keys=True, allow_inf_nan=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def parse_value(text: str) -> JsonValue:
    """Return what `text` says as JSON, else the text itself, as the command line takes the value of a claim."""
    try:
        value: JsonValue = jiter.from_json(text.encode(), catch_duplicate_keys=True, allow_inf_nan=False)
    except (ValueError, RecursionError):
        return text
    return value
