"""Does the engine's grammar allow what sqlglot's is lenient about? A comma too many, `DISTINCT ON`, joins of joins."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.dialects.base import STRING
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused
from sandbox.sql.told import word_told

RULE: Final = "sql/grammar"


def check(lexed: Lexed) -> None:
    """Refuse two tokens that cannot follow each other, two strings in a row, and parentheses that do not close."""
    keys = lexed.keys
    impossible = lexed.dialect.impossible
    pairs = list(pairwise([*keys, ""]))
    if impossible.isdisjoint(pairs) and keys.count("(") == keys.count(")") and not _has_string_after_string(lexed):
        return
    kinds = [*(token.kind for token in lexed.tokens), 0]
    places = (
        at
        for at, pair in enumerate(pairs)
        if kinds[at : at + 2] == [STRING, STRING] or _cannot_be(pair, keys[max(at - 2, 0) : at], impossible)
    )
    index = next(places, -1)
    if index < 0 and keys.count("(") == keys.count(")"):
        return
    index = index if index >= 0 else len(pairs) - 1
    first, second = pairs[index]
    message = f"{quoted(first)} cannot stand before {quoted(second)}; one of the two is too many"
    if (first == "SELECT" and second) or (first, second) == ("DISTINCT", "FROM"):
        message = _without_output(lexed, index)
    elif told := word_told(lexed, lexed.tokens[index]):
        message = told
    elif not second:
        message = f"the statement ends too early: something has to follow {quoted(first)}"
    if keys.count("(") != keys.count(")"):
        message = "parentheses do not close; as many `)` as `(` are accepted"
    raise refused(
        Reason.SQL_UNPARSABLE,
        RULE,
        message,
        text=lexed.text,
        start=lexed.tokens[index].start,
        construct=first,
    )


def _without_output(lexed: Lexed, index: int) -> str:
    """Say that a SELECT has no output, with what follows it where that is a table."""
    keys = lexed.keys
    is_table = keys[index + 1 : index + 2] == ["FROM"] and index + 2 in lexed.names
    source = f" FROM {quoted(keys[index + 2], 40)[1:-1].lower()}" if is_table else ""
    missing = "an output is missing after `SELECT`"
    if lexed.dialect.has_empty_outputs:
        missing = f"a `SELECT` without an output is not accepted here, though {lexed.dialect.name} has it"
    return f"{missing}; `SELECT 1{source}` is accepted, and columns by name"


def _has_string_after_string(lexed: Lexed) -> bool:
    # WHY: `'a' 'b'` is one string to sqlglot, and a string with an alias to SQLite.
    kinds = [token.kind for token in lexed.tokens]
    return kinds.count(STRING) > 1 and (STRING, STRING) in pairwise(kinds)


def _cannot_be(pair: tuple[str, str], before: list[str], impossible: frozenset[tuple[str, str]]) -> bool:
    """Whether a pair is impossible after the two keys before it; `IS [NOT] DISTINCT FROM` is an operator."""
    if pair == ("DISTINCT", "FROM") and (before[-1:] == ["IS"] or before == ["IS", "NOT"]):
        return False
    return pair in impossible
