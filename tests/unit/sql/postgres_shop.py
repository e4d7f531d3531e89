"""Which small shop do the gate's tests of PostgreSQL read? Its tables, and what a tool may see of them."""

from __future__ import annotations

from typing import Final

from sandbox.settings import SqlSettings
from sandbox.sql import Catalogue, ColumnShape, GateInput, Proven, TableShape, prove
from sandbox.toolspec import Digest, TableRule


def _table(name: str, columns: str) -> TableShape:
    return TableShape(name, tuple(ColumnShape(column, "text") for column in columns.split()), "table", has_rowid=False)


ORDERS: Final = _table("public.orders", "id customer_id region cents placed_on tags doc secret")
TABLES: Final = (ORDERS, _table("sales.orders", "id cents"), _table("public.vault", "id token"))
CATALOGUE: Final = Catalogue({table.name: table for table in TABLES}, Digest("0" * 64))
RULES: Final = {
    "public.orders": TableRule(
        table="public.orders",
        columns=("id", "customer_id", "region", "cents", "placed_on", "tags", "doc"),
        row_filter="region = claim('region')",
    ),
    "sales.orders": TableRule(table="sales.orders", columns=("id", "cents")),
}
SCHEMA: Final = "sandbox_ab12cd34ef56"
VIEWS: Final = {name: (SCHEMA, name) for name in RULES}
BOUNDS: Final = SqlSettings()


def ask(sql: str, *, parameters: frozenset[str] = frozenset(), may_claim: bool = False) -> Proven:
    """Take a text through the gate with the shop's rules."""
    return prove(
        GateInput(
            dialect="postgres",
            text=sql,
            catalogue=CATALOGUE,
            tables=RULES,
            parameters=parameters,
            may_claim=may_claim,
            bounds=BOUNDS,
            stands_for=VIEWS,
        )
    )
