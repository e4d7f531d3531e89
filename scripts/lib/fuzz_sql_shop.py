"""On which databases does the SQL fuzzer ask? On twins of the bench's shop, which differ in nothing but what is hidden.

The hidden cells, rows and tables of one twin are canaries; the other's are of another length and order, or NULL, and
there are fewer. A column for aggregates alone is added: whatever four of its values are, sums and averages that hold
one of the others are the same, for those are too large for a float to notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sandbox.bench.sql.harm import CANARY
from sandbox.bench.sql.shop import TABLES, Rows, Table, Tables, Value

OTHER: Final = "zq"
"""Stands in the second twin where the first has the canary."""
SAME_LENGTH: Final = "xanadu8246"
"""The same where a mask tells how long a value is."""
AGGREGATES: Final = "tip"
"""The column of `events` for aggregates alone."""
_TIP_TYPES: Final = ("REAL", "double precision", "DOUBLE", "DOUBLE")
_KEY: Final = " PRIMARY KEY"
"""By which rows lie in order."""
_HUGE: Final = 1e300
_FREE: Final = 5
"""One row in so many has a value that differs between the twins: four of twenty, too few to aggregate."""


def twins() -> tuple[Tables, Tables]:
    """Return both shops with everything that a tool hides: columns, rows, tables, and what masks leave out."""
    whole = _with_aggregates(TABLES, 0)
    return whole, {name: _varied(name, table) for name, table in _with_aggregates(TABLES, 1).items()}


def bare_twins() -> tuple[Tables, Tables]:
    """Return both shops as the gate alone must guard them: no hidden rows and nothing masked."""
    first, second = twins()
    return (
        {name: _unhidden(table, table) for name, table in first.items()},
        {name: _unhidden(table, first[name]) for name, table in second.items()},
    )


def reordered(tables: Tables) -> Tables:
    """Return the same rows as they lie the other way round: what answers otherwise there, answers by chance."""
    return {
        name: replace(
            table,
            columns={
                column: tuple(each.removesuffix(_KEY) for each in types)  # type: ignore[misc]  # as many as there were
                for column, types in table.columns.items()
            },
            rows=list(reversed(table.rows)),
        )
        for name, table in tables.items()
    }


def _with_aggregates(tables: Tables, twin: int) -> Tables:
    events = tables["events"]
    free = (1.0, 2.0, 3.5, 4.0) if twin == 0 else (-7.0, 0.0, 2.5, 9.0)
    rows = [(*row, free[at // _FREE] if at % _FREE == 0 else _HUGE) for at, row in enumerate(events.rows)]
    column = {AGGREGATES: _TIP_TYPES[: len(events.columns["id"])]}
    added = replace(
        events,
        columns={**events.columns, **column},  # type: ignore[dict-item]  # as many types as the shop has engines
        rows=rows,
        shown=(*events.shown, AGGREGATES),
        aggregate_only=(AGGREGATES,),
    )
    return {**tables, "events": added}


def _varied(name: str, table: Table) -> Table:
    """Return the second twin of a table."""
    visible = len(table.rows) if table.visible is None else table.visible
    rows: list[Sequence[Value]] = [
        [_cell(column, table, cell, at) for column, cell in zip(table.columns, row, strict=True)]
        for at, row in enumerate(table.rows[:visible])
    ]
    rows += [_hidden_row(row, at) for at, row in enumerate(table.rows[visible:]) if at % 2]
    if name == "vault":
        rows = [*rows, (7, "aa", "US"), (8, None, None)]
    masks = {
        column: (mask, {_masked(before): after for before, after in values.items()})
        for column, (mask, values) in table.masks.items()
    }
    return replace(table, rows=rows, masks=masks)


def _cell(column: str, table: Table, cell: Value, at: int) -> Value:
    if column in table.masks:
        return _masked(cell)
    if column in table.aggregate_only and isinstance(cell, str):
        return f"{OTHER}{at}"
    if column in table.shown or not isinstance(cell, str):
        return cell
    return (OTHER, None, f"{OTHER}{at}", "")[at % 4]


def _hidden_row(row: Sequence[Value], at: int) -> list[Value]:
    return [_hidden_cell(cell, at) for cell in row]


def _hidden_cell(cell: Value, at: int) -> Value:
    match cell:
        case 73197319:
            return -5 * at
        case str() if CANARY in cell:
            return OTHER
        case _:
            return cell


def _masked(cell: Value) -> Value:
    return cell.replace(CANARY, SAME_LENGTH) if isinstance(cell, str) else cell


def _unhidden(table: Table, first: Table) -> Table:
    """Leave out hidden rows, and take for masked values those of the first twin without a canary."""
    names = list(table.columns)
    rows: Rows = [
        [_masked(kept[at]) if name in table.masks else row[at] for at, name in enumerate(names)]
        for row, kept in zip(table.rows[: table.visible], first.rows, strict=False)
    ]
    if not table.shown:
        rows = table.rows
    masks = {
        column: (mask, {_masked(a): b for a, b in values.items()}) for column, (mask, values) in table.masks.items()
    }
    return replace(table, rows=rows, masks=masks)
