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
    for index in type_indexes(lexed):
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


def type_indexes(lexed: Lexed) -> list[int]:
    """Return the indexes of the tokens that make up the types of CASTs."""
    keys = lexed.keys
    found: list[int] = []
    for index, key in enumerate(keys) if "CAST" in keys else ():
        if key == "CAST" and keys[index + 1 : index + 2] == ["("]:
            found += _type_after(keys, index + 1)
    return found


def _type_after(keys: list[str], opening: int) -> list[int]:
    """Return the indexes between AS and the parenthesis that closes the one at `opening`."""
    depth = 0
    found: list[int] = []
    is_type = False
    for index in range(opening, len(keys)):
        key = keys[index]
        depth += (key == "(") - (key == ")")
        if depth == 0:
            return found
        if is_type:
            found.append(index)
        elif key == "AS" and depth == 1:
            is_type = True
    return found
