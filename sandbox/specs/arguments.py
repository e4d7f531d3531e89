"""Are these bytes arguments that fit the tool's spec? Parses, bounds and checks them; nothing is ever coerced.

jiter finds duplicate keys and lone surrogates; our own walk finds what it lets through (1e999 as infinity, depth 200,
integers of any size, NUL); the compiled schema does the rest.
"""

from __future__ import annotations

import math
import re
from typing import Final, TypeAlias, final

import jiter
from jsonschema_rs import ValidationError

from sandbox.reasons import Reason, Refused, quoted
from sandbox.settings import ArgumentSettings
from sandbox.specs.compiled import compiled
from sandbox.specs.sentences import refusal_of
from sandbox.toolspec import ToolSpec
from sandbox.values import JsonObject, JsonValue

INT64_LEAST: Final = -(2**63)
INT64_MOST: Final = 2**63 - 1
"""Engines and policies count in 64 bits; a larger integer would be rounded or break further in."""

ARGUMENTS_RULE: Final = "arguments/json"
_POSITION: Final = re.compile(r" at line (\d+) column (\d+)$")
_DUPLICATE: Final = re.compile(r'^Detected duplicate key "(.*)" at line', re.DOTALL)
_NO_NUMBER: Final = (b"NaN", b"Inf", b"-Inf", b"nan", b"inf", b"-inf")

_Parsed: TypeAlias = "dict[str, JsonValue]"


def parse_arguments(data: bytes, bounds: ArgumentSettings) -> _Parsed:
    """Return the one JSON object in `data`, or raise `Refused` with `ARGUMENT_INVALID`."""
    if len(data) > bounds.max_bytes:
        raise _refused(f"the arguments are {len(data)} bytes; at most {bounds.max_bytes} are accepted")
    try:
        arguments = jiter.from_json(data, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        raise _unparsable(data, str(error)) from None
    if type(arguments) is not dict:
        raise _refused("the arguments are not a JSON object; one object with the arguments by name is accepted")
    for name, value in arguments.items():
        # WHY: the flat values of nearly every call are checked here, without a call each.
        kind = type(value)
        if kind is str:
            if "\0" in value:
                raise _nul(name)
        elif kind is int:
            if not INT64_LEAST <= value <= INT64_MOST:
                raise _too_large(name)
        elif kind is not bool and value is not None:
            _check_value(value, name, 2, bounds.max_depth)
    return arguments


def _check_value(value: JsonValue, name: str, depth: int, max_depth: int) -> None:
    """Refuse what no engine takes, below the argument `name`."""
    if isinstance(value, str):
        if "\0" in value:
            raise _nul(name)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _too_large(name)
    elif isinstance(value, int):
        if not INT64_LEAST <= value <= INT64_MOST:
            raise _too_large(name)
    elif isinstance(value, (dict, list)):
        if depth > max_depth:
            raise _refused(f"the arguments are nested more than {max_depth} deep")
        for item in value if isinstance(value, list) else [*value, *value.values()]:
            _check_value(item, name, depth + 1, max_depth)


def _refused(message: str) -> Refused:
    return Refused(Reason.ARGUMENT_INVALID, message, rule=ARGUMENTS_RULE)


def _unfit(name: str, found: str, accepted: str) -> Refused:
    message = f"argument {quoted(name)} {found}; {accepted} is accepted"
    return Refused(
        Reason.ARGUMENT_INVALID, message, rule=ARGUMENTS_RULE, argument=quoted(name)[1:-1], accepted=accepted
    )


def _nul(name: str) -> Refused:
    return _unfit(name, "holds a NUL character", "text without one")


def _too_large(name: str) -> Refused:
    accepted = f"an integer from {INT64_LEAST} to {INT64_MOST} or a finite number"
    return _unfit(name, "is a number too large to be kept exactly", accepted)


def _unparsable(data: bytes, complaint: str) -> Refused:
    """Say where the text stops being JSON; the parser's own words may hold the caller's text unescaped."""
    position = _POSITION.search(complaint)
    line, column = (int(position[1]), int(position[2])) if position else (0, 0)
    duplicate = _DUPLICATE.match(complaint)
    if duplicate:
        message = f"the arguments name {quoted(duplicate[1])} twice; each name is accepted once"
    elif "recursion limit" in complaint:
        message = "the arguments are nested too deep"
    elif "surrogate" in complaint:
        message = "the arguments hold half a surrogate pair; text in whole Unicode characters is accepted"
    elif "out of range" in complaint:
        message = "the arguments hold a number too large to be kept exactly"
    elif any(word in data for word in _NO_NUMBER):
        message = "the arguments are not JSON, which has no NaN and no infinity; one JSON object is accepted"
    else:
        message = "the arguments are not JSON; one JSON object in UTF-8 is accepted"
    return Refused(Reason.ARGUMENT_INVALID, message, rule=ARGUMENTS_RULE, line=line, column=column)


@final
class Arguments:
    """The arguments of one tool, compiled once."""

    __slots__ = ("_is_valid", "_schema", "_validator")

    def __init__(self, schema: JsonObject) -> None:
        """Compile `schema`, which lint has accepted."""
        self._schema = schema
        self._validator = compiled(schema)
        self._is_valid = self._validator.is_valid

    @classmethod
    def of(cls, spec: ToolSpec) -> Arguments:
        """Compile the arguments of a spec."""
        return cls(spec.input_schema)

    def check(self, arguments: _Parsed) -> None:
        """Raise `Refused` with `ARGUMENT_INVALID` unless the arguments fit."""
        if not self._is_valid(arguments):
            raise refusal_of(self._first_error(arguments), arguments, self._schema)

    def _first_error(self, arguments: _Parsed) -> ValidationError | None:
        # WHY not `iter_errors`: it builds every error first, two seconds for a list of 60,000 wrong items.
        try:
            self._validator.validate(arguments)
        except ValidationError as error:
            return error
        return None
