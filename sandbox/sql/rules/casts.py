"""Is each CAST to a type the gate knows? A type is made of words that must not be read as names."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.dialects.base import NUMBER
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/casts"
_EXAMPLES: Final = ("INTEGER", "REAL", "TEXT", "NUMERIC", "CHAR", "DECIMAL", "DOUBLE")


def check(lexed: Lexed) -> None:
    """Refuse a type with a word outside the allow-list."""
    allowed = lexed.dialect.type_words
    accepted = ", ".join(f"`{word}`" for word in [each for each in _EXAMPLES if each in allowed][:4])
    for index in sorted(lexed.type_words):
        token = lexed.tokens[index]
        if token.key not in allowed and token.kind != NUMBER and token.key not in "(,)":
            raise refused(
                Reason.SQL_NOT_SUPPORTED,
                RULE,
                f"{quoted(token.key)} is no type this gate knows; {accepted} are accepted",
                text=lexed.text,
                start=token.start,
                construct="CAST",
            )
