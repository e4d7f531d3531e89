"""What must a model know to write its first statement right? The engine, the tables and the columns of a tool, in text.

It is told beneath the argument that takes the SQL, and tells no more than the refusals of the gate do: names that the
spec allows, never what a row filter says or what is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from sandbox.sql.dialects.reserved_words import RESERVED_WORDS
from sandbox.toolspec import SqlEngine, TableRule

MAX_READABLE: Final = 2_000
"""Characters in all: a page of a hundred tools stays well below what a message may hold."""
_MAX_COLUMNS: Final = 400
"""Characters of the columns of one table within it."""
_MAX_FURTHER: Final = 300
"""Characters of each list behind the tables: so few that all of them leave room for the first tables."""
_ROOM: Final = 100
"""Characters kept for what is told around the tables."""
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")
"""A name that needs no quotes in any engine, unless it is one of `RESERVED_WORDS`."""
_SPOKEN: Final[dict[SqlEngine, str]] = {
    "sqlite": "SQLite",
    "postgres": "PostgreSQL",
    "duckdb": "DuckDB",
    "mysql": "MariaDB",
}


def readable(engine: SqlEngine, rules: Iterable[TableRule], min_group_size: int) -> str:
    """Return what the statements of a tool may read, in one line; long lists are cut, and say by how much."""
    known = sorted(rules, key=lambda rule: rule.table)
    named = [(rule, _written_table(rule.table, engine)) for rule in known]
    alone = [f"{table}.{_written(column, engine)}" for rule, table in named for column in rule.aggregate_only]
    masked = [f"{table}.{_written(column, engine)}" for rule, table in named for column in sorted(rule.masks)]
    filtered = [table for rule, table in named if rule.row_filter is not None]
    having = f"`HAVING count(c) >= {min_group_size}` (a group of fewer values is no row, and nothing says so)"
    further = [
        f"as `sum(c)`, `avg(c)` or `count(c)` alone, with {having}: {_cut(alone, _MAX_FURTHER)}" if alone else "",
        f"masked in the answer: {_cut(masked, _MAX_FURTHER)}" if masked else "",
        f"rows that the caller may not see are left out of {_cut(filtered, _MAX_FURTHER)}" if filtered else "",
    ]
    told = "; ".join(filter(None, further))
    tables = [table + _plain_columns(rule, engine) for rule, table in named]
    room = MAX_READABLE - len(told) - _ROOM
    return "; ".join(filter(None, (f"{_SPOKEN[engine]}; it may read {_cut(tables, room)}", told)))


def _plain_columns(rule: TableRule, engine: SqlEngine) -> str:
    """Return the columns of a table in parentheses; nothing where all of them are for aggregates alone."""
    names = [_written(column, engine) for column in rule.columns if column not in rule.aggregate_only]
    return f"({_cut(names, _MAX_COLUMNS)})" if names else ""


def _written_table(name: str, engine: SqlEngine) -> str:
    """Return a table's name as a statement writes it; PostgreSQL's may begin with a schema's."""
    parts = name.split(".") if engine == "postgres" else [name]
    return ".".join(_written(part, engine) for part in parts)


def _written(name: str, engine: SqlEngine) -> str:
    """Return one name as a statement writes it."""
    if _PLAIN.fullmatch(name) and name not in RESERVED_WORDS:
        return name
    mark = "`" if engine == "mysql" else '"'
    return mark + name.replace(mark, mark * 2) + mark


def _cut(names: Sequence[str], most: int) -> str:
    """Return as many names as fit, and how many more there are."""
    shown, length = 0, 0
    while shown < len(names) and (length := length + len(names[shown]) + 2) <= most:
        shown += 1
    rest = f"{len(names) - shown} more" if shown < len(names) else ""
    return ", ".join(filter(None, (*names[:shown], rest)))
