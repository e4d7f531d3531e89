"""Does a string stand where the engine would read a name? SQLite takes `t.'x'` for a column."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason
from sandbox.sql.dialects.base import STRING
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/string-names"


def check(lexed: Lexed) -> None:
    """Refuse a string beside a full stop."""
    keys = lexed.keys
    if "." not in keys:
        return
    for index, token in enumerate(lexed.tokens):
        if token.kind == STRING and "." in (*keys[max(index - 1, 0) : index], *keys[index + 1 : index + 2]):
            raise refused(
                Reason.SQL_NOT_SUPPORTED,
                RULE,
                "a string stands where a name belongs; names are written bare or in double quotes",
                text=lexed.text,
                start=token.start,
                construct="string",
            )
