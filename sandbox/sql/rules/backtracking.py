"""Would reading it take the parser exponential time? A name that may be a type is read twice before a parenthesis.

Within each other, each such call doubles sqlglot's work, and nothing can interrupt it. A few are harmless. Joins
without a condition do the same; the lexer counts those.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from sandbox.reasons import Reason, Refused
from sandbox.sql.dialects import DIALECTS
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/backtracking"

MAX_TYPE_DEPTH: Final = 4
"""Calls within each other whose name may also be a type, such as `date(date(…))`."""


@cache
def _type_words(dialect: str) -> frozenset[str]:
    grammar = DIALECTS[dialect].grammar
    types = grammar.parser_class.TYPE_TOKENS
    return frozenset(word for word, kind in grammar.tokenizer_class.KEYWORDS.items() if kind in types)


def check(lexed: Lexed) -> None:
    """Refuse what the parser could not read in time in proportion to its length."""
    type_words = _type_words(lexed.dialect.name)
    if type_words.isdisjoint(lexed.keys):
        return
    depth = 0
    opened: list[bool] = []
    before = ""
    for token in lexed.tokens:
        if token.key == "(":
            opened.append(before in type_words)
            depth += opened[-1]
            if depth > MAX_TYPE_DEPTH:
                message = f"over {MAX_TYPE_DEPTH} calls such as `date(…)` within each other; use a subquery"
                raise _refused(lexed, message, token.start, before)
        elif token.key == ")" and opened:
            depth -= opened.pop()
        before = token.key


def _refused(lexed: Lexed, message: str, start: int, construct: str) -> Refused:
    return refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=start, construct=construct)
