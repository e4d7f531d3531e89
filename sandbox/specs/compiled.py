"""How is a JSON Schema held against values? The one way to compile one: 2020-12, formats checked, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn, cast

from jsonschema_rs import Draft202012Validator, RegexOptions

from sandbox.values import JsonObject, JsonValue

if TYPE_CHECKING:
    from jsonschema_rs import KeywordValidator  # of the stubs alone

FORMATS: Final = (
    "date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "sql", "uri", "uuid",
)  # fmt: skip
"""Formats that are enforced; `sql` marks the argument that carries model-written SQL, which the gate proves."""

HOLDS_SCHEMA: Final = frozenset(
    {
        "additionalProperties", "items", "contains", "not", "if", "then", "else", "propertyNames",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
"""Keywords whose value is a schema."""
HOLDS_SCHEMA_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
HOLDS_SCHEMA_MAP: Final = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})

STRICT_INTEGER: Final = "sandbox-strict-integer"
_PATTERNS: Final = RegexOptions(size_limit=1_000_000)
"""The linear-time engine: no look-around, no back-references, so no input makes a pattern explode."""


class StrictInteger:
    """Refuses `1.0` where the schema says `integer`: JSON Schema takes it for one, and it would arrive as a float."""

    def __init__(self, *_: object) -> None:
        """Take what the library hands over (the parent schema, the value, the path); the keyword has no parameters."""

    def validate(self, instance: object) -> None:
        """Raise for a float."""
        if type(instance) is float:
            raise ValueError("a float")


def refuse_to_fetch(uri: str) -> NoReturn:
    """Answer every attempt to load a schema from elsewhere."""
    raise ValueError(f"{uri} is outside the spec")


_KEYWORDS: Final[dict[str, type[KeywordValidator]]] = {STRICT_INTEGER: cast("type[KeywordValidator]", StrictInteger)}


def compiled(schema: JsonObject) -> Draft202012Validator:
    """Compile `schema`; raises `jsonschema_rs.ValidationError` or `ValueError` if it is none."""
    strict = _strict(schema)
    if not isinstance(strict, dict):
        raise TypeError("a schema is an object")
    return Draft202012Validator(
        strict,
        validate_formats=True,
        retriever=refuse_to_fetch,
        pattern_options=_PATTERNS,
        keywords=_KEYWORDS,
    )


def _strict(schema: JsonValue) -> JsonValue:
    """Return the schema with the strict keyword beside every `integer`; data below `enum` or `const` stays as it is."""
    if not isinstance(schema, Mapping):
        return schema
    copy = {keyword: _strict_below(keyword, value) for keyword, value in schema.items()}
    types = copy.get("type")
    if types == "integer" or (isinstance(types, list) and "integer" in types and "number" not in types):
        copy[STRICT_INTEGER] = True
    return copy


def _strict_below(keyword: str, value: JsonValue) -> JsonValue:
    if keyword in HOLDS_SCHEMA:
        return _strict(value)
    if keyword in HOLDS_SCHEMA_LIST and isinstance(value, list):
        return [_strict(item) for item in value]
    if keyword in HOLDS_SCHEMA_MAP and isinstance(value, Mapping):
        return {name: _strict(item) for name, item in value.items()}
    return value
