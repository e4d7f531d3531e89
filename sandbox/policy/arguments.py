"""Which arguments of a tool can a policy read, and as what?

Cedar knows strings, 64-bit integers, booleans, decimals of four places and sets of these. Arguments of any other shape
(objects, alternatives, references) do not exist for policies: lint refuses a policy that names one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias, final

from sandbox.values import JsonObject, JsonValue

CedarScalar: TypeAlias = str | int
"""Booleans are integers to the type checker; decimals travel as strings such as `1.25`."""
CedarValue: TypeAlias = CedarScalar | tuple[CedarScalar, ...]
"""Hashable, so that it can be part of a cache key, and encodable as Cedar's JSON."""

_LONG_LIMIT: Final = 2**63
"""Cedar's `Long` is a signed 64-bit integer."""
_DECIMAL_LIMIT: Final = Decimal(2**63 - 1).scaleb(-4)
"""Cedar's `decimal` is a signed 64-bit integer of ten-thousandths."""
_MAX_PLACES: Final = 4

_KINDS: Final[Mapping[str, CedarKind]] = {
    "string": "String",
    "integer": "Long",
    "boolean": "Boolean",
    "number": "decimal",
}
_STAND_INS: Final[Mapping[str, CedarScalar]] = {"String": "", "Long": 0, "Boolean": False, "decimal": "0.0"}
_RESERVED: Final = frozenset({"__entity", "__extn", "__expr"})
"""Names that Cedar's JSON gives a meaning of its own."""

CedarKind: TypeAlias = Literal["String", "Long", "Boolean", "decimal"]


@final
class Unreadable(enum.Enum):
    """A value that its Cedar type cannot hold. A policy that reads it denies; no other policy notices."""

    VALUE = enum.auto()


@final
@dataclass(frozen=True, slots=True)
class ArgumentType:
    """The Cedar type of one argument."""

    kind: CedarKind
    is_set: bool
    is_required: bool

    @property
    def stand_in(self) -> CedarValue:
        """What takes the place of a required value that is unreadable and that no policy reads."""
        return () if self.is_set else _STAND_INS[self.kind]

    def as_schema(self) -> JsonObject:
        """Return the type in Cedar's JSON schema format."""
        element: JsonObject = (
            {"type": "Extension", "name": "decimal"} if self.kind == "decimal" else {"type": self.kind}
        )
        shape: JsonObject = {"type": "Set", "element": element} if self.is_set else element
        return {**shape, "required": self.is_required}

    def read(self, value: JsonValue) -> CedarValue | Unreadable | None:
        """Return `value` as Cedar reads it; None where there is none, for Cedar has no null."""
        if value is None:
            return None
        if not self.is_set:
            return _scalar(self.kind, value)
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            return Unreadable.VALUE
        elements: list[CedarScalar] = []
        for item in value:
            element = _scalar(self.kind, item)
            if isinstance(element, Unreadable):
                return Unreadable.VALUE
            elements.append(element)
        return tuple(elements)


def argument_types(input_schema: JsonObject) -> Mapping[str, ArgumentType]:
    """Return the arguments that policies can read, by name."""
    properties = input_schema.get("properties")
    required = input_schema.get("required")
    if not isinstance(properties, Mapping):
        return {}
    names = frozenset(required) if isinstance(required, (list, tuple)) else frozenset()
    found = {
        name: _argument_type(schema, is_required=name in names)
        for name, schema in properties.items()
        if name not in _RESERVED and isinstance(schema, Mapping)
    }
    return {name: type_ for name, type_ in found.items() if type_ is not None}


def _argument_type(schema: JsonObject, *, is_required: bool) -> ArgumentType | None:
    name, is_nullable = _type_name(schema)
    is_set = name == "array"
    if is_set:
        items = schema.get("items")
        name, has_nulls = _type_name(items) if isinstance(items, Mapping) else ("", False)
        if has_nulls:
            return None
    kind = _KINDS.get(name)
    return None if kind is None else ArgumentType(kind, is_set, is_required and not is_nullable)


def _type_name(schema: JsonObject) -> tuple[str, bool]:
    """Return the one type of `schema` and whether null is accepted too; an empty name if it is not that simple."""
    name = schema.get("type")
    if isinstance(name, str):
        return name, False
    if isinstance(name, (list, tuple)) and len(name) == 2 and "null" in name:
        other = name[0] if name[1] == "null" else name[1]
        return (other, True) if isinstance(other, str) else ("", False)
    return "", False


def _scalar(kind: CedarKind, value: JsonValue) -> CedarScalar | Unreadable:
    # INVARIANT: one kind never yields two Python types that compare equal, for the results are parts of cache keys.
    if kind == "String":
        return value if isinstance(value, str) else Unreadable.VALUE
    if kind == "Boolean":
        return value if isinstance(value, bool) else Unreadable.VALUE
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Unreadable.VALUE
    return _long(value) if kind == "Long" else _decimal(value)


def _long(value: float) -> int | Unreadable:
    if isinstance(value, float) and not value.is_integer():
        return Unreadable.VALUE
    number = int(value)
    return number if -_LONG_LIMIT <= number < _LONG_LIMIT else Unreadable.VALUE


def _decimal(value: float) -> str | Unreadable:
    if isinstance(value, int) and not -_LONG_LIMIT <= value < _LONG_LIMIT:
        return Unreadable.VALUE
    number = Decimal(repr(value))
    if not number.is_finite() or abs(number) > _DECIMAL_LIMIT:
        return Unreadable.VALUE
    digits = f"{number:f}"
    whole, _, places = digits.partition(".")
    places = places.rstrip("0")
    return f"{whole}.{places or '0'}" if len(places) <= _MAX_PLACES else Unreadable.VALUE
