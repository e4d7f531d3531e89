"""How does a cell look in JSON? Integers beyond 2^53 and non-finite numbers as strings, blobs as base64."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

import orjson

from sandbox.reasons import Reason, Refused
from sandbox.values import MAX_EXACT, Cell, Row


def encoded_rows(rows: Sequence[Row], max_bytes: int) -> tuple[bytes, int]:
    """Return the rows as a JSON array of arrays within `max_bytes`, and how many of them fit.

    Raises `Refused` with `RESULT_TOO_LARGE` if not even the first row fits.
    """
    encoded = _dumps(rows)
    if len(encoded) <= max_bytes:
        return encoded, len(rows)
    parts: list[bytes] = []
    size = len(b"[]")
    for row in rows:
        part = _dumps([row])[1:-1]
        size += len(part) + bool(parts)
        if size > max_bytes:
            break
        parts.append(part)
    if not parts:
        message = f"a single row is larger than the tool's {max_bytes} bytes; fewer or shorter columns are accepted"
        raise Refused(Reason.RESULT_TOO_LARGE, message, rule="limits/max-bytes")
    return b"[" + b",".join(parts) + b"]", len(parts)


def _dumps(rows: Sequence[Row]) -> bytes:
    try:
        encoded = orjson.dumps(rows, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:  # a blob, a long integer or half of a surrogate pair
        return orjson.dumps([[_json_cell(cell) for cell in row] for row in rows])
    # WHY: orjson writes infinities as null, without a word; where there is no null, there was none.
    if b"null" in encoded and any(isinstance(cell, float) and not math.isfinite(cell) for row in rows for cell in row):
        return orjson.dumps([[_json_cell(cell) for cell in row] for row in rows])
    return encoded


def _json_cell(cell: Cell) -> float | str | None:
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode("ascii")
    if isinstance(cell, int):
        return cell if -MAX_EXACT <= cell <= MAX_EXACT else str(cell)
    if isinstance(cell, float) and not math.isfinite(cell):
        return "NaN" if math.isnan(cell) else "Infinity" if cell > 0 else "-Infinity"
    if isinstance(cell, str):
        return cell.encode("utf-8", "replace").decode("utf-8")
    return cell
