"""What may a caller know of an engine's error? A fixed word: what SQLite says can quote rows that a filter hides."""

from __future__ import annotations

from typing import Final

import apsw

from sandbox.executors.ending import failed
from sandbox.executors.engine import PlanStale
from sandbox.reasons import Refused

_UNAVAILABLE: Final = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FormatError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)
_STALE: Final = (apsw.AuthError, apsw.ExecTraceAbort, apsw.SchemaChangeError)
_STALE_WORDS: Final = ("no such ", "access to view", "not authorized", "prohibited", "malformed database schema")

_UNPREPARED: Final = (
    ("wrong number of arguments", "argument_count", "a function has another number of arguments than it takes"),
    ("same number of result columns", "column_count", "the parts of a compound `SELECT` need as many columns each"),
    ("values for", "column_count", "a common table expression has another number of columns than it names"),
    ("VALUES must have the same number", "column_count", "rows of `VALUES` need as many cells each"),
    ("sub-select returns", "column_count", "a subquery used as a value may have one column"),
    ("row value misused", "row_value", "a list in parentheses stands where one value belongs"),
    ("ambiguous", "ambiguous_column", "a column's name fits several tables; write `table.column`"),
    ("misuse of", "misplaced_function", "an aggregate or window function stands where none may be"),
    ("not allowed", "misplaced_function", "an aggregate or window function stands where none may be"),
    ("may not be used as a window function", "misplaced_function", "`OVER` follows a function that takes none"),
    ("GROUP BY clause is required", "misplaced_clause", "`HAVING` needs a `GROUP BY` or an aggregate"),
    ("ORDER BY", "misplaced_clause", "an `ORDER BY` term does not name a column of the result"),
    ("LIMIT clause", "misplaced_clause", "`LIMIT` and `ORDER BY` belong after the last part of a compound `SELECT`"),
    ("circular reference", "circular_reference", "a common table expression reads itself; `WITH RECURSIVE` may"),
    ("recursive reference", "circular_reference", "a recursive table is read in a place where it may not be"),
    ("maximum depth", "too_complex", "the statement is nested too deeply"),
    ("too many", "too_complex", "the statement has too many parts"),
    ("parser stack", "too_complex", "the statement is nested too deeply"),
)
"""Part of what the engine says when it cannot prepare a text; the fixed word; a sentence of ours."""

_STOPPED: Final = (
    ("integer overflow", "overflow", "an integer grew beyond 64 bits"),
    ("JSON", "malformed_json", "a text is not the JSON or the path that a function needs"),
    ("too big", "too_large", "a value grew beyond the limit"),
    ("out of memory", "out_of_memory", "the statement needs too much memory"),
    ("pattern too complex", "pattern", "a `LIKE` or `GLOB` pattern is too long"),
    ("ESCAPE", "pattern", "the text after `ESCAPE` must be one character"),
    ("datatype mismatch", "type", "a value is of another type than a clause takes"),
    ("must be", "type", "a value is of another type than a function takes"),
    ("not numeric", "type", "a value is of another type than a function takes"),
    ("too many", "too_complex", "the statement has too many parts"),
    ("too deep", "too_complex", "a recursion went too deep"),
)
"""The same for a statement that ran."""


def told(error: apsw.Error, *, is_prepared: bool) -> Refused | PlanStale | None:
    """Return what to raise for an engine's error; None if the file cannot be read now."""
    if isinstance(error, _UNAVAILABLE):
        return None
    words = str(error)
    if isinstance(error, _STALE) or (not is_prepared and any(part in words for part in _STALE_WORDS)):
        return PlanStale(words)
    if isinstance(error, apsw.TooBigError):
        return failed("too_large", "a value grew beyond the limit")
    if isinstance(error, apsw.NoMemError):
        return failed("out_of_memory", "the statement needs too much memory")
    for part, word, sentence in _STOPPED if is_prepared else _UNPREPARED:
        if part in words:
            return failed(word, sentence)
    return failed(
        "other", "no more can be told without telling of rows" if is_prepared else "the engine cannot read it"
    )
