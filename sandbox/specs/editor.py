"""What can an editor complete and check in a tool spec? Its JSON Schema, made from the tables that lint uses.

Draft 7, because that is what editors' YAML servers read best. It is a help while typing; `sandbox lint` decides.
The copy in `tool.v1.json` must not differ.
"""

from __future__ import annotations

import json
from typing import Final

from sandbox.reasons import Reason
from sandbox.specs.access import MASKS, MAX_CONCURRENCY, MAX_ROWS, MAX_SECONDS
from sandbox.specs.document import MAX_ARGUMENTS
from sandbox.specs.examples import MAX_EXAMPLES
from sandbox.specs.http_connection import METHODS
from sandbox.specs.http_spec import MAX_COLUMNS, MAX_PATH, PICKED_TYPES
from sandbox.specs.inputs import KEYS_OF_TYPE, MAX_HELP
from sandbox.specs.tool import EFFECTS, FORMAT, KINDS, MAX_SUMMARY, MAX_USE_WHEN
from sandbox.values import JsonObject, JsonValue

_REQUIRED: Final = ["spec", "name", "version", "owner", "summary", "kind", "effects", "connection"]
_NARROWING: Final[JsonObject] = {
    "enum": {"type": "array", "minItems": 1, "maxItems": 200, "description": "The only values accepted"},
    "min": {"type": "number", "description": "The least value"},
    "max": {"type": "number", "description": "The greatest value"},
    "min_length": {"type": "integer", "minimum": 0, "description": "The fewest characters"},
    "max_length": {"type": "integer", "minimum": 0, "description": "The most characters"},
    "pattern": {
        "type": "string",
        "description": "A regular expression for the whole value, without look-around or back-references",
    },
}


def _text(description: str, most: int) -> JsonObject:
    return {"type": "string", "minLength": 1, "maxLength": most, "description": description}


def _closed(properties: JsonObject, description: str, required: list[str] | None = None) -> JsonObject:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(required or []),
        "additionalProperties": False,
    }


def _argument() -> JsonObject:
    """One argument of the short form: for each type, the keys that apply to it."""
    forms: list[JsonValue] = []
    for kind, keys in KEYS_OF_TYPE.items():
        properties: dict[str, JsonValue] = {
            "type": {"const": kind},
            "help": _text("What the argument means, for the model", MAX_HELP),
            "required": {"type": "boolean", "description": "`true` unless said; an argument left out is NULL"},
        }
        properties |= {key: _NARROWING[key] for key in keys}
        forms.append(_closed(properties, f"An argument of type {kind}", ["type"]))
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(KEYS_OF_TYPE)}},
        "oneOf": forms,
    }


def _table() -> JsonObject:
    columns: JsonObject = {"type": "array", "minItems": 1, "items": {"type": "string"}, "uniqueItems": True}
    return _closed(
        {
            "columns": {
                "description": "The columns the tool shows; `all` names those the table has at lint time",
                "anyOf": [{"const": "all"}, columns],
            },
            "row_filter": _text("A boolean SQL expression over the table's columns and claim('NAME')", 4_000),
            "mask": {
                "type": "object",
                "description": "Columns shown in part",
                "additionalProperties": {"enum": [*MASKS, None]},
            },
            "aggregate_only": {
                "description": "Columns that a statement may only read as sum, avg or count of enough values",
                **columns,
            },
        },
        "What of one table the tool may show",
        ["columns"],
    )


def _request() -> JsonObject:
    value: JsonObject = {"type": ["string", "number", "boolean"]}
    return _closed(
        {
            "method": {"enum": list(METHODS)},
            "path": _text("Below the base URL; {NAME} as a whole segment is one argument", MAX_PATH),
            "query": {
                "type": "object",
                "description": "Fixed values, or one whole argument as {NAME}; one left out is left out",
                "additionalProperties": value,
            },
            "headers": {
                "type": "object",
                "description": "Fixed values; the connection adds its secret",
                "additionalProperties": {"type": "string"},
            },
            "json": {"description": "The body; a text that is {NAME} becomes the argument, of its own type"},
            "idempotent": {"type": "boolean", "description": "Whether sending it twice is harmless, so it is retried"},
            "scopes": {
                "type": "array",
                "description": "Of the access token, where the connection lends one",
                "items": {"type": "string"},
                "minItems": 1,
            },
        },
        "What a tool of kind http sends",
        ["method", "path"],
    )


def _response() -> JsonObject:
    column = _closed(
        {
            "at": {"type": "string", "description": "A JSON pointer from the row to the value, such as /id"},
            "type": {"enum": list(PICKED_TYPES)},
            "required": {"type": "boolean", "description": "`true` unless said; else absent and null are NULL"},
        },
        "Where the column's value stands and what it must be",
        ["at", "type"],
    )
    return _closed(
        {
            "status": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 200, "maximum": 299}},
            "rows": {"type": "string", "description": "A JSON pointer to a list of rows or to one row"},
            "columns": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": MAX_COLUMNS,
                "additionalProperties": column,
            },
        },
        "What of the response goes back; without columns, the status alone",
    )


def _limits() -> JsonObject:
    return _closed(
        {
            "seconds": {"type": "number", "minimum": 0.01, "maximum": MAX_SECONDS, "description": "Time of one call"},
            "max_rows": {"type": "integer", "minimum": 1, "maximum": MAX_ROWS, "description": "Rows of one result"},
            "max_bytes": {
                "type": ["string", "integer"],
                "pattern": "^[1-9][0-9]*(B|KiB|MiB)?$",
                "description": "Bytes of one result's rows as JSON, such as 256KiB",
            },
            "max_response_bytes": {
                "type": ["string", "integer"],
                "pattern": "^[1-9][0-9]*(B|KiB|MiB)?$",
                "description": "Bytes of the body that an HTTP target may answer with, such as 1MiB",
            },
            "rate": {
                "type": "string",
                "pattern": "^[1-9][0-9]*/(s|min|h|day)$",
                "description": "Calls per principal, such as 30/min",
            },
            "concurrency": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_CONCURRENCY,
                "description": "Calls at once, over all principals",
            },
        },
        "The bounds of every call",
    )


def _example() -> JsonObject:
    expect = _closed(
        {
            "row_count": {"type": "integer", "minimum": 0},
            "rows": {"type": "array", "items": {"type": "array"}},
            "refused": {"enum": [reason.value for reason in Reason]},
        },
        "How the call must end: exactly one of these",
    )
    return _closed(
        {
            "as": {"type": "object", "description": "The caller's claims"},
            "call": {"type": "object", "description": "The arguments"},
            "expect": {**expect, "minProperties": 1, "maxProperties": 1},
        },
        "A call and how it must end; run by `sandbox test`",
        ["call", "expect"],
    )


def editor_schema() -> JsonObject:
    """Return the JSON Schema of a tool spec, for `# yaml-language-server: $schema=…`."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "sandbox tool spec, tool/v1",
        **_closed(
            {
                "spec": {"const": FORMAT, "description": "The format of this file"},
                "name": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9_.-]{1,128}$",
                    "description": "The tool's name, such as shop.query",
                },
                "version": {"type": "string", "description": "A semantic version such as 1.2.0"},
                "owner": _text("An e-mail address or a team's name", 255),
                "summary": _text("What the tool does, in one line, for the model", MAX_SUMMARY),
                "use_when": _text("When to choose this tool over another, in one line", MAX_USE_WHEN),
                "kind": {"enum": list(KINDS)},
                "effects": {"enum": list(EFFECTS), "description": "Enforced; SQL is always read"},
                "connection": _text("A connection of connections.toml", 64),
                "input": {
                    "type": "object",
                    "description": "The arguments by name; one of type sql lets the model write the statement",
                    "maxProperties": MAX_ARGUMENTS,
                    "additionalProperties": _argument(),
                },
                "input_schema": {"type": "object", "description": "The arguments as JSON Schema 2020-12"},
                "statement": _text("One SELECT by the author; arguments are :parameters", 65_536),
                "allow": _closed(
                    {"tables": {"type": "object", "minProperties": 1, "additionalProperties": _table()}},
                    "The tables and columns the tool may read",
                    ["tables"],
                ),
                "request": _request(),
                "response": _response(),
                "limits": _limits(),
                "examples": {"type": "array", "minItems": 1, "maxItems": MAX_EXAMPLES, "items": _example()},
            },
            "One tool",
            _REQUIRED,
        ),
    }


def editor_schema_text() -> str:
    """Return the schema as the file that lies beside the specs."""
    return json.dumps(editor_schema(), indent=2, ensure_ascii=False) + "\n"
