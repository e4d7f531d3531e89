"""Does SQLite answer through the sandbox as it answers its owner? The shared corpus, each database in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from executor_cast import Shop, make_database, open_table, tool

from sandbox.reasons import Refused
from sandbox.toolspec import ToolLimits

LIMITS = ToolLimits(seconds=60.0, max_rows=100_000, max_bytes=16 * 1024 * 1024)


def lines(path: Path) -> Iterator[dict[str, str]]:
    return (row for row in map(json.loads, path.read_text("utf-8").splitlines()) if row["dialect"] == "sqlite")


def shop_of(path: Path) -> Shop:
    with closing(apsw.Connection(str(path))) as owner:
        tables = {
            str(name).lower(): open_table(str(name), *(str(column) for (column,) in owner.execute(_COLUMNS, (name,))))
            for (name,) in owner.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").fetchall()
        }
    return Shop(path, (tool(tables=tables, limits=LIMITS),))


_COLUMNS = "SELECT name FROM pragma_table_info(?)"


@pytest.mark.requirement("sql:gate:honest-corpus")
def test_honest_statements_are_answered_as_to_their_owner(corpora: Path, tmp_path: Path) -> None:
    setups = {row["db"]: row["sql"] for row in lines(corpora / "sql" / "legit_setup.jsonl")}
    rows = list(lines(corpora / "sql" / "legit.jsonl"))
    refused: list[str] = []
    changed: list[str] = []
    answered = 0
    for number, (database, setup) in enumerate(setups.items()):
        path = make_database(tmp_path / f"{number}.db", setup)
        shop = shop_of(path)
        with closing(apsw.Connection(str(path))) as owner:
            for row in rows:
                if row["db"] == database:
                    try:
                        told = ours(shop, row["sql"])
                    except Refused as refusal:
                        refused.append(f"{row['id']} {refusal.rule}: {refusal.message}")
                    else:
                        changed += [row["id"]] if told != theirs(owner, row["sql"]) else []
                        answered += bool(told[0])
        shop.executors.close()

    assert len(rows) > 1_000
    assert answered > 0.95 * len(rows)
    assert len(refused) <= 0.02 * len(rows), refused
    assert changed == []


def ours(shop: Shop, sql: str) -> tuple[list[str], list[str]]:
    """Return names and rows through the sandbox; nothing of a statement that the engine fails."""
    try:
        found = shop.call({"sql": sql})
    except Refused as refused:
        if refused.rule != "sql/failed":
            raise
        return [], []
    return [column.name for column in found.columns], sorted(map(repr, found.rows))


def theirs(owner: apsw.Connection, sql: str) -> tuple[list[str], list[str]]:
    """Return names and rows as the owner has them."""
    cursor = owner.cursor()
    names: list[str] = []

    def read_names(at: apsw.Cursor, _: object, __: object) -> bool:
        names.extend(str(each[0]) for each in at.get_description())
        return True

    cursor.exec_trace = read_names
    try:
        rows = cursor.execute(sql).fetchall()
    except apsw.Error:
        return [], []
    return names, sorted(map(repr, rows))
