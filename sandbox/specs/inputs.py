"""Which arguments does a tool take? The short form `input:` and the long form `input_schema:`, as one JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

from sandbox.problems import Mark
from sandbox.reasons import quoted
from sandbox.specs.document import (
    MAX_ARGUMENTS,
    Shape,
    boolean,
    check_argument_name,
    choice,
    entries_of,
    fields,
    found,
    integer,
    items,
    number,
    sentence,
    text,
)
from sandbox.specs.findings import Findings, Rule, choices
from sandbox.specs.long_form import check_long_form, is_accepted_pattern
from sandbox.specs.yaml import Broken, Entries, Entry, Node, Scalar, plain
from sandbox.values import JsonObject, JsonValue

MAX_HELP: Final = 300
INT64: Final = 2**63
MAX_TEXT: Final = 1_000_000

KEYS_OF_TYPE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "string": ("enum", "min_length", "max_length", "pattern"),
        "integer": ("enum", "min", "max"),
        "number": ("enum", "min", "max"),
        "boolean": (),
        "date": (),
        "sql": (),
    }
)
"""The types of the short form, each with the keys that narrow it."""

_COMMON: Final = ("type", "help", "required")
_NARROWING: Final = ("enum", "min", "max", "min_length", "max_length", "pattern")
_ARGUMENT: Final = Shape("an argument", (*_COMMON, *_NARROWING), ("type",))
_SCHEMA_OF_TYPE: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "string": {"type": "string"},
        "integer": {"type": "integer"},
        "number": {"type": "number"},
        "boolean": {"type": "boolean"},
        "date": {"type": "string", "format": "date"},
        "sql": {"type": "string", "format": "sql", "minLength": 1},
    }
)


@final
@dataclass(frozen=True, slots=True)
class Inputs:
    """The arguments of one tool."""

    schema: JsonObject
    sql_arguments: tuple[str, ...]
    marks: Mapping[str, Mark]
    """Where each argument stands in the file."""


NO_INPUTS: Final = Inputs(
    {"type": "object", "properties": {}, "required": [], "additionalProperties": False}, (), MappingProxyType({})
)


def read_short_form(node: Node, findings: Findings) -> Inputs:
    """Translate `input:` to JSON Schema."""
    entries = entries_of(node, "`input`", findings)
    if len(entries) > MAX_ARGUMENTS:
        findings.add(Rule.VALUE, node.mark, f"{len(entries)} arguments; at most {MAX_ARGUMENTS} are accepted")
    properties: dict[str, JsonValue] = {}
    required: list[str] = []
    for entry in entries[:MAX_ARGUMENTS]:
        check_argument_name(entry, findings)
        schema, is_required = _argument(entry, findings)
        properties[entry.key] = schema
        if is_required:
            required.append(entry.key)
    return _inputs(properties, required, {entry.key: entry.mark for entry in entries})


def read_long_form(node: Node, findings: Findings) -> Inputs:
    """Take `input_schema:` as it is, once it is bounded JSON Schema about one closed object."""
    before = len(findings.problems)
    check_long_form(node, findings)
    schema = plain(node)
    if len(findings.problems) > before or not isinstance(schema, Mapping) or not isinstance(node, Entries):
        return NO_INPUTS
    entries = {entry.key: entry for entry in node.entries}
    arguments = entries["properties"].node if "properties" in entries else Entries((), node.mark)
    marks = {entry.key: entry.mark for entry in entries_of(arguments, "`properties`", findings)}
    closed = {"type": "object", "properties": {}, "required": [], **schema, "additionalProperties": False}
    properties = closed["properties"]
    assert isinstance(properties, Mapping)  # noqa: S101 - the meta-schema has proven it
    return Inputs(closed, _sql_arguments(properties), MappingProxyType(marks))


def _inputs(properties: Mapping[str, JsonValue], required: list[str], marks: Mapping[str, Mark]) -> Inputs:
    schema: JsonObject = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return Inputs(schema, _sql_arguments(properties), MappingProxyType(dict(marks)))


def types_of(schema: JsonValue) -> frozenset[str]:
    """Return the types that an argument's schema names."""
    types = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(types, str):
        return frozenset({types})
    return frozenset(str(name) for name in types) if isinstance(types, list) else frozenset()


def _sql_arguments(properties: Mapping[str, JsonValue]) -> tuple[str, ...]:
    return tuple(
        name for name, schema in properties.items() if isinstance(schema, Mapping) and schema.get("format") == "sql"
    )


def _argument(entry: Entry, findings: Findings) -> tuple[dict[str, JsonValue], bool]:
    """Return the schema of one argument and whether it is required."""
    known = fields(entry.node, _ARGUMENT, findings)
    kind = choice(known["type"].node, KEYS_OF_TYPE, findings) if "type" in known else None
    schema: dict[str, JsonValue] = dict(_SCHEMA_OF_TYPE.get(kind or "", {}))
    if "help" in known and (said := sentence(known["help"].node, findings, most=MAX_HELP)) is not None:
        schema["description"] = said
    narrowing = {key: known[key] for key in _NARROWING if key in known}
    if kind is not None:
        for key in [key for key in narrowing if key not in KEYS_OF_TYPE[kind]]:
            accepted = choices(KEYS_OF_TYPE[kind]) or "no key that narrows it"
            message = f"{quoted(key)} does not apply to type {quoted(kind)}; accepted: {accepted}"
            findings.add(Rule.VALUE, narrowing.pop(key).mark, message)
        schema |= _narrowed(kind, narrowing, findings)
    is_required = "required" not in known or boolean(known["required"].node, findings) is not False
    if kind == "sql" and not is_required:
        findings.add(Rule.VALUE, known["required"].mark, "an argument of type `sql` is always required")
    return schema, is_required


def _narrowed(kind: str, narrowing: Mapping[str, Entry], findings: Findings) -> dict[str, JsonValue]:
    schema: dict[str, JsonValue] = {}
    for key, name in (("min", "minimum"), ("max", "maximum")):
        if key in narrowing and (bound := _bound(kind, narrowing[key].node, findings)) is not None:
            schema[name] = bound
    for key, name in (("min_length", "minLength"), ("max_length", "maxLength")):
        if key in narrowing:
            length = integer(narrowing[key].node, findings, least=0, most=MAX_TEXT)
            if length is not None:
                schema[name] = length
    if "pattern" in narrowing and (pattern := _pattern(narrowing["pattern"].node, findings)) is not None:
        schema["pattern"] = pattern
    if "enum" in narrowing:
        schema["enum"] = _enum(kind, narrowing["enum"].node, findings)
    _check_order(schema, narrowing, findings)
    return schema


def _check_order(schema: JsonObject, narrowing: Mapping[str, Entry], findings: Findings) -> None:
    for least, most, key in (("minimum", "maximum", "max"), ("minLength", "maxLength", "max_length")):
        low, high = schema.get(least), schema.get(most)
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
            findings.add(Rule.VALUE, narrowing[key].mark, f"{quoted(key)} is below the minimum; no value would fit")


def _bound(kind: str, node: Node, findings: Findings) -> int | float | None:
    if kind == "integer":
        return integer(node, findings, least=-INT64, most=INT64 - 1)
    value = number(node, findings, least=-1e300, most=1e300)
    return None if value is None else _kept(node, value)


def _kept(node: Node, value: float) -> int | float:
    """Return the number as it was written: `min: 0` stays an integer in the schema that a model reads."""
    return node.value if isinstance(node, Scalar) and type(node.value) is int else value


def _pattern(node: Node, findings: Findings) -> str | None:
    """Return the pattern, anchored: the short form matches the whole value, for half a match checks nothing."""
    written = text(node, findings, most=1_000, accepted="a regular expression")
    if written is None:
        return None
    if not is_accepted_pattern(written):
        message = f"pattern {quoted(written)}; accepted: regular expressions without look-around or back-references"
        findings.add(Rule.VALUE, node.mark, message)
        return None
    return f"^(?:{written})$"


_ENUM_TYPES: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {"string": (str,), "integer": (int,), "number": (int, float)}
)


def _enum(kind: str, node: Node, findings: Findings) -> list[JsonValue]:
    accepted = f"a list of values of type {quoted(kind)}"
    values: list[JsonValue] = []
    for item in items(node, accepted, findings, most=200):
        if isinstance(item, Broken):
            continue
        if not isinstance(item, Scalar) or type(item.value) not in _ENUM_TYPES[kind]:
            findings.add(Rule.TYPE, item.mark, f"{found(item)} stands here; a value of type {quoted(kind)} is accepted")
        elif item.value in values:
            findings.add(Rule.VALUE, item.mark, f"{found(item)} stands here twice")
        else:
            values.append(item.value)
    return values
