"""The gate of a tool for which columns of orders are for aggregates alone, on every engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import duckdb_shop
import mysql_shop
from postgres_shop import CATALOGUE as POSTGRES_CATALOGUE
from postgres_shop import RULES as POSTGRES_RULES
from postgres_shop import VIEWS
from sql_shop import CATALOGUE, RULES

from sandbox.settings import SqlSettings
from sandbox.sql import GateInput, prove
from sandbox.toolspec import SqlEngine

ENGINES: Final[tuple[SqlEngine, ...]] = ("sqlite", "postgres", "duckdb", "mysql")


def ask(engine: SqlEngine, sql: str, *guarded: str, least: int = 5) -> None:
    """Take a text through the gate of a tool for which `guarded` columns of orders are for aggregates alone."""
    catalogue, known = {
        "sqlite": (CATALOGUE, RULES),
        "postgres": (POSTGRES_CATALOGUE, POSTGRES_RULES),
        "duckdb": (duckdb_shop.CATALOGUE, duckdb_shop.OPEN),
        "mysql": (mysql_shop.CATALOGUE, mysql_shop.RULES),
    }[engine]
    table = "public.orders" if engine == "postgres" else "orders"
    rules = {**known, table: replace(known[table], aggregate_only=guarded)}
    prove(
        GateInput(
            dialect=engine,
            text=sql,
            catalogue=catalogue,
            tables=rules,
            parameters=frozenset(),
            may_claim=False,
            bounds=SqlSettings(min_group_size=least),
            stands_for=VIEWS if engine == "postgres" else {},
        )
    )
