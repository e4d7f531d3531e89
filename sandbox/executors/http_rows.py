"""What of a response goes back? The columns that the spec picks, each of the type it says, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import jiter

from sandbox.executors.engine import Fetched
from sandbox.reasons import Reason, Refused, quoted
from sandbox.stages import HttpPlan, ResultColumn, Truncation
from sandbox.toolspec import HttpResponse, PickedColumn
from sandbox.values import Cell, JsonValue, Row

MAX_INTEGER: Final = 2**63 - 1
_STATUS: Final = (ResultColumn("status", "integer", "integer"),)


def takes_body(response: HttpResponse, status: int) -> bool:
    """Whether anything of the body is wanted."""
    return status in response.statuses and bool(response.columns)


def picked(plan: HttpPlan, status: int, body: bytes) -> Fetched:
    """Return the rows of a response with one of the spec's statuses; raises `Refused`, never quoting the response."""
    response = plan.response
    if not response.columns:
        return Fetched(_STATUS, ((status,),), Truncation.NONE)
    items = _items(response, body)
    rows = tuple(_row(response.columns, item, number) for number, item in enumerate(items[: plan.max_rows], start=1))
    columns = tuple(ResultColumn(column.name, column.type, column.type) for column in response.columns)
    return Fetched(columns, rows, Truncation.ROWS if len(items) > plan.max_rows else Truncation.NONE)


def invalid(error: str, found: str) -> Refused:
    """Return the refusal for a response that is not what the spec says; `error` is the stable class."""
    message = f"the target's response {found}, other than the tool's spec says; its author can mend one or the other"
    return Refused(Reason.HTTP_RESPONSE_INVALID, message, rule="http/response", error=error)


def _items(response: HttpResponse, body: bytes) -> Sequence[JsonValue]:
    try:
        document: JsonValue = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except (ValueError, RecursionError):
        raise invalid("malformed", "is not JSON, or names a key twice") from None
    rows = _at(document, response.rows)
    if isinstance(rows, Mapping):
        return [rows]
    if isinstance(rows, list):
        return rows
    raise invalid("rows", "has neither a list nor an object where its rows stand")


def _at(value: JsonValue, tokens: Sequence[str]) -> JsonValue:
    """Return what a JSON pointer leads to (RFC 6901, section 4); None if it leads nowhere."""
    for token in tokens:
        if isinstance(value, Mapping):
            value = value.get(token)
        elif isinstance(value, list) and token.isascii() and token.isdigit() and str(int(token[:6])) == token:
            value = value[int(token)] if int(token) < len(value) else None
        else:
            return None
    return value


def _row(columns: Sequence[PickedColumn], item: JsonValue, number: int) -> Row:
    return tuple([_cell(column, _at(item, column.at), number) for column in columns])


def _cell(column: PickedColumn, value: JsonValue, number: int) -> Cell:
    if value is None and not column.is_required:
        return None
    match column.type, value:
        case "text", str():
            return value
        case "boolean", bool():
            return value
        case "integer", int() if not isinstance(value, bool) and -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            return value
        case "real", (int() | float()) if not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        case _:
            place = f"{quoted(column.name)} of row {number}"
            found = "nothing" if value is None else "a value of another type"
            raise invalid("column", f"has {found} for {place}, {quoted(column.type)}")
