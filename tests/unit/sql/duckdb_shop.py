"""A shop on DuckDB, as the gate is told of it."""

from __future__ import annotations

from sandbox.settings import SqlSettings
from sandbox.sql import Catalogue, ColumnShape, GateInput, Proven, TableShape, prove
from sandbox.toolspec import Digest, TableRule

BOUNDS = SqlSettings()
ORDERS = ("id", "customer_id", "region", "cents", "placed_on", "tags", "doc")
_TABLES = {"orders": (*ORDERS, "secret"), "customers": ("id", "name", "city"), "vault": ("id", "word")}
CATALOGUE = Catalogue(
    {
        name: TableShape(name, tuple(ColumnShape(column, "VARCHAR") for column in columns), "table", has_rowid=True)
        for name, columns in _TABLES.items()
    },
    Digest("0" * 64),
)
RULES = {
    "orders": TableRule(table="orders", columns=ORDERS, aggregate_only=("cents",)),
    "customers": TableRule(table="customers", columns=_TABLES["customers"]),
}
OPEN = {**RULES, "orders": TableRule(table="orders", columns=ORDERS)}


def ask(
    sql: str, *, parameters: frozenset[str] = frozenset(), may_claim: bool = False, is_guarded: bool = False
) -> Proven:
    """Take a text through the gate."""
    return prove(
        GateInput(
            dialect="duckdb",
            text=sql,
            catalogue=CATALOGUE,
            tables=RULES if is_guarded else OPEN,
            parameters=parameters,
            may_claim=may_claim,
            bounds=BOUNDS,
        )
    )
