"""What may a caller know of DuckDB's error? A fixed word: what the engine says can quote hidden rows."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from sandbox.executors.ending import failed
from sandbox.executors.engine import PlanStale
from sandbox.reasons import ASK_LATER, Reason, Refused

_SENTENCES: Final = MappingProxyType(
    {
        "ambiguous_column": "a column's name fits several tables; write `table.column`",
        "cardinality": "a subquery used as a value gave more than one row",
        "column_count": "the parts of a compound `SELECT` need as many columns each",
        "grouping": "a column stands neither in `GROUP BY` nor in an aggregate, or an aggregate stands amiss",
        "misplaced_function": "an aggregate or window function stands where none may be",
        "not_supported": "the engine does not do this; a plainer form may pass",
        "not_unicode": "a text of the database is not UTF-8",
        "out_of_memory": "the statement needs too much memory",
        "overflow": "a number grew beyond its type",
        "syntax": "its parts do not fit: a clause stands amiss",
        "type": "a value is not of the form or type that is needed; `TRY_CAST` gives NULL where it does not fit",
        "undefined_function": "no function or operator takes values of these types; a cast may help",
        "value": "a value is outside what a function or an operator takes",
    }
)


def told(word: str, why: str) -> Refused | PlanStale:
    """Return what to raise for the word that a statement's process ended with."""
    if word == "stale":
        return PlanStale(why)
    if word == "unavailable":
        return unavailable()
    if word == "row_too_large":
        message = "a single row is larger than the tool's bytes; fewer or shorter columns are accepted"
        return Refused(Reason.RESULT_TOO_LARGE, message, rule="limits/max-bytes")
    return failed(word, _SENTENCES.get(word, "no more can be told without telling of rows"))


def unavailable() -> Refused:
    """Return the refusal for a file that cannot be read now."""
    message = "the database cannot be read now: missing, damaged, or open in another program for writing"
    return Refused(Reason.EXECUTOR_UNAVAILABLE, message, retry_after_s=1.0)


def no_process() -> Refused:
    """Return the refusal for a call that no process can be made for now."""
    message = f"no process can be made for the statement now; {ASK_LATER}"
    return Refused(Reason.EXECUTOR_UNAVAILABLE, message, retry_after_s=1.0)
