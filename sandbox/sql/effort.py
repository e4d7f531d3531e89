"""How much work may one text make of itself? Steps are counted, not time, so that a refusal does not depend on load.

Parsing takes time in proportion to the tokens, which are bounded; looking names up takes products: of names and
sources, of joins and columns. Nothing stops the gate within one text, so what exceeds the bounds is refused at once.
"""

from __future__ import annotations

from typing import Final, final

from sqlglot import exp

from sandbox.reasons import Reason, Refused
from sandbox.sql.parse import start_of
from sandbox.sql.refusals import refused

EFFORT: Final = "sql/effort"
SOURCES: Final = "sql/sources"
WIDTH: Final = "sql/width"

MAX_STEPS: Final = 100_000
"""Sources and columns looked at; some 20 ms. The most in 1,078 honest statements is 12,415, for a join of 64 tables."""

MAX_SOURCES: Final = 256
"""Tables and subqueries in all FROM clauses together; the most in honest statements is 64, the engine's own limit of
one join."""

MAX_COLUMNS: Final = 128
"""Columns of one query. SQLite has this limit from us too (`SQLITE_LIMIT_COLUMN`), but counts them after the gate."""


@final
class Effort:
    """What one text has left."""

    __slots__ = ("_sources", "_steps", "_text")

    def __init__(self, text: str) -> None:
        """Begin with all of it."""
        self._text = text
        self._steps = MAX_STEPS
        self._sources = MAX_SOURCES

    def spend(self, steps: int) -> None:
        """Look at so many sources or columns."""
        self._steps -= steps
        if self._steps < 0:
            message = "names, joined tables and their columns are too many together; a smaller statement is accepted"
            raise self._refused(EFFORT, message, None, "statement")

    def open_source(self, node: exp.Expr) -> None:
        """Meet one more table or subquery in a FROM clause."""
        self._sources -= 1
        if self._sources < 0:
            message = f"more than {MAX_SOURCES} tables and subqueries in FROM; a smaller statement is accepted"
            raise self._refused(SOURCES, message, node, "FROM")

    def check_width(self, columns: int, node: exp.Expr | None = None) -> None:
        """Refuse a query, or a list of names for one, of so many columns."""
        if columns > MAX_COLUMNS:
            message = f"more than {MAX_COLUMNS} columns in one query; fewer are accepted"
            raise self._refused(WIDTH, message, node, "SELECT")

    def _refused(self, rule: str, message: str, node: exp.Expr | None, construct: str) -> Refused:
        start = max(start_of(node), 0)
        return refused(Reason.SQL_UNPARSABLE, rule, message, text=self._text, start=start, construct=construct)
