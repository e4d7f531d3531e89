"""Is it one JSON object, read the only way it can be read? Duplicate names and NaN are refused."""

from __future__ import annotations

import jiter

from sandbox.values import JsonObject


def parse_object(content: bytes) -> JsonObject | None:
    """Return the object, or None for anything else."""
    try:
        value = jiter.from_json(content, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
