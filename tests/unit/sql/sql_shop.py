"""Which small shop do the gate's tests read? Its tables, what a tool may see of them, and canaries in all the rest."""

from __future__ import annotations

from typing import Final

import apsw

from sandbox.settings import SqlSettings
from sandbox.sql import Catalogue, ColumnShape, GateInput, Proven, TableShape, folded, prove
from sandbox.toolspec import Digest, TableRule

CANARY: Final = "CANARY"

SETUP: Final = f"""
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, region TEXT, cents INTEGER, placed_on TEXT,
                         note TEXT, secret TEXT);
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, ssn TEXT);
    CREATE TABLE events (id INTEGER, kind TEXT, date TEXT, "group" TEXT, payload TEXT, interval TEXT);
    CREATE TABLE "order lines" (order_id INTEGER, "Unit Price" REAL, quantity INTEGER, secret TEXT);
    CREATE TABLE vault (id INTEGER, token TEXT, region TEXT);
    INSERT INTO orders VALUES (1, 1, 'EU', 1200, '2024-01-05', 'ok', '{CANARY}-o1'),
                              (2, 1, 'US', 900, '2024-02-07', 'ok', '{CANARY}-o2'),
                              (3, 2, 'EU', 100, '2024-03-09', 'ok', '{CANARY}-o3');
    INSERT INTO customers VALUES (1, 'Ada', 'Paris', '{CANARY}-c1'), (2, 'Bob', 'Rome', '{CANARY}-c2');
    INSERT INTO events VALUES (1, '"view"', '2024-01-01', 'a', '{CANARY}-e1', '{CANARY}-e2');
    INSERT INTO "order lines" VALUES (1, 9.5, 2, '{CANARY}-l1'), (3, 1.25, 4, '{CANARY}-l2');
    INSERT INTO vault VALUES (1, '{CANARY}-v1', 'EU');
"""  # noqa: S608 - a constant

RULES: Final = {
    "orders": TableRule(
        table="orders",
        columns=("id", "customer_id", "region", "cents", "placed_on"),
        row_filter="region = claim('region')",
    ),
    "customers": TableRule(table="customers", columns=("id", "name", "city"), masks={"name": "initials"}),
    "events": TableRule(table="events", columns=("id", "kind", "date", "group")),
    "order lines": TableRule(table="order lines", columns=("order_id", "Unit Price", "quantity")),
}

BOUNDS: Final = SqlSettings()


def open_shop() -> apsw.Connection:
    """Make the shop in memory, as its owner sees it."""
    connection = apsw.Connection(":memory:")
    connection.execute(SETUP)
    return connection


def read_catalogue(connection: apsw.Connection) -> Catalogue:
    """Read tables and columns as an executor would."""
    tables: dict[str, TableShape] = {}
    names = connection.execute("SELECT name, type FROM main.sqlite_schema WHERE type IN ('table', 'view')").fetchall()
    for name, kind in names:
        quoted = str(name).replace('"', '""')
        columns = tuple(
            ColumnShape(str(row[1]), str(row[2]), is_hidden=row[6] == 1, is_row_number=row[5] == 1)
            for row in connection.execute(f'PRAGMA table_xinfo("{quoted}")')
        )
        tables[folded(str(name))] = TableShape(
            str(name), columns, "view" if kind == "view" else "table", has_rowid=True
        )
    return Catalogue(tables, Digest("0" * 64))


CATALOGUE: Final = read_catalogue(open_shop())


def ask(sql: str, *, parameters: frozenset[str] = frozenset(), may_claim: bool = False) -> Proven:
    """Take a text through the gate with the shop's rules."""
    return prove(
        GateInput(
            dialect="sqlite",
            text=sql,
            catalogue=CATALOGUE,
            tables=RULES,
            parameters=parameters,
            may_claim=may_claim,
            bounds=BOUNDS,
        )
    )


def shadow(connection: apsw.Connection) -> None:
    """Lay a view with the allowed columns and rows over each table, and an empty one over none: what a tool sees."""
    for rule in RULES.values():
        columns = ", ".join(f'"{column}"' for column in rule.columns)
        where = " WHERE region = 'EU'" if rule.row_filter else ""
        connection.execute(f'CREATE TEMP VIEW "{rule.table}" AS SELECT {columns} FROM main."{rule.table}"{where}')  # noqa: S608
