"""What came back, and how much of it is taken? Rows until a limit, columns typed by the cells that were seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

from sandbox.executors.engine import Fetched
from sandbox.reasons import Reason, Refused
from sandbox.stages import ResultColumn, Truncation
from sandbox.values import MAX_EXACT, Row

_NO_VALUE: Final = type(None)
_TYPES: Final = {int: "integer", bool: "boolean", float: "real", str: "text", bytes: "blob", _NO_VALUE: "null"}
_MAX_TYPED: Final = 16
"""Typings of one statement's columns that are remembered."""

MAX_HEADING_BYTES: Final = 32 * 1024
"""Names and declared types of all columns of a result, in UTF-8: half of what a reply may hold beside the rows."""
LEAST_HEADING_BYTES: Final = 512
"""However few bytes a tool's rows may have."""

ColumnsOf = Callable[[Sequence[Row]], tuple[ResultColumn, ...]]
"""Types the columns of a result, once its rows are there."""


@final
class Description:
    """The names and declared types of a statement's result columns."""

    __slots__ = ("_named", "_of_one", "_typed")

    def __init__(self, named: tuple[tuple[str, str], ...]) -> None:
        """Describe columns by (name, declared type), in order; names may repeat."""
        self._named = named
        self._typed: dict[tuple[str, ...], tuple[ResultColumn, ...]] = {}
        self._of_one: dict[tuple[type, ...], tuple[ResultColumn, ...]] = {}
        """The columns of results of one row, by the classes of its cells."""

    def of(self, rows: Sequence[Row]) -> tuple[ResultColumn, ...]:
        """Return the columns, each typed by the cells of `rows`."""
        if len(rows) == 1:
            classes = tuple(map(type, rows[0]))
            return self._of_one.get(classes) or self._remembered(classes)
        if not rows:
            return self._as(("null",) * len(self._named))
        return self._as(tuple([_type_of(cells) for cells in zip(*rows, strict=True)]))

    def _remembered(self, classes: tuple[type, ...]) -> tuple[ResultColumn, ...]:
        columns = self._as(tuple([_TYPES[each] for each in classes]))
        if len(self._of_one) < _MAX_TYPED:
            self._of_one[classes] = columns
        return columns

    def _as(self, types: tuple[str, ...]) -> tuple[ResultColumn, ...]:
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
    check_heading(heading_bytes(named), max_bytes)
    return Description(named)


def heading_bytes(named: tuple[tuple[str, str], ...]) -> int:
    """Return how large names and declared types are together."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for pair in named for text in pair)


def check_heading(size: int, max_bytes: int) -> None:
    """Raise `Refused` if names and declared types of `size` are too large for a result of `max_bytes`."""
    most = min(max(max_bytes, LEAST_HEADING_BYTES), MAX_HEADING_BYTES)
    if size > most:
        message = f"the columns' names and declared types are over {most} bytes; shorter names (`AS`) are accepted"
        raise Refused(Reason.RESULT_TOO_LARGE, message, rule="limits/max-bytes")


def fetch(source: Iterator[Row], columns_of: ColumnsOf, max_rows: int, max_bytes: int) -> Fetched:
    """Take rows until there are no more, or one more than `max_rows`, or their texts alone exceed `max_bytes`."""
    rows: list[Row] = []
    size, truncation = 0, Truncation.NONE
    for row in source:
        if len(rows) == max_rows:
            truncation = Truncation.ROWS
            break
        if rows:  # a single row is in memory already, and is measured when it is encoded
            size += text_of(row) if size else text_of(rows[0]) + text_of(row)
        rows.append(row)
        if size > max_bytes:
            truncation = Truncation.BYTES
            break
    return Fetched(columns_of(rows), tuple(rows), truncation)


def text_of(row: Row) -> int:
    """Return how long the texts and blobs of a row are together."""
    return sum([len(cell) for cell in row if isinstance(cell, (str, bytes))])


def _type_of(cells: Row) -> str:
    classes = {cell.__class__ for cell in cells}
    classes.discard(_NO_VALUE)
    if not classes:
        return "null"
    if len(classes) == 1:
        return _TYPES[classes.pop()]
    # A `real` column holds JSON numbers, which every reader rounds beyond that; such integers stay texts of their own.
    is_real = classes == {int, float} and all(abs(cell) <= MAX_EXACT for cell in cells if isinstance(cell, int))
    return "real" if is_real else "any"
