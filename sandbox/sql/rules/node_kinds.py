"""Is every node of the tree of a kind the gate can prove? Default deny: a new kind of the parser is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlglot import exp

from sandbox.reasons import Reason
from sandbox.sql.parse import Parsed
from sandbox.sql.refusals import refused

RULE: Final = "sql/node-kinds"

ROOTS: Final = frozenset({exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Values})

_NEAREST: Final[Mapping[type[exp.Expr], tuple[str, str]]] = MappingProxyType(
    {
        exp.RegexpLike: ("REGEXP", "`LIKE` and `GLOB` are accepted"),
        exp.Match: ("MATCH", "`LIKE` and `GLOB` are accepted"),
        exp.Lateral: ("LATERAL", "a join is accepted"),
        exp.All: ("ALL", "`IN` and `EXISTS` are accepted"),
        exp.Any: ("ANY", "`IN` and `EXISTS` are accepted"),
        exp.Interval: ("INTERVAL", "date modifiers are, such as `date('now', '-1 day')`"),
        exp.Extract: ("EXTRACT", "`strftime('%Y', …)` is accepted"),
        exp.ILike: ("ILIKE", "`LIKE` is accepted and ignores the case of ASCII letters"),
    }
)
"""What to write instead, for constructs that models bring from other engines."""


def check(parsed: Parsed) -> None:
    """Refuse a root or a node whose class is not on the allow-list."""
    unknown = parsed.kinds - parsed.lexed.dialect.kinds
    if unknown:
        kind = min(unknown, key=lambda kind: (kind not in _NEAREST, kind.__name__))
        word, nearest = _NEAREST.get(kind, (kind.key.upper(), "a plain `SELECT` is accepted"))
    elif type(parsed.tree) not in ROOTS:
        word, nearest = parsed.tree.key.upper(), "a single `SELECT` is accepted"
    else:
        return
    start = next((token.start for token in parsed.lexed.tokens if token.key.replace("_", "") == word), 0)
    message = f"`{word}` is not accepted here; {nearest}"
    raise refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=parsed.lexed.text, start=start, construct=word)
