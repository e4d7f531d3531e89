"""How many honest statements of others does the gate permit? A tenth of the shared corpus, all tables allowed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import apsw
import pytest
from sql_shop import BOUNDS, read_catalogue

from sandbox.reasons import Refused
from sandbox.sql import Catalogue, GateInput, prove
from sandbox.toolspec import TableRule


@pytest.mark.requirement("sql:gate:honest-corpus")
def test_at_least_98_of_100_honest_statements_are_permitted(corpora: Path) -> None:
    setups = {
        row["db"]: row["sql"]
        for row in map(json.loads, (corpora / "sql" / "legit_setup.jsonl").read_text("utf-8").splitlines())
        if row["dialect"] == "sqlite"
    }

    @cache
    def catalogue_of(database: str) -> Catalogue:
        connection = apsw.Connection(":memory:")
        connection.execute(setups[database])
        return read_catalogue(connection)

    lines = (corpora / "sql" / "legit.jsonl").read_text("utf-8").splitlines()
    honest = [row for row in map(json.loads, lines) if row["dialect"] == "sqlite"][::10]
    refused = []
    for row in honest:
        catalogue = catalogue_of(row["db"])
        rules = {
            name: TableRule(table=table.name, columns=tuple(column.name for column in table.columns), masks={})
            for name, table in catalogue.tables.items()
        }
        given = GateInput(
            dialect="sqlite",
            text=row["sql"],
            catalogue=catalogue,
            tables=rules,
            parameters=frozenset(),
            may_claim=False,
            bounds=BOUNDS,
        )
        try:
            proven = prove(given)
        except Refused as refusal:
            refused.append(f"{row['id']}: {refusal.message}")
        else:
            assert {name.lower() for name in row["tables"]} == {name.lower() for name in proven.rights.relations}

    assert len(honest) > 100
    assert len(refused) <= 0.02 * len(honest), refused
