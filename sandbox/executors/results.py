"""What came back, and how much of it is taken? Rows until a limit, columns typed by the cells that were seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, final

from sandbox.executors.engine import Fetched
from sandbox.reasons import Reason, Refused
from sandbox.stages import ResultColumn, Truncation
from sandbox.values import Row

_NO_VALUE: Final = type(None)
_TYPES: Final = {int: "integer", float: "real", str: "text", bytes: "blob", _NO_VALUE: "null"}
_MAX_TYPED: Final = 16
"""Typings of one statement's columns that are remembered."""

MAX_HEADING_BYTES: Final = 32 * 1024
"""Names and declared types of all columns of a result, in UTF-8: half of what a reply may hold beside the rows."""
LEAST_HEADING_BYTES: Final = 512
"""However few bytes a tool's rows may have."""


@final
class Description:
    """The names and declared types of a statement's result columns."""

    __slots__ = ("_named", "_typed")

    def __init__(self, named: tuple[tuple[str, str], ...]) -> None:
        """Describe columns by (name, declared type), in order; names may repeat."""
        self._named = named
        self._typed: dict[tuple[str, ...], tuple[ResultColumn, ...]] = {}

    def of(self, rows: Sequence[Row]) -> tuple[ResultColumn, ...]:
        """Return the columns, each typed by the cells of `rows`."""
        if len(rows) == 1:
            types = tuple([_TYPES[cell.__class__] for cell in rows[0]])
        elif rows:
            types = tuple([_type_of({cell.__class__ for cell in cells}) for cells in zip(*rows, strict=True)])
        else:
            types = ("null",) * len(self._named)
        known = self._typed.get(types)
        if known is None:
            pairs = zip(self._named, types, strict=True)
            known = tuple(ResultColumn(name, found, declared) for (name, declared), found in pairs)
            if len(self._typed) < _MAX_TYPED:
                self._typed[types] = known
        return known


def describe(named: tuple[tuple[str, str], ...], max_bytes: int) -> Description:
    """Describe a statement's columns as `Description` does; raises `Refused` if they are too large to be told.

    Names are a caller's own, may be as long as the text and come back once for each column: they count as rows do.
    """
    most = min(max(max_bytes, LEAST_HEADING_BYTES), MAX_HEADING_BYTES)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for pair in named for text in pair)
    if size > most:
        message = f"the columns' names and declared types are over {most} bytes; shorter names (`AS`) are accepted"
        raise Refused(Reason.RESULT_TOO_LARGE, message, rule="limits/max-bytes")
    return Description(named)


def fetch(source: Iterator[Row], description: Description, max_rows: int, max_bytes: int) -> Fetched:
    """Take rows until there are no more, or one more than `max_rows`, or their texts alone exceed `max_bytes`."""
    rows: list[Row] = []
    size, truncation = 0, Truncation.NONE
    for row in source:
        if len(rows) == max_rows:
            truncation = Truncation.ROWS
            break
        rows.append(row)
        for cell in row:
            if isinstance(cell, (str, bytes)):
                size += len(cell)
        if size > max_bytes:
            truncation = Truncation.BYTES
            break
    return Fetched(description.of(rows), tuple(rows), truncation)


def _type_of(classes: set[type]) -> str:
    classes.discard(_NO_VALUE)
    if not classes:
        return "null"
    if len(classes) == 1:
        return _TYPES[classes.pop()]
    return "real" if classes == {int, float} else "any"
