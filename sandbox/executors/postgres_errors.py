"""What may a caller know of PostgreSQL's error? A fixed word by its SQLSTATE: its own words can quote hidden rows.

https://www.postgresql.org/docs/18/errcodes-appendix.html
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

from sandbox.executors.ending import failed
from sandbox.executors.engine import PlanStale
from sandbox.executors.server_trouble import unavailable
from sandbox.reasons import Refused

_STALE: Final = frozenset({"25001", "25006", "3D000", "3F000", "42501", "42703", "42704", "42P01", "42P02"})
"""The target is not what the plan was proven for, or does not take it for what the gate did."""

_UNAVAILABLE: Final = ("08", "28", "3B", "40", "53300", "55", "57", "58", "F0", "XX001", "XX002")

_WORDS: Final = MappingProxyType(
    {
        "0A000": ("not_supported", "the engine does not do this; a plainer form may pass"),
        "21000": ("cardinality", "a subquery used as a value gave more than one row"),
        "22003": ("overflow", "a number grew beyond its type"),
        "22012": ("division_by_zero", "a division by zero; `nullif(x, 0)` as divisor gives NULL"),
        "22007": ("datetime", "a text is no date or time of the kind that a function or cast needs"),
        "22008": ("datetime", "a date or time is outside its range"),
        "22009": ("datetime", "a time zone is outside its range"),
        "22015": ("datetime", "an interval is outside its range"),
        "22019": ("pattern", "the text after `ESCAPE` must be one character"),
        "22025": ("pattern", "a `LIKE` pattern ends with its escape character"),
        "2201B": ("pattern", "a regular expression is not well formed"),
        "22021": ("not_unicode", "a text of the database is not in its encoding"),
        "22P05": ("not_unicode", "a text of the database has no form in Unicode"),
        "22P02": ("type", "a text is not of the form that its type needs"),
        "22P03": ("type", "a value is not of the form that its type needs"),
        "22018": ("type", "a text is not of the form that a cast needs"),
        "2202E": ("malformed_array", "an array has not the form or the bounds that a function needs"),
        "22030": ("malformed_json", "a JSON object has a key twice"),
        "22032": ("malformed_json", "a text is not JSON"),
        "42601": ("syntax", "its parts do not fit: a list has another number of columns, or a clause stands amiss"),
        "42611": ("column_count", "a `WITH` query has another number of columns than it names"),
        "42702": ("ambiguous_column", "a column's name fits several tables; write `table.column`"),
        "42725": ("ambiguous_function", "several functions or operators fit; a cast such as `x::numeric` decides"),
        "42803": (
            "grouping",
            "a column stands neither in `GROUP BY` nor in an aggregate, or an aggregate stands amiss",
        ),
        "42P20": ("misplaced_function", "a window function stands where none may be"),
        "42809": ("misplaced_function", "a function is used as another kind than it is"),
        "42804": ("type", "values of types that do not go together; a cast such as `x::text` helps"),
        "42846": ("type", "there is no cast between two types"),
        "42883": ("undefined_function", "no function or operator takes values of these types; a cast may help"),
        "42P10": ("misplaced_clause", "an `ORDER BY` or `DISTINCT` term does not name a column of the result"),
        "42P18": ("type", "the type of a value cannot be told; a cast such as `x::text` tells it"),
        "42P19": ("circular_reference", "a recursive table is read in a place where it may not be"),
        "42P21": ("collation", "two collations meet; `COLLATE` decides"),
        "42P22": ("collation", "no collation can be told; `COLLATE` decides"),
        "53100": ("too_large", "the statement needs more temporary space than it may have"),
        "53200": ("out_of_memory", "the statement needs too much memory"),
        "53400": ("too_large", "the statement needs more temporary space than it may have"),
        "54000": ("too_large", "a value grew beyond the limit"),
        "54001": ("too_complex", "the statement is nested too deeply"),
        "54011": ("too_complex", "the statement has too many columns"),
        "54023": ("too_complex", "a function has too many arguments"),
    }
)
_CLASSES: Final = MappingProxyType(
    {
        "2203": ("malformed_json", "a text is not the JSON or the path that a function needs"),
        "22": ("value", "a value is outside what a function or an operator takes"),
        "54": ("too_complex", "the statement has too many parts"),
    }
)
_OTHER: Final = ("other", "no more can be told without telling of rows")
_TOKEN: Final = re.compile(r'"(?:[^"]|"")*"|\w+|[^\w\s]')


def told(state: str) -> Refused | PlanStale:
    """Return what to raise for an error of that SQLSTATE."""
    if state in _STALE:
        return PlanStale(state)
    if state.startswith(_UNAVAILABLE):
        return unavailable()
    classes = (said for start, said in _CLASSES.items() if state.startswith(start))
    return failed(*(_WORDS.get(state) or next(classes, _OTHER)))


def place_in(proposed: str, ran: str, position: int) -> tuple[int, int]:
    """Return line and column in the proposed text of what stands at `position` of the text that ran.

    Both counted from 1; (0, 0) unless the word there stands once in each text, and so is the same.
    """
    here = _TOKEN.match(ran, position - 1)
    if here is None:
        return 0, 0
    in_proposed = [found.start() for found in _TOKEN.finditer(proposed) if found[0] == here[0]]
    if len(in_proposed) != 1 or sum(found[0] == here[0] for found in _TOKEN.finditer(ran)) != 1:
        return 0, 0
    before = proposed[: in_proposed[0]]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
