"""Does `claim()` name its claim outright? A name made of data would let a row choose what is read of the token."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason
from sandbox.sql.dialects.base import STRING
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/claims"


def check(lexed: Lexed) -> None:
    """Refuse `claim(…)` with anything but one string; who may call it at all is the functions rule's business."""
    if "CLAIM" in lexed.keys and lexed.given.may_claim:
        claims_of(lexed)


def claims_of(lexed: Lexed) -> frozenset[str]:
    """Return the claims the text names."""
    tokens, keys = lexed.tokens, lexed.keys
    claims: set[str] = set()
    for index, key in enumerate(keys):
        if key != "CLAIM" or keys[index + 1 : index + 2] != ["("]:
            continue
        is_string = keys[index + 3 : index + 4] == [")"] and tokens[index + 2].kind == STRING
        if not is_string or keys[index + 2][0] != "'" or "\\" in keys[index + 2]:
            raise refused(
                Reason.SQL_NOT_SUPPORTED,
                RULE,
                "`claim` takes one string, such as `claim('region')`",
                text=lexed.text,
                start=tokens[index].start,
                construct="claim",
            )
        claims.add(keys[index + 2][1:-1].replace("''", "'"))
    return frozenset(claims)
