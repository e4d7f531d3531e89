"""Are honest statements for MariaDB permitted, and answered as they were written? The shared corpus, a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from mariadb_server import Server
from mysql_shop import ask

from sandbox.reasons import Refused
from sandbox.sql import Catalogue, ColumnShape, TableShape, folded
from sandbox.toolspec import Digest, TableRule

Row = dict[str, str]
COLUMNS = """
    SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = database()
    ORDER BY table_name, ordinal_position
"""


def read_lines(path: Path) -> Iterator[Row]:
    return (row for row in map(json.loads, path.read_text("utf-8").splitlines()) if row["dialect"] == "mysql")


def read_catalogue(server: Server, database: str) -> Catalogue:
    found: dict[str, list[ColumnShape]] = {}
    for table, column in server.ask(COLUMNS, database):
        found.setdefault(str(table), []).append(ColumnShape(str(column), "text"))
    shapes = (TableShape(name, tuple(columns), "table", has_rowid=False) for name, columns in found.items())
    return Catalogue({folded(shape.name): shape for shape in shapes}, Digest("0" * 64))


def answer(server: Server, database: str, sql: str) -> tuple[list[str], list[str]]:
    """Return the columns' names and the rows in any order; the error's number where it is one."""
    with server.connect(database) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(sql)
        except pymysql.Error as error:
            return [str(error.args[0])], []
        return [str(column[0]) for column in cursor.description or ()], sorted(map(repr, cursor.fetchall()))


@pytest.mark.requirement("sql:mysql:honest-corpus")
def test_honest_statements_are_permitted_and_answered_as_written(corpora: Path, mariadb: Server) -> None:
    setups = {row["db"]: row["sql"] for row in read_lines(corpora / "sql" / "legit_setup.jsonl")}
    rows = [row for row in read_lines(corpora / "sql" / "legit.jsonl") if row["db"] in setups]
    refused: list[str] = []
    for database, setup in setups.items():
        mariadb.make_database("corpus", setup)
        catalogue = read_catalogue(mariadb, "corpus")
        rules = {
            name: TableRule(table=shape.name, columns=tuple(column.name for column in shape.columns))
            for name, shape in catalogue.tables.items()
        }
        for row in rows:
            if row["db"] != database:
                continue
            try:
                proven = ask(row["sql"], catalogue=catalogue, rules=rules)
            except Refused as refusal:
                refused.append(f"{row['id']} {refusal.rule}: {refusal.message}")
                continue
            assert set(row["tables"]) == set(proven.rights.relations)
            assert answer(mariadb, "corpus", proven.sql_to_run) == answer(mariadb, "corpus", row["sql"])

    assert len(rows) == 230
    assert not refused
