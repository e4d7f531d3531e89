"""Does it only read? Decided on the engine's reserved words, before any parser has an opinion."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.dialects.base import Token
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused
from sandbox.sql.told import catalogue_told, word_told

RULE: Final = "sql/read-only"


def check(lexed: Lexed) -> None:
    """Refuse statements that begin with anything but SELECT, WITH or VALUES, and words that only writes can hold."""
    first = lexed.tokens[0]
    told = catalogue_told(lexed, 0) or word_told(lexed, first)
    if first.key in lexed.dialect.verbs:
        raise _writes(lexed, first, told)
    if first.key not in lexed.dialect.openings:
        message = told or (
            f"the text begins with {quoted(first.key)}; a single `SELECT` without parentheses around it is accepted"
        )
        raise refused(
            Reason.SQL_UNPARSABLE, RULE, message, text=lexed.text, start=first.start, construct=first.key[:40]
        )
    write_words = lexed.dialect.write_words
    for index in lexed.names:
        if lexed.keys[index] in write_words:
            raise _writes(lexed, lexed.tokens[index])
    pairs = lexed.dialect.write_pairs
    if pairs and not pairs.isdisjoint(pairwise(lexed.keys)):
        raise _writes(
            lexed, next(lexed.tokens[at + 1] for at, pair in enumerate(pairwise(lexed.keys)) if pair in pairs)
        )


def _writes(lexed: Lexed, token: Token, told: str = "") -> Exception:
    message = told or f"the statement contains {quoted(token.key)}; this tool runs a single `SELECT`"
    return refused(Reason.SQL_NOT_READ_ONLY, RULE, message, text=lexed.text, start=token.start, construct=token.key)
