"""Which small shop do the gate's tests of MariaDB read? That of the corpus, as the gate sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.bench.sql import shop
from sandbox.settings import SqlSettings
from sandbox.sql import Catalogue, ColumnShape, GateInput, Proven, TableShape, prove
from sandbox.toolspec import Digest, TableRule

_VIEWS: Final = {"city_people": "city people", "all_orders": "id region item note mark", "tokens": "id token name"}
_COLUMNS: Final = {name: tuple(table.columns) for name, table in shop.TABLES.items()} | {
    name: tuple(columns.split()) for name, columns in _VIEWS.items()
}
CATALOGUE: Final = Catalogue(
    {
        name: TableShape(
            name,
            tuple(ColumnShape(column, "text") for column in columns),
            "view" if name in _VIEWS else "table",
            has_rowid=False,
        )
        for name, columns in _COLUMNS.items()
    },
    Digest("0" * 64),
)
RULES: Final = shop.rules("")
BOUNDS: Final = SqlSettings()


def ask(
    sql: str,
    *,
    parameters: frozenset[str] = frozenset(),
    may_claim: bool = False,
    catalogue: Catalogue = CATALOGUE,
    rules: Mapping[str, TableRule] = RULES,
) -> Proven:
    """Take a text through the gate with the shop's rules."""
    return prove(
        GateInput(
            dialect="mysql",
            text=sql,
            catalogue=catalogue,
            tables=rules,
            parameters=parameters,
            may_claim=may_claim,
            bounds=BOUNDS,
        )
    )
