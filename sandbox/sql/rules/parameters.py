"""Are its parameters the ones the tool binds? A model's statement has none."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.dialects.base import PARAMETER
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused
from sandbox.sql.told import word_told

RULE: Final = "sql/parameters"


def check(lexed: Lexed) -> None:
    """Refuse a parameter the input does not declare."""
    allowed = lexed.given.parameters
    for index, token in enumerate(lexed.tokens):
        if token.kind == PARAMETER and token.key[1:] not in allowed:
            accepted = ", ".join(quoted(f":{name}") for name in sorted(allowed)) or "values written into the statement"
            message = f"nothing binds the parameter {quoted(token.key)}; accepted here: {accepted}"
            word = lexed.dialect.lambda_word
            if word and word in lexed.keys[max(index - 2, 0) : index]:
                message = word_told(lexed, lexed.tokens[lexed.keys.index(word)]) or message
            raise refused(
                Reason.SQL_NOT_SUPPORTED,
                RULE,
                message,
                text=lexed.text,
                start=token.start,
                construct=token.key,
            )


def parameters_of(lexed: Lexed) -> tuple[str, ...]:
    """Return the names of the parameters used, sorted."""
    return tuple(sorted({token.key[1:] for token in lexed.tokens if token.kind == PARAMETER}))
