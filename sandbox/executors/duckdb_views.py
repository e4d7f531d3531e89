"""How does a table of a DuckDB file look to one tool? The columns it may show, masked, of the rows it may show."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from sandbox.confined.frames import Table, View
from sandbox.toolspec import MaskName, TableRule

_MASKS: Final[Mapping[MaskName, str]] = MappingProxyType(
    {
        "null": "CAST(NULL AS VARCHAR)",
        "initials": (
            "array_to_string([left(word, 1) || '.' FOR word IN string_split_regex({text}, '\\s+') IF word <> ''], '')"
        ),
        "last4": "CASE WHEN length({text}) <= 4 THEN repeat('*', length({text}))"
        " ELSE repeat('*', length({text}) - 4) || right({text}, 4) END",
        "year": "CASE WHEN regexp_matches({text}, '^[0-9]{{4}}(-|$)') THEN left({text}, 4) END",
        "domain": "CASE WHEN contains({text}, '@') THEN regexp_extract({text}, '[^@]*$') END",
    }
)
"""As `sandbox.executors.masks` does it; what each shows: `sandbox.toolspec.MaskName`."""


_NO_COLUMN: Final = 'NULL AS "nothing"'
"""Of a table whose rows alone are counted, none of whose columns may be shown."""


def views_of(rules: Mapping[str, TableRule], tables: Mapping[str, Table]) -> tuple[View, ...]:
    """Return what stands under the name of each table; rules and tables by folded name."""
    return tuple(
        View(
            table=tables[name],
            columns=", ".join(_shown(column, rule.masks.get(column)) for column in rule.columns) or _NO_COLUMN,
            row_filter=rule.row_filter or "",
        )
        for name, rule in rules.items()
    )


def as_read(rule: TableRule, read: Collection[tuple[str, str]]) -> TableRule:
    """Return a table's rule without the columns for aggregates alone that a statement was not proven to aggregate.

    `read` are the columns that it was proven to read, by table.
    """
    columns = tuple(name for name in rule.columns if name not in rule.aggregate_only or (rule.table, name) in read)
    return replace(rule, columns=columns)


def select_of(rule: TableRule) -> str:
    """Return a statement that looks at every column of a table that a tool may show."""
    return f"SELECT {', '.join(map(quoted_name, rule.columns))} FROM {quoted_name(rule.table)} LIMIT 0"  # noqa: S608 - quoted names


def _shown(column: str, mask: MaskName | None) -> str:
    name = quoted_name(column)
    return name if mask is None else f"{_MASKS[mask].format(text=f'CAST({name} AS VARCHAR)')} AS {name}"


def quoted_name(name: str) -> str:
    """Return a name as DuckDB takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
