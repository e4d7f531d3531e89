"""Would reading it take the parser exponential time? What may be a type is read twice before what opens.

Within each other, each such call or `ARRAY[…]` doubles sqlglot's work, and nothing can interrupt it; a few do no harm.
Joins without a condition do the same; the lexer counts those. Each subscript reads those before it again.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Final

from sandbox.reasons import Reason, Refused
from sandbox.sql.dialects import DIALECTS
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/backtracking"

_OPENING: Final = ("(", "[")
_CLOSING: Final = (")", "]")

MAX_TYPE_DEPTH: Final = 4
"""Calls within each other whose name may also be a type, such as `date(date(…))`."""


@cache
def _type_words(dialect: str) -> frozenset[str]:
    grammar = DIALECTS[dialect].grammar
    types = grammar.parser_class.TYPE_TOKENS
    return frozenset(word for word, kind in grammar.tokenizer_class.KEYWORDS.items() if kind in types)


MAX_SUBSCRIPTS: Final = 64
"""Subscripts that follow another: `a[1][2]` has one."""


def check(lexed: Lexed) -> None:
    """Refuse what the parser could not read in time in proportion to its length."""
    if lexed.keys.count("[") > MAX_SUBSCRIPTS:
        _check_subscripts(lexed)
    type_words = _type_words(lexed.dialect.name)
    if sum(map(type_words.__contains__, lexed.keys)) <= MAX_TYPE_DEPTH:
        return
    depth = 0
    opened: list[bool] = []
    before = ""
    for token in lexed.tokens:
        if token.key in _OPENING:
            opened.append(before in type_words)
            depth += opened[-1]
            if depth > MAX_TYPE_DEPTH:
                message = (
                    f"over {MAX_TYPE_DEPTH} of `date(…)`, `ARRAY[…]` and the like within each other; use a subquery"
                )
                raise _refused(lexed, message, token.start, before)
        elif token.key in _CLOSING and opened:
            depth -= opened.pop()
        before = token.key


def _check_subscripts(lexed: Lexed) -> None:
    pairs = [at for at, pair in enumerate(pairwise(lexed.keys)) if pair == ("]", "[")]
    if len(pairs) > MAX_SUBSCRIPTS:
        token = lexed.tokens[pairs[MAX_SUBSCRIPTS] + 1]
        raise _refused(lexed, f"over {MAX_SUBSCRIPTS} subscripts after another; fewer are accepted", token.start, "[")


def _refused(lexed: Lexed, message: str, start: int, construct: str) -> Refused:
    return refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=start, construct=construct)
