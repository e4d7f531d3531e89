"""Of what kind is a value of a TOML file? The reader gives `object`; these narrow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard


def is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether it is a table, whose keys are texts by TOML's grammar."""
    return isinstance(value, dict)


def texts(value: object) -> tuple[str, ...]:
    """Return a list of texts; empty for anything else."""
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        return ()
    return tuple(str(item) for item in value)
