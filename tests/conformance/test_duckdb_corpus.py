"""Does DuckDB answer through the sandbox as it answers its owner? The shared corpus, in a file."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import duckdb_cast
import pytest
from executor_cast import Shop, open_table, tool

from sandbox.reasons import Refused
from sandbox.toolspec import ToolLimits

LIMITS = ToolLimits(seconds=60.0, max_rows=100_000, max_bytes=16 * 1024 * 1024)


def lines(path: Path) -> Iterator[dict[str, str]]:
    return (row for row in map(json.loads, path.read_text("utf-8").splitlines()) if row["dialect"] == "duckdb")


def make_tpch(path: Path, folder: Path) -> None:
    with duckdb.connect(str(path)) as owner:
        for source in sorted(folder.glob("*.parquet")):
            owner.execute(f"CREATE TABLE {source.stem} AS SELECT * FROM '{source}'")  # noqa: S608 - file names of the corpus


def shop_of(path: Path) -> Shop:
    with duckdb.connect(str(path), read_only=True) as owner:
        found: dict[str, list[str]] = {}
        for table, column in owner.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index"
        ).fetchall():
            found.setdefault(table, []).append(column)
    tables = {name: open_table(name, *columns) for name, columns in found.items()}
    return Shop(Path(), (tool(tables=tables, limits=LIMITS),), connection=duckdb_cast.connection_to(path))


def plain(cell: object) -> object:
    """Return a cell of the owner's as the sandbox gives it."""
    if isinstance(cell, (decimal.Decimal, dt.date)):
        return str(cell)
    return cell


@pytest.mark.requirement("sql:duckdb:honest-corpus")
def test_honest_statements_are_answered_as_to_their_owner(corpora: Path, tmp_path: Path) -> None:
    (setup,) = lines(corpora / "sql" / "legit_setup.jsonl")
    paths = {"tpch": tmp_path / "tpch.duckdb", "tpcds": tmp_path / "tpcds.duckdb"}
    make_tpch(paths["tpch"], corpora / "sql" / "tpch")
    duckdb_cast.make_database(paths["tpcds"], setup["sql"])
    rows = list(lines(corpora / "sql" / "legit.jsonl"))
    failed = []
    for database, path in paths.items():
        shop, own = shop_of(path), [row for row in rows if row["db"] == database]
        assert own
        for row in own:
            failed += [row["id"]] if differs(shop, path, row["sql"]) else []
        shop.executors.close()

    assert len(rows) == 121
    assert failed == []


def differs(shop: Shop, path: Path, sql: str) -> bool:
    """Whether the sandbox answers otherwise than DuckDB answers the owner."""
    try:
        ours = shop.call({"sql": sql})
        told = ([column.name for column in ours.columns], sorted(map(repr, ours.rows)))
    except Refused as refused:
        if refused.rule != "sql/failed":
            return True
        told = ([], [])
    with duckdb.connect(str(path), read_only=True) as owner:
        try:
            cursor = owner.execute(sql)
            rows = [tuple(map(plain, row)) for row in cursor.fetchall()]
            return told != ([str(each[0]) for each in cursor.description or ()], sorted(map(repr, rows)))
        except duckdb.Error:
            return told != ([], [])
