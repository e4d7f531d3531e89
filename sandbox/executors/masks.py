"""How is a column shown instead of its value? Small total functions: any cell in, a cell out, never an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from sandbox.toolspec import MaskName
from sandbox.values import Cell

_ISO_YEAR: Final = re.compile(r"[0-9]{4}(?=-|\Z)")

Mask = Callable[[Cell], Cell]


def _text(cell: Cell) -> str | None:
    if cell is None:
        return None
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)


def _null(_: Cell) -> Cell:
    return None


def _initials(cell: Cell) -> Cell:
    text = _text(cell)
    return None if text is None else "".join(f"{word[0]}." for word in text.split())


def _last4(cell: Cell) -> Cell:
    text = _text(cell)
    if text is None:
        return None
    return "*" * len(text) if len(text) <= 4 else "*" * (len(text) - 4) + text[-4:]


def _year(cell: Cell) -> Cell:
    text = _text(cell)
    return text[:4] if text is not None and _ISO_YEAR.match(text) else None


def _domain(cell: Cell) -> Cell:
    text = _text(cell)
    return text.rpartition("@")[2] if text is not None and "@" in text else None


MASKS: Final[Mapping[MaskName, Mask]] = MappingProxyType(
    {"null": _null, "initials": _initials, "last4": _last4, "year": _year, "domain": _domain}
)
"""By the name a spec uses; what each shows: `sandbox.toolspec.MaskName`."""
