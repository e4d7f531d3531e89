"""Which tokens does the engine read? The first of the gate's three stages: `Lexed` → `Parsed` → `Resolved`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from sandbox.reasons import Reason
from sandbox.sql.contract import Bounds, GateInput
from sandbox.sql.dialects.base import QUOTED, WORD, Dialect, Token, Unreadable
from sandbox.sql.refusals import refused


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lexed:
    """A text within its bounds, as the engine's lexer reads it."""

    given: GateInput
    dialect: Dialect
    text: str
    """With comments blanked and closing semicolons cut; every place is the same as in the caller's text."""
    tokens: tuple[Token, ...]
    keys: list[str]
    """The tokens' keys, to be searched at the speed of C. A word's key is never equal to a string's or a name's: those
    keep their quotes."""
    names: list[int]
    """Indexes of quoted names and of words that are not structural: each must turn out to name something."""


def lex(given: GateInput, dialect: Dialect) -> Lexed:
    """Read the text as the engine's lexer does; refuse what it cannot read and what nests too deep."""
    try:
        scan = dialect.scan(given.text, given.bounds.max_tokens)
    except Unreadable as stop:
        raise refused(
            Reason.SQL_UNPARSABLE, "sql/tokens", stop.why, text=given.text, start=stop.start, construct="token"
        ) from stop
    tokens, text = scan.tokens, scan.text
    while tokens and tokens[-1].key == ";":
        text = f"{text[: tokens[-1].start]} {text[tokens[-1].end :]}"
        tokens = tokens[:-1]
    if not tokens:
        message = "the text holds no statement; a single `SELECT` is accepted"
        raise refused(Reason.SQL_UNPARSABLE, "sql/tokens", message, text=given.text, start=0, construct="statement")
    keys = [token.key for token in tokens]
    _check_depth(given, tokens, keys)
    structural = dialect.structural
    names = [
        index
        for index, token in enumerate(tokens)
        if (token.kind == WORD and token.key not in structural) or token.kind == QUOTED
    ]
    return Lexed(given=given, dialect=dialect, text=text.rstrip(), tokens=tokens, keys=keys, names=names)


_PREFIXES = ("NOT", "-", "+", "~")


def _check_depth(given: GateInput, tokens: tuple[Token, ...], keys: list[str]) -> None:
    bounds: Bounds = given.bounds
    openings = keys.count("(") + keys.count("CASE")
    if openings + sum(map(keys.count, _PREFIXES)) <= bounds.max_depth:
        return
    parentheses = cases = prefixes = 0
    for token, key in zip(tokens, keys, strict=True):
        parentheses += (key == "(") - (key == ")")
        cases = max(0, cases + (key == "CASE") - (key == "END"))
        prefixes = prefixes + 1 if key in _PREFIXES else 0
        if parentheses + cases + prefixes > bounds.max_depth:
            message = f"more than {bounds.max_depth} levels of nesting; a flatter statement is accepted"
            raise refused(
                Reason.SQL_UNPARSABLE, "sql/depth", message, text=given.text, start=token.start, construct=key
            )
