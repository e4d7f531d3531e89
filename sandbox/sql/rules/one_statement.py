"""Is it one statement? A second one would run outside everything that was proven of the first."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/one-statement"


def check(lexed: Lexed) -> None:
    """Refuse a semicolon with anything after it."""
    if ";" not in lexed.keys:
        return
    index = lexed.keys.index(";")
    token = lexed.tokens[index]
    following = lexed.tokens[index + 1]
    raise refused(
        Reason.SQL_NOT_READ_ONLY,
        RULE,
        f"a second statement begins at {quoted(following.key)} after `;`; a single `SELECT` is accepted",
        text=lexed.text,
        start=token.start,
        construct=";",
    )
