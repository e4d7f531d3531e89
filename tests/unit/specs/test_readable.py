"""Is a model told what it needs to write its first statement, in few enough words?"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Final

import apsw
import duckdb
import pytest
from mariadb_server import Server as MariadbServer
from postgres_server import Server as PostgresServer

from sandbox.doors import tool_service
from sandbox.specs.readable import MAX_READABLE, readable
from sandbox.specs.specs import tool_input_schema_json
from sandbox.toolspec import SqlEngine, TableRule, ToolSpec

ORDERS = TableRule(
    table="orders",
    columns=("id", "region", "cents"),
    row_filter="region = claim('region')",
    masks={},
    aggregate_only=("cents",),
)

KEYWORDS: Final[dict[SqlEngine, str]] = {
    "duckdb": "SELECT keyword_name FROM duckdb_keywords()",
    "postgres": "SELECT word FROM pg_get_keywords()",
    "mysql": "SELECT word FROM information_schema.keywords",
}
"""How an engine lists the words of its grammar."""
SHADOWED: Final = "WITH {quoted} AS (SELECT 12345 AS {quoted}) SELECT {name} FROM {name}"
"""Answered with the number where `name` means what it means in quotes; CURRENT_USER answers something else."""


@pytest.mark.requirement("specs:schemas:readable")
def test_the_argument_that_takes_sql_tells_what_it_may_read(good: Callable[[str], ToolSpec]) -> None:
    spec = good("design")
    told = json.loads(tool_input_schema_json(spec))

    assert told["properties"]["sql"].pop("description") == (
        "One SELECT statement. SQLite; it may read customers(id, name), orders(id, customer_id, region, cents,"
        " placed_on); as `sum(c)`, `avg(c)` or `count(c)` alone, with `HAVING count(c) >= 5` (a group of fewer"
        " values is no row, and nothing says so): customers.city; masked in the answer: customers.name;"
        " rows that the caller may not see are left out of orders"
    )
    assert spec.input_schema["properties"]["sql"]["description"] == "One SELECT statement"  # type: ignore[index,call-overload]
    assert told["properties"]["sql"] == {"type": "string", "format": "sql", "minLength": 1}
    assert "claim" not in spec.may_read, "what a filter says is not told"


@pytest.mark.requirement("specs:schemas:readable")
def test_a_tool_whose_statement_is_its_authors_tells_nothing_of_tables(good: Callable[[str], ToolSpec]) -> None:
    spec = good("statement")

    assert spec.may_read == ""
    assert json.loads(tool_input_schema_json(spec)) == spec.input_schema


@pytest.mark.requirement("specs:schemas:readable")
def test_names_are_told_as_a_statement_writes_them() -> None:
    odd = TableRule(table="public.order lines", columns=("Unit Price", "quantity"), masks={"Unit Price": "null"})

    assert '"order lines"("Unit Price", quantity)' in readable("postgres", [odd], 5)
    assert "public." in readable("postgres", [odd], 5)
    assert "`public.order lines`(`Unit Price`, quantity)" in readable("mysql", [odd], 5)
    assert '"public.order lines"."Unit Price"' in readable("duckdb", [odd], 5)

    dotted = TableRule(table="order", columns=("unit.price",))
    assert readable("postgres", [dotted], 5).endswith('"order"("unit.price")'), "a column has no schema"


@pytest.mark.requirement("specs:schemas:readable")
def test_a_name_that_is_told_without_quotes_needs_none(postgres: PostgresServer, mariadb: MariadbServer) -> None:
    sqlite, duck = apsw.Connection(":memory:"), duckdb.connect()
    with postgres.connect() as connection, closing(mariadb.connect()) as maria, maria.cursor() as cursor:

        def ask_mariadb(sql: str) -> list[tuple[object, ...]]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        asks: dict[SqlEngine, Callable[[str], list[tuple[object, ...]]]] = {
            "sqlite": lambda sql: list(sqlite.execute(sql)),
            "duckdb": lambda sql: duck.execute(sql).fetchall(),
            "postgres": lambda sql: connection.execute(sql.encode()).fetchall(),
            "mysql": ask_mariadb,
        }
        listed = {str(word).lower() for word in apsw.keywords}
        for engine, sql in KEYWORDS.items():
            listed |= {str(word).lower() for (word,) in asks[engine](sql)}
        words = {word for word in listed if word.isidentifier()}
        assert len(words) > 900

        for engine, ask in asks.items():
            for word in words:
                rule = TableRule(table=word, columns=(word,))
                name = readable(engine, [rule], 5).removesuffix(")").rpartition("(")[2]
                if name == word:
                    probe = SHADOWED.format(quoted=f"`{word}`" if engine == "mysql" else f'"{word}"', name=name)
                    assert [tuple(row) for row in ask(probe)] == [(12345,)], (engine, word)


@pytest.mark.requirement("specs:schemas:readable")
@pytest.mark.parametrize(("tables", "columns"), [(1, 2_000), (500, 1), (300, 300)])
def test_long_lists_are_cut_and_say_so(tables: int, columns: int) -> None:
    names = tuple(f"a_long_name_of_a_column_{number}" for number in range(columns))
    rules = [
        replace(
            ORDERS, table=f"table_{number}", columns=names, aggregate_only=names, masks=dict.fromkeys(names, "null")
        )
        for number in range(tables)
    ]
    shown = [replace(rule, aggregate_only=()) for rule in rules]

    for each in (rules, shown):
        told = readable("duckdb", each, 5)
        assert len(told) <= MAX_READABLE
        assert " more" in told


@pytest.mark.requirement("specs:schemas:readable")
@pytest.mark.parametrize("engine", ["sqlite", "duckdb", "postgres", "mysql"])
def test_the_first_table_is_told_however_long_the_other_lists_are(engine: SqlEngine) -> None:
    guarded, plain = (tuple(f"{kind}_{'x' * 54}_{number:02}" for number in range(40)) for kind in ("gone", "have"))
    masks = dict.fromkeys(plain, "null")
    rules = [
        replace(ORDERS, table=f"{'t' * 60}_{n:02}", columns=guarded + plain, aggregate_only=guarded, masks=masks)
        for n in range(20)
    ]

    told = readable(engine, rules, 5)

    assert f"it may read {'t' * 60}_00({plain[0]}, {plain[1]}, " in told
    assert all(f"{start} {'t' * 60}_00" in told for start in ("nothing says so):", "answer:", "left out of"))
    assert len(told) <= MAX_READABLE


@pytest.mark.requirement("specs:schemas:readable")
def test_a_table_whose_columns_are_all_for_aggregates_has_no_empty_list() -> None:
    told = readable("sqlite", [TableRule(table="orders", columns=("cents",), aggregate_only=("cents",))], 5)

    assert told.startswith("SQLite; it may read orders; as `sum(c)`")


@pytest.mark.requirement("specs:schemas:readable")
def test_an_example_of_several_callers_is_told_once(good: Callable[[str], ToolSpec]) -> None:
    spec = good("design")
    first, refused = spec.examples
    further = replace(first, claims={"region": "US"})
    other = replace(first, call={"sql": "SELECT 1"})

    told = tool_service._examples(replace(spec, examples=(first, further, refused, other)))

    assert [json.loads(call) for call in told] == [first.call, {"sql": "SELECT 1"}]
