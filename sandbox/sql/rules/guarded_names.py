"""Is a name of a column for aggregates alone given to anything else, or that of its table taken for a column?

Nothing behind the gate holds such columns, and engines look names up in more ways than can be foreseen: DuckDB makes
every query in FROM LATERAL, SQLite still knows names within a join in parentheses, MariaDB cuts blanks off an alias.
Where nothing else has the name, one that is looked up otherwise than the gate believes finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from sandbox.reasons import Reason, quoted
from sandbox.sql.catalogue import folded
from sandbox.sql.parse import start_of
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved

RULE: Final = "sql/guarded-names"
_MEANINGS: Final = (exp.Column, exp.Table, exp.Star)
"""Where a name means what is there, and makes nothing of that name."""
_AGAIN: Final = re.compile(r"[_:]\d+$")
"""What SQLite (`wage:1`) and DuckDB (`wage_1`) add to a second column of one name."""
_BLANKS: Final = "".join(map(chr, range(33)))


def check(resolved: Resolved) -> None:
    """Refuse the first such name."""
    if not resolved.guarded_names:
        return
    for name, why in _found(resolved):
        raise refused(
            Reason.SQL_NOT_SUPPORTED,
            RULE,
            f"{quoted(str(name.this))} {why}",
            text=resolved.parsed.lexed.text,
            start=max(start_of(name), 0),
            construct=str(name.this)[:40],
        )


def _found(resolved: Resolved) -> Iterator[tuple[exp.Identifier, str]]:
    has_rows = resolved.parsed.lexed.dialect.naming.has_whole_rows
    for name in resolved.parsed.nodes.get(exp.Identifier, ()):
        if type(name) is not exp.Identifier:
            continue
        is_column = type(name.parent) is exp.Column and name.arg_key == "this"
        meant = folded(str(name.this)).strip(_BLANKS)
        if not {meant, _AGAIN.sub("", meant)}.isdisjoint(resolved.guarded_names) and not isinstance(
            name.parent, _MEANINGS
        ):
            yield name, "is the name of a column for aggregates alone; another name is accepted here"
        elif has_rows and is_column and meant in resolved.guarded_sources:
            yield (
                name,
                "is the name of a table with columns for aggregates alone; its other columns by name are accepted",
            )
