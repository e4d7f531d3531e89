"""Which tokens does the engine read? The first of the gate's three stages: `Lexed` → `Parsed` → `Resolved`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from sandbox.reasons import Reason
from sandbox.sql.contract import GateInput
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
    end: int
    """Where the first closing semicolon stands, or the text ends."""
    tokens: tuple[Token, ...]
    keys: list[str]
    """The tokens' keys, to be searched at the speed of C. A word's key is never equal to a string's or a name's: those
    keep their quotes."""
    names: list[int]
    """Indexes of quoted names and of words that are not structural: each must turn out to name something."""
    type_words: frozenset[int]
    """Indexes of the tokens that make up types."""
    plain_words: frozenset[int]
    """Indexes of the words that are neither structural nor part of a type."""
    calls: frozenset[int]
    """Of those, the ones before a parenthesis that are functions of the allow-list, and collations."""


def lex(given: GateInput, dialect: Dialect) -> Lexed:
    """Read the text as the engine's lexer does; refuse what it cannot read and what nests too deep."""
    try:
        scan = dialect.scan(given.text, given.bounds.max_tokens)
    except Unreadable as stop:
        raise refused(
            Reason.SQL_UNPARSABLE, "sql/tokens", stop.why, text=given.text, start=stop.start, construct="token"
        ) from stop
    tokens, text, end = scan.tokens, scan.text, len(scan.text)
    while tokens and tokens[-1].key == ";":
        text = f"{text[: tokens[-1].start]} {text[tokens[-1].end :]}"
        end, tokens = tokens[-1].start, tokens[:-1]
    if not tokens:
        message = "the text holds no statement; a single `SELECT` is accepted"
        raise refused(Reason.SQL_UNPARSABLE, "sql/tokens", message, text=given.text, start=0, construct="statement")
    keys = [token.key for token in tokens]
    _check_depth(given, tokens, keys)
    _check_joins(given, tokens, keys)
    structural, placed = dialect.structural, frozenset(dialect.placed_words(tokens, keys))
    names = [
        index
        for index, token in enumerate(tokens)
        if (token.kind == WORD and token.key not in structural and index not in placed) or token.kind == QUOTED
    ]
    type_words = frozenset(dialect.types(tokens, keys))
    plain_words = [index for index in names if tokens[index].kind == WORD and index not in type_words]
    functions, following = dialect.functions, [*keys[1:], ""]
    return Lexed(
        given=given,
        dialect=dialect,
        text=text.rstrip(),
        end=end,
        tokens=tokens,
        keys=keys,
        names=names,
        type_words=type_words,
        plain_words=frozenset(plain_words),
        calls=frozenset(
            index
            for index in plain_words
            if (following[index] == "(" and keys[index].lower() in functions) or keys[index - 1] == "COLLATE"
        ),
    )


_PREFIXES: Final = ("NOT", "-", "+", "~")


def _check_depth(given: GateInput, tokens: tuple[Token, ...], keys: list[str]) -> None:
    bounds = given.bounds
    openings = keys.count("(") + keys.count("[") + keys.count("CASE")
    if openings + sum(map(keys.count, _PREFIXES)) <= bounds.max_depth:
        return
    parentheses = cases = prefixes = 0
    for token, key in zip(tokens, keys, strict=True):
        parentheses += (key in ("(", "[")) - (key in (")", "]"))
        cases = max(0, cases + (key == "CASE") - (key == "END"))
        prefixes = prefixes + 1 if key in _PREFIXES else 0
        if parentheses + cases + prefixes > bounds.max_depth:
            message = f"more than {bounds.max_depth} levels of nesting; a flatter statement is accepted"
            raise refused(
                Reason.SQL_UNPARSABLE, "sql/depth", message, text=given.text, start=token.start, construct=key
            )


_MAX_BARE_JOINS: Final = 6
"""sqlglot reads what follows a JOIN twice if its ON does not come next, so each costs double (18 take 0.7 s)."""


def _check_joins(given: GateInput, tokens: tuple[Token, ...], keys: list[str]) -> None:
    """Refuse joins in a row that wait for their ON or have none."""
    if keys.count("JOIN") <= _MAX_BARE_JOINS:
        return
    waiting = 0
    for index, key in enumerate(keys):
        if key == "JOIN":
            waiting += keys[index - 1] != "CROSS" and "NATURAL" not in keys[max(index - 3, 0) : index]
        elif key in ("ON", "USING"):
            waiting = max(0, waiting - 1)
        if waiting > _MAX_BARE_JOINS:
            message = (
                f"more than {_MAX_BARE_JOINS} joins without `ON`; `JOIN … ON …`, `CROSS JOIN` or commas are accepted"
            )
            raise refused(
                Reason.SQL_UNPARSABLE,
                "sql/bare-joins",
                message,
                text=given.text,
                start=tokens[index].start,
                construct="JOIN",
            )
