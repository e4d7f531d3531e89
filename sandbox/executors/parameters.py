"""How does an argument reach a statement? Bound as a value, never as text of the statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.reasons import Reason, Refused, quoted
from sandbox.values import Cell, JsonObject, JsonValue

MAX_INTEGER: Final = 2**63 - 1


def bound(names: tuple[str, ...], arguments: JsonObject) -> Mapping[str, Cell]:
    """Return what each parameter is bound to; an argument left out is NULL. Raises `Refused`."""
    return {name: _cell(name, arguments.get(name)) for name in names}


def _cell(name: str, value: JsonValue) -> Cell:
    if value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, int):
        if -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            return int(value)
        raise _refused(name, "an integer beyond 64 bits")
    raise _refused(name, "a list or an object")


def _refused(name: str, found: str) -> Refused:
    message = f"the argument {quoted(name)} is {found}; the statement takes text, numbers, booleans and null"
    return Refused(Reason.ARGUMENT_INVALID, message, rule="arguments/type", argument=name)
