"""Which tables and columns does a database have? The catalogue as the gate sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

from sandbox.toolspec import Digest, SqlCeiling, TableRule


@final
@dataclass(frozen=True, slots=True)
class ColumnShape:
    """One column of a table or view."""

    name: str
    declared_type: str
    is_hidden: bool = False
    """`*` does not expand to it (the hidden columns of a virtual table)."""
    is_row_number: bool = False
    """The engine itself keeps it an integer, whatever is stored: SQLite's `INTEGER PRIMARY KEY`."""


@final
@dataclass(frozen=True, slots=True)
class TableShape:
    """One table or view."""

    name: str
    columns: tuple[ColumnShape, ...]
    """In the engine's order."""
    kind: Literal["table", "view"]
    has_rowid: bool
    key: tuple[str, ...] = ()
    """The columns of its primary key, where the gate needs to know."""


@final
@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything a connection has, whether a tool may see it or not."""

    tables: Mapping[str, TableShape]
    """By name, ASCII letters in lower case."""
    fingerprint: Digest
    """Changes when anything of the catalogue does."""

    def within(self, ceiling: SqlCeiling) -> Mapping[str, TableShape]:
        """Return the tables that a connection's ceiling names, with the columns it names, by folded name."""
        if ceiling.tables is None:
            return self.tables
        named = {folded(name): columns for name, columns in ceiling.tables.items()}
        return {name: _narrowed(shape, named[name]) for name, shape in self.tables.items() if name in named}


def _narrowed(shape: TableShape, names: frozenset[str] | None) -> TableShape:
    if names is None:
        return shape
    known = set(map(folded, names))
    columns = tuple(column for column in shape.columns if folded(column.name) in known)
    return TableShape(shape.name, columns, shape.kind, shape.has_rowid, shape.key)


def ceiling_rules(catalogue: Catalogue, ceiling: SqlCeiling) -> tuple[TableRule, ...]:
    """Return the rules of an author's statement without `allow:`: every table within the ceiling, as `*` shows it."""
    return tuple(
        TableRule(
            table=shape.name,
            columns=tuple(column.name for column in shape.columns if not column.is_hidden),
        )
        for shape in catalogue.within(ceiling).values()
    )


def folded(name: str) -> str:
    """Return `name` as engines compare names: only ASCII letters lose their case.

    # WHY: `str.lower` maps U+212A (the Kelvin sign) to `k`; SQLite does not, and two names would become one.
    """
    return name.lower() if name.isascii() else "".join(c.lower() if c.isascii() else c for c in name)
