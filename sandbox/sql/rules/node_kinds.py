"""Is every node of the tree of a kind the gate can prove? Default deny: a new kind of the parser is refused."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from sandbox.reasons import Reason
from sandbox.sql.dialects.base import QUOTED
from sandbox.sql.lex import Lexed
from sandbox.sql.parse import Parsed
from sandbox.sql.refusals import refused
from sandbox.sql.rules import functions
from sandbox.sql.told import construct_told

RULE: Final = "sql/node-kinds"

ROOTS: Final = frozenset({exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Values})


def check(parsed: Parsed) -> None:
    """Refuse a root or a node whose class is not on the allow-list."""
    unknown = parsed.nodes.keys() - parsed.lexed.dialect.kinds
    if unknown:
        _check_calls(parsed.lexed)
        word = min(kind.key.upper() for kind in unknown)
    elif type(parsed.tree) not in ROOTS:
        word = parsed.tree.key.upper()
    else:
        return
    lexed = parsed.lexed
    start = next((token.start for token in lexed.tokens if token.key.replace("_", "") == word), 0)
    message = f"`{word}` is not accepted here; a plain `SELECT` is accepted"
    if construct := construct_told(lexed):
        word, start, message = construct.token.key, construct.token.start, construct.message
    raise refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=start, construct=word)


def _check_calls(lexed: Lexed) -> None:
    """Blame a function outside the table, if there is one: a kind of its own is how sqlglot reads many of them."""
    for index in lexed.names:
        token = lexed.tokens[index]
        is_known = token.kind == QUOTED and token.key.strip('"`').lower() in lexed.dialect.functions
        is_plain = index in lexed.plain_words and index not in lexed.calls
        if lexed.keys[index + 1 : index + 2] == ["("] and (is_plain or is_known):
            raise functions.forbidden(lexed, token)
