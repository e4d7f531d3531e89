"""Does the engine's grammar allow what sqlglot's is lenient about? A comma too many, `DISTINCT ON`, joins of joins."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/grammar"


def check(lexed: Lexed) -> None:
    """Refuse two tokens that cannot follow each other."""
    impossible = lexed.dialect.impossible
    pairs = list(pairwise([*lexed.keys, ""]))
    if impossible.isdisjoint(pairs):
        return
    index = next(index for index, pair in enumerate(pairs) if pair in impossible)
    first, second = pairs[index]
    after = quoted(second) if second else "the end"
    raise refused(
        Reason.SQL_UNPARSABLE,
        RULE,
        f"{quoted(first)} cannot stand before {after}; one of the two is too many",
        text=lexed.text,
        start=lexed.tokens[index].start,
        construct=first,
    )
