"""Does every word have one meaning in both grammars?

Each word is part of SQL's frame, a name that was looked up, a function, a type or a collation. One that is none of them
was read by the parser in a way the engine may not share: sqlglot takes `date 'x'` for a typed literal, SQLite for the
column `date` under the name `x`.
"""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.collations import collation_indexes

RULE: Final = "sql/same-words"


def check(resolved: Resolved) -> None:
    """Refuse a word that nothing accounts for."""
    lexed = resolved.parsed.lexed
    named_at = resolved.named_at
    left = [index for index in lexed.names if lexed.tokens[index].start not in named_at]
    if not left:
        return
    calls = {token.start for token in resolved.calls}
    known = lexed.type_words.union(collation_indexes(lexed))
    for index in left:
        token = lexed.tokens[index]
        if index in known or token.start in calls:
            continue
        raise refused(
            Reason.SQL_NOT_SUPPORTED,
            RULE,
            f"{quoted(lexed.text[token.start : token.end])} is not accepted in this place; names with spaces or of "
            "keywords are written in double quotes",
            text=lexed.text,
            start=token.start,
            construct=token.key[:40],
        )
