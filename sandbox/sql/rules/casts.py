"""Is each CAST to a type the gate knows? A type is made of words that must not be read as names."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.dialects.base import NUMBER
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/casts"


def check(lexed: Lexed) -> None:
    """Refuse a type with a word outside the allow-list."""
    allowed = lexed.dialect.type_words
    for index in sorted(lexed.type_words):
        token = lexed.tokens[index]
        if token.key not in allowed and token.kind != NUMBER and token.key not in "(,)":
            raise refused(
                Reason.SQL_NOT_SUPPORTED,
                RULE,
                f"{quoted(token.key)} is no type this gate knows; `INTEGER`, `REAL`, `TEXT` and `NUMERIC` are accepted",
                text=lexed.text,
                start=token.start,
                construct="CAST",
            )
