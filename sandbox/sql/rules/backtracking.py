"""Would reading it take the parser exponential time? A name that may be a type is read twice before a parenthesis.

Within each other, each such call doubles sqlglot's work, and nothing can interrupt it. A few are harmless. Joins
without a condition do the same; the lexer counts those.
"""

from __future__ import annotations

from typing import Final

from sqlglot.dialects.sqlite import SQLite

from sandbox.reasons import Reason, Refused
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/backtracking"

MAX_TYPE_DEPTH: Final = 4
"""Calls within each other whose name may also be a type, such as `date(date(…))`."""

_TYPE_WORDS: Final = frozenset(
    word for word, kind in SQLite.Tokenizer.KEYWORDS.items() if kind in SQLite.Parser.TYPE_TOKENS
)


def check(lexed: Lexed) -> None:
    """Refuse what the parser could not read in time in proportion to its length."""
    depth = 0
    opened: list[bool] = []
    before = ""
    for token in lexed.tokens:
        if token.key == "(":
            opened.append(before in _TYPE_WORDS)
            depth += opened[-1]
            if depth > MAX_TYPE_DEPTH:
                message = f"over {MAX_TYPE_DEPTH} calls such as `date(…)` within each other; use a subquery"
                raise _refused(lexed, message, token.start, before)
        elif token.key == ")" and opened:
            depth -= opened.pop()
        before = token.key


def _refused(lexed: Lexed, message: str, start: int, construct: str) -> Refused:
    return refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=start, construct=construct)
