"""Does PostgreSQL answer what the gate prints as it answers what was written? The shared corpus, a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_server import Server
from postgres_shop import BOUNDS, SCHEMA

from sandbox.executors.postgres_catalogue import TABLES, catalogue_of
from sandbox.reasons import Refused
from sandbox.sql import Catalogue, GateInput, Proven, prove
from sandbox.toolspec import TableRule

Row = dict[str, str]


def read_lines(path: Path) -> Iterator[Row]:
    return (row for row in map(json.loads, path.read_text("utf-8").splitlines()) if row["dialect"] == "postgres")


def read_catalogue(connection: psycopg.Connection) -> Catalogue:
    return catalogue_of(connection.execute(TABLES).fetchall())


def make_views(connection: psycopg.Connection, catalogue: Catalogue) -> None:
    """Lay a view over each table, as the set-up script does."""
    connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
    for table in catalogue.tables.values():
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        base = ".".join(f'"{part}"' for part in table.name.split("."))
        connection.execute(f'CREATE VIEW {SCHEMA}."{table.name}" AS SELECT {columns} FROM {base}'.encode())  # noqa: S608


def proven_of(row: Row, catalogue: Catalogue, *, has_views: bool) -> Proven:
    rules = {
        name: TableRule(table=name, columns=tuple(column.name for column in table.columns))
        for name, table in catalogue.tables.items()
    }
    return prove(
        GateInput(
            dialect="postgres", text=row["sql"], catalogue=catalogue, tables=rules, parameters=frozenset(),
            may_claim=False, bounds=BOUNDS, stands_for={name: (SCHEMA, name) for name in rules} if has_views else {},
        )
    )  # fmt: skip


def answer(connection: psycopg.Connection, path: str, sql: str) -> tuple[list[tuple[str, int]], list[str]]:
    """Return names and types of the columns, and the rows in any order; the class of the error where it is one."""
    connection.execute(f"SET search_path = {path}".encode())
    cursor = psycopg.RawCursor(connection)
    try:
        cursor.execute(sql.encode(), ())
    except psycopg.Error as error:
        return [(type(error).__name__, 0)], []
    columns = [(column.name, column.type_code) for column in cursor.description or ()]
    return columns, sorted(map(repr, cursor.fetchall()))


@pytest.mark.requirement("sql:postgres:honest-corpus")
def test_honest_statements_are_permitted_and_answered_as_written(corpora: Path, postgres: Server) -> None:
    setups = {row["db"]: row["sql"] for row in read_lines(corpora / "sql" / "legit_setup.jsonl")}
    rows = [row for row in read_lines(corpora / "sql" / "legit.jsonl") if row["db"] in setups]
    counts = {"others": [0, 0], "regress": [0, 0]}
    refused: list[str] = []
    for database, setup in setups.items():
        postgres.make_database("corpus", setup)
        with postgres.connect("corpus") as connection:
            catalogue = read_catalogue(connection)
            make_views(connection, catalogue)
            for row in rows:
                if row["db"] != database:
                    continue
                kind = "regress" if "regress" in row["source"] else "others"
                counts[kind][1] += 1
                try:
                    proven = proven_of(row, catalogue, has_views=False)
                except Refused as refusal:
                    refused.append(f"{row['id']} {refusal.rule}: {refusal.message}")
                    continue
                counts[kind][0] += 1
                assert {f"public.{name}" for name in row["tables"]} == set(proven.rights.relations)
                if "random" in proven.rights.functions:
                    continue
                written = answer(connection, "public", row["sql"])
                assert answer(connection, "pg_catalog", proven.sql_to_run) == written, row["sql"]
                through_views = answer(connection, "pg_catalog", proven_of(row, catalogue, has_views=True).sql_to_run)
                assert through_views == written, row["sql"]

    assert counts["others"][1] > 300
    assert counts["others"][0] == counts["others"][1], refused
    assert counts["regress"][0] >= 0.96 * counts["regress"][1], refused
    permitted, asked = map(sum, zip(*counts.values(), strict=True))
    assert permitted >= 0.98 * asked, refused
