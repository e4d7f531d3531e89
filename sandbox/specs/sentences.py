"""Why do the arguments not fit? One sentence a model can act on: which argument, what was found, what is accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from jsonschema_rs import ValidationError

from sandbox.problems import did_you_mean
from sandbox.reasons import Reason, Refused, quoted
from sandbox.specs.compiled import STRICT_INTEGER
from sandbox.values import JsonObject, JsonValue

MAX_NAMES: Final = 20
"""Names and choices listed in one sentence."""

_TYPES: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "`true` or `false`",
    "object": "an object",
    "array": "a list",
    "null": "`null`",
}
_FORMATS: Final[Mapping[str, str]] = {
    "date": "a date such as `2024-12-31`",
    "date-time": "a time such as `2024-12-31T23:59:59Z`",
    "time": "a time of day such as `23:59:59Z`",
    "duration": "a duration such as `P1DT2H`",
    "email": "an e-mail address",
    "hostname": "a host name",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "sql": "one SQL `SELECT`",
    "uri": "a URI",
    "uuid": "a UUID",
}


def refusal_of(error: ValidationError | None, arguments: JsonObject, schema: JsonObject) -> Refused:
    """Return the refusal for the first error found; a misspelt name is told before the one it leaves missing."""
    path = [] if error is None else list(error.instance_path)
    keyword = "" if error is None else _keyword(error)
    for level in ([], path) if keyword in {"required", "additionalProperties"} else ([],):
        if unexpected := _unexpected(level, arguments, schema):
            return _unknown(level, unexpected[0], schema)
    if error is not None and keyword == "required":
        return _missing(path, str(getattr(error.kind, "property", "")), schema)
    return _unfit(path, keyword, arguments, schema)


def shown_path(path: Sequence[str | int]) -> str:
    """Return `filter.items[2].id`."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return shown.removeprefix(".")


def accepted_by(schema: JsonValue) -> str:
    """Return what a schema accepts, in the words of a sentence."""
    if not isinstance(schema, Mapping):
        return "what the tool's input schema says"
    options = schema.get("enum")
    if isinstance(options, list) and options:
        listed = ", ".join(_shown(option) for option in options[:MAX_NAMES])
        more = f" or {len(options) - MAX_NAMES} more" if len(options) > MAX_NAMES else ""
        return f"one of {listed}{more}"
    if "const" in schema:
        return _shown(schema["const"])
    form = schema.get("format")
    if isinstance(form, str) and form in _FORMATS:
        return _FORMATS[form]
    types = schema.get("type")
    names = [types] if isinstance(types, str) else [str(t) for t in types] if isinstance(types, list) else []
    words = " or ".join(_TYPES.get(name, name) for name in names) or "what the tool's input schema says"
    return words + _bounds(schema)


_RANGES: Final = (
    (("minimum", "maximum"), (" from {} to {}", " of at least {}", " of at most {}")),
    (("exclusiveMinimum", "exclusiveMaximum"), (" between {} and {}", " above {}", " below {}")),
    (
        ("minLength", "maxLength"),
        (" of {} to {} characters", " of {} characters or more", " of at most {} characters"),
    ),
    (("minItems", "maxItems"), (" of {} to {} items", " of {} items or more", " of at most {} items")),
)
"""Pairs of bounds, each with its phrase for both, the lower alone, the upper alone."""


def _bounds(schema: Mapping[str, JsonValue]) -> str:
    parts = [_range(schema, keywords, phrases) for keywords, phrases in _RANGES]
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        parts.append(f" matching {quoted(pattern)}")
    multiple = schema.get("multipleOf")
    if isinstance(multiple, (int, float)):
        parts.append(f" that is a multiple of {multiple}")
    return "".join(parts)


def _range(schema: Mapping[str, JsonValue], keywords: tuple[str, str], phrases: tuple[str, str, str]) -> str:
    low, high = (schema.get(keyword) for keyword in keywords)
    both, only_low, only_high = phrases
    if low is not None and high is not None:
        return both.format(low, high)
    if low is not None:
        return only_low.format(low)
    return only_high.format(high) if high is not None else ""


def _keyword(error: ValidationError) -> str:
    last = error.schema_path[-1] if error.schema_path else ""
    return STRICT_INTEGER if last == STRICT_INTEGER else error.kind.name


def _refusal(rule: str, argument: str, message: str, accepted: str) -> Refused:
    return Refused(
        Reason.ARGUMENT_INVALID,
        message,
        rule=f"arguments/{rule}",
        argument=quoted(argument)[1:-1],
        accepted=accepted,
    )


def _unexpected(path: Sequence[str | int], arguments: JsonObject, schema: JsonObject) -> list[str]:
    """Return the names at `path` that its schema does not know and does not let in."""
    closed, given = _schema_at(schema, path), _value_at(arguments, path)
    if not isinstance(closed, Mapping) or closed.get("additionalProperties") is not False:
        return []
    names = frozenset(_names(closed))
    return [name for name in given if name not in names] if isinstance(given, Mapping) else []


def _unknown(path: Sequence[str | int], name: str, schema: JsonObject) -> Refused:
    names = _names(_schema_at(schema, path))
    accepted = ", ".join(quoted(known) for known in names[:MAX_NAMES]) or "no argument"
    hint = did_you_mean(name[:128], names) or f"; accepted: {accepted}"
    message = f"there is no argument {_quoted_path(path, name)}{hint}"
    return _refusal("unknown", shown_path([*path, name]), message, accepted)


def _missing(path: Sequence[str | int], name: str, schema: JsonObject) -> Refused:
    accepted = accepted_by(_schema_at(schema, [*path, name]))
    message = f"argument {_quoted_path(path, name)} is missing; {accepted} is required"
    return _refusal("missing", shown_path([*path, name]), message, accepted)


def _unfit(path: Sequence[str | int], keyword: str, arguments: JsonObject, schema: JsonObject) -> Refused:
    wanted, value = _schema_at(schema, path), _value_at(arguments, path)
    accepted = accepted_by(wanted)
    rule = "type" if keyword in {"type", STRICT_INTEGER} else "value"
    if not path:
        message = f"the arguments together break {quoted(keyword)} of the tool's input schema"
        return _refusal("value", "", message, "what the tool's input schema says")
    hint = _close_choice(value, wanted) if keyword == "enum" else ""
    message = f"argument {_quoted_path(path)} is {_found(value)}{_note(keyword)}; {accepted} is accepted{hint}"
    return _refusal(rule, shown_path(path), message, accepted)


def _note(keyword: str) -> str:
    return ", written with a fraction" if keyword == STRICT_INTEGER else ""


def _close_choice(value: JsonValue, schema: JsonValue) -> str:
    options = schema.get("enum") if isinstance(schema, Mapping) else None
    if not isinstance(value, str) or not isinstance(options, list):
        return ""
    words = {option.casefold(): option for option in options if isinstance(option, str)}
    same = words.get(value.casefold())
    return f"; did you mean {quoted(same)}?" if same is not None else did_you_mean(value[:128], words.values())


def _quoted_path(path: Sequence[str | int], *more: str) -> str:
    return quoted(shown_path([*path, *more]))


def _names(schema: JsonValue) -> list[str]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return list(properties) if isinstance(properties, Mapping) else []


def _schema_at(schema: JsonValue, path: Sequence[str | int]) -> JsonValue:
    """Return the subschema for the value at `path` as far as plain `properties` and `items` lead."""
    for part in path:
        if not isinstance(schema, Mapping):
            return None
        if isinstance(part, int):
            schema = schema.get("items")
        else:
            properties = schema.get("properties")
            schema = properties.get(part) if isinstance(properties, Mapping) else None
    return schema


def _value_at(value: JsonValue, path: Sequence[str | int]) -> JsonValue:
    for part in path:
        if isinstance(value, Mapping) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    return value


def _found(value: JsonValue) -> str:
    match value:
        case bool() | None:
            return _shown(value)
        case int() | float():
            return f"the number {_shown(value)}"
        case str():
            return f"the text {quoted(value)}"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def _shown(value: JsonValue) -> str:
    match value:
        case bool():
            return "`true`" if value else "`false`"
        case None:
            return "`null`"
        case str():
            return quoted(value)
        case _:
            return quoted(str(value))
