"""What is wrong with a value of `sandbox.toml`, in whose words? Ours: what stands there, and what would be accepted."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from pydantic import BaseModel, ValidationError

from sandbox.problems import Mark, did_you_mean
from sandbox.reasons import quoted
from sandbox.toml_places import TomlPlaces, toml_complaint

_KINDS: Final[Mapping[str, str]] = {
    "string_type": "a text in quotes",
    "int_type": "an integer",
    "bool_type": "`true` or `false`",
    "tuple_type": "a list of texts",
    "float_type": "a number",
    "finite_number": "a finite number",
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": ("ge", "at least {}"),
    "less_than_equal": ("le", "at most {}"),
    "string_too_short": ("min_length", "a text of at least {} character"),
    "string_too_long": ("max_length", "a text of at most {} characters"),
    "string_pattern_mismatch": ("pattern", "a text that fits `{}`"),
}


class _Found(NamedTuple):
    """What pydantic found wrong."""

    kind: str
    value: object
    bounds: Mapping[str, object]
    message: str


def told_settings(
    error: ValidationError | tomllib.TOMLDecodeError, model: type[BaseModel], source: bytes
) -> Iterator[tuple[Mark | None, str]]:
    """Yield the place and the sentence of everything wrong with the settings `model` in `source`."""
    if isinstance(error, tomllib.TOMLDecodeError):
        complaint, mark = toml_complaint(error)
        yield mark, f"not TOML: {quoted(complaint, 120)[1:-1]}"
        return
    places = TomlPlaces(source.decode("utf-8", "replace").split("\n"))
    for found in error.errors(include_url=False):
        parts = [str(part) for part in found["loc"]]
        wrong = _Found(found["type"], found["input"], found.get("ctx", {}), found["msg"])
        yield places.of(*parts[:2]) if parts else None, _sentence(parts, wrong, model)


def _sentence(parts: list[str], found: _Found, model: type[BaseModel]) -> str:
    key = quoted(".".join(parts))
    if found.kind == "extra_forbidden":
        sections = _sections(model)
        accepted = list(sections if len(parts) < 2 else sections[parts[0]].model_fields)
        hint = did_you_mean(parts[-1], accepted) or f"; accepted: {', '.join(map(quoted, accepted))}"
        return f"unknown setting {key}{hint}"
    return f"{key}: {_shown(found.value)} stands there; {_accepted(parts, found, model)}"


def _shown(value: object) -> str:
    match value:
        case dict():
            return "a section"
        case bool():
            return quoted(str(value).lower())
        case _:
            return quoted(str(value), 60)


def _accepted(parts: list[str], found: _Found, model: type[BaseModel]) -> str:
    kind = found.kind
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        limit = found.bounds.get(bound, "")
        return f"{words.format(f'{limit:g}' if isinstance(limit, float) else limit)} is accepted"
    if kind == "model_type":
        return f"a section `[{parts[0]}]` is accepted"
    if kind in _KINDS:
        default = _sections(model)[parts[0]].model_fields[parts[1]].default
        shown = f'"{default}"' if isinstance(default, str) else str(default)
        return f"{_KINDS[kind]} is accepted, such as `{shown}`"
    return f"{found.message[:1].lower()}{found.message[1:]}"


def _sections(model: type[BaseModel]) -> Mapping[str, type[BaseModel]]:
    return {
        name: field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
