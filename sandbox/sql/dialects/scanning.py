"""How does a lexer go through a text, and how does it say where it stops? Alike, whichever engine's tokens it knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from sandbox.sql.dialects.base import WORD, Scan, Token, Unreadable, blanked

COMMENT: Final = 7
"""The group of an engine's pattern that is a comment; those before it are `STRING` … `PARAMETER`."""
SIGN: Final = 8
"""The group that is an operator."""


def scanned(pattern: re.Pattern[str], text: str, max_tokens: int, illegal: Callable[[str, int], Unreadable]) -> Scan:
    """Read the tokens of `text`, one match of `pattern` each; comments become blanks.

    `illegal` says what stands where no token begins. Where a match is not all there is to a token, or a token depends
    on the one before it, an engine has a loop of its own: a call for each token would cost as much as reading it.
    """
    tokens: list[Token] = []
    comments: list[tuple[int, int]] = []
    at = 0
    for match in iter(pattern.scanner(text).match, None):  # type: ignore[attr-defined]  # typeshed leaves it out
        kind = match.lastindex
        at = match.end()
        if kind is None:
            break
        start = match.start(kind)
        if kind == COMMENT:
            comments.append((start, at))
            continue
        key = text[start:at]
        if kind == WORD and key.isascii():
            key = key.upper()
        tokens.append(Token(kind if kind < SIGN else kind - 1, start, at, key))
        if len(tokens) > max_tokens:
            raise too_many(start, max_tokens)
    if at != len(text):
        raise illegal(text, at)
    return Scan(blanked(text, comments) if comments else text, tuple(tokens))


def too_many(start: int, max_tokens: int) -> Unreadable:
    """Stop at the first token that is one too many."""
    return Unreadable(start, f"more than {max_tokens} tokens; a shorter statement is accepted")


def after_blanks(text: str, at: int) -> int:
    """Return where the blanks that begin at `at` end."""
    return at + len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))


def stopped(text: str, at: int, stops: Sequence[tuple[str, str]]) -> Unreadable:
    """Stop after the blanks at `at`, in the words of the first of `stops` whose characters stand there, in upper case.

    The last has none, and so stands for any.
    """
    start = after_blanks(text, at)
    two = text[start : start + 2].upper()
    return Unreadable(start, next(why for opening, why in stops if two.startswith(opening)))
