"""Which shapes do values from outside have? JSON and the cells of results, as types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""What JSON can say. Integers keep their size; floats are finite where `specs` has checked them."""

JsonObject: TypeAlias = Mapping[str, JsonValue]
"""A JSON object with unique names."""

MAX_EXACT: Final = 2**53
"""The largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""

Cell: TypeAlias = int | float | str | bytes | None
"""One value of a result row, as an engine gives it."""

Row: TypeAlias = tuple[Cell, ...]
"""One row of a result."""
