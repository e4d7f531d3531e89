"""How many honest statements of others does the gate permit? The shared corpus, all tables allowed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import apsw
import pytest
from sql_shop import BOUNDS, read_catalogue

from sandbox.reasons import Refused
from sandbox.sql import Catalogue, GateInput, Proven, effort, prove
from sandbox.toolspec import TableRule

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def honest(corpora: Path) -> Rows:
    lines = (corpora / "sql" / "legit.jsonl").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["dialect"] == "sqlite"]


@pytest.fixture(scope="module")
def prove_row(corpora: Path) -> Callable[[Mapping[str, str]], Proven]:
    """Take a row of the corpus through the gate, all tables of its database allowed."""
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

    def proven(row: Mapping[str, str]) -> Proven:
        catalogue = catalogue_of(row["db"])
        rules = {
            name: TableRule(table=table.name, columns=tuple(column.name for column in table.columns))
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
        return prove(given)

    return proven


@pytest.mark.requirement("sql:gate:honest-corpus")
def test_at_least_98_of_100_honest_statements_are_permitted(
    honest: Rows, prove_row: Callable[[Mapping[str, str]], Proven]
) -> None:
    tenth, refused = honest[::10], []
    for row in tenth:
        try:
            proven = prove_row(row)
        except Refused as refusal:
            refused.append(f"{row['id']}: {refusal.message}")
        else:
            assert {name.lower() for name in row["tables"]} == {name.lower() for name in proven.rights.relations}

    assert len(tenth) > 100
    assert len(refused) <= 0.02 * len(tenth), refused


@pytest.mark.requirement("sql:bound:effort")
def test_no_honest_statement_comes_near_the_bounds_on_effort(
    honest: Rows, prove_row: Callable[[Mapping[str, str]], Proven], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort, "MAX_STEPS", effort.MAX_STEPS // 8)
    monkeypatch.setattr(effort, "MAX_SOURCES", effort.MAX_SOURCES // 4)
    monkeypatch.setattr(effort, "MAX_COLUMNS", effort.MAX_COLUMNS // 2)
    longest = sorted(honest, key=lambda row: len(row["sql"]))[-200:]
    met = []
    for row in longest:
        try:
            prove_row(row)
        except Refused as refusal:
            met.append(refusal.rule)

    assert not {effort.EFFORT, effort.SOURCES, effort.WIDTH} & set(met)
    assert len(met) < 5
