"""What does the gate say to a construct it does not take: is it named, and what is accepted in its place?"""

from __future__ import annotations

import duckdb
import duckdb_shop
import mysql_shop
import postgres_shop
import pytest
import sql_shop

from sandbox.reasons import Refused

ASK = {"sqlite": sql_shop.ask, "duckdb": duckdb_shop.ask, "postgres": postgres_shop.ask, "mysql": mysql_shop.ask}
SAMPLE = "`ORDER BY random() LIMIT …` is accepted"
LIST = "`(SELECT list(x + 1) FROM unnest(a_list) AS u(x))` is"
PIVOT = "`SELECT …, sum(…) FILTER (WHERE …) … GROUP BY …`, with an output for each value, is accepted"
UNPIVOT = "`SELECT 'a' AS name, a AS value … UNION ALL SELECT 'b', b …` is accepted"
SUMMARY = "`SELECT count(c), min(c), max(c) FROM …` is, and "
COLUMNS = "`orders` has `cents`, `customer_id`, `doc`, `id`, `placed_on`, `region`, `tags`"


def told(engine: str, sql: str) -> Refused:
    with pytest.raises(Refused) as caught:
        ASK[engine](sql)
    return caught.value


@pytest.mark.requirement("sql:refusals:constructs")
@pytest.mark.parametrize(
    ("sql", "start", "form"),
    [
        ("SELECT list_transform(tags, lambda x: x + 1) FROM orders", "`lambda …:`", LIST),
        ("SELECT list_transform(tags, LAMBDA (x, y) : x) FROM orders", "`lambda …:`", LIST),
        ("SELECT list_transform(tags, lambda x:x + 1) FROM orders", "`LAMBDA`", LIST),
        (
            "SELECT list_sort(tags, x -> x) FROM orders",
            "the column `x`",
            f"a lambda (`x -> …`) is not accepted, {LIST}",
        ),
        ("SELECT list_sort(tags, (x, y) -> x) FROM orders", "the column `x`", f"(`x -> …`) is not accepted, {LIST}"),
        ("SELECT struct_pack(a := 1)", "`name := value`", "`json_object('name', value)`"),
        ("SELECT {'a': 1}", "`{…}`", "`json_object('name', value)` is"),
        ("SELECT tags[1:2] FROM orders", "`[…:…]`", "`list_slice(a_list, 1, 2)` is"),
        ("SELECT [x FOR x IN tags] FROM orders", "a list made by `[…", "`(SELECT array_agg(x + 1) FROM unnest(a_list)"),
        ("SELECT [x || 'a' FOR x IN tags IF x > 'b'] FROM orders", "a list made by `[…", "`(SELECT array_agg(x + 1)"),
        ("SELECT id FROM orders TABLESAMPLE 10%", "`TABLESAMPLE`", SAMPLE),
        ("SELECT id FROM orders TABLESAMPLE (10 PERCENT)", "`TABLESAMPLE`", SAMPLE),
        ("SELECT count(*) FROM orders TABLESAMPLE (10)", "`TABLESAMPLE`", SAMPLE),
        ("SELECT id FROM orders USING SAMPLE 10", "`SAMPLE`", SAMPLE),
        ("SELECT id FROM orders USING SAMPLE reservoir(50 ROWS)", "`SAMPLE`", SAMPLE),
        ("PIVOT orders ON region USING sum(cents)", "`PIVOT`", PIVOT),
        ("FROM orders PIVOT (sum(cents) FOR region IN ('EU'))", "`PIVOT`", PIVOT),
        ("WITH p AS (PIVOT orders ON region USING sum(id)) SELECT * FROM p", "`PIVOT`", PIVOT),
        ("UNPIVOT orders ON id, cents INTO NAME a VALUE b", "`UNPIVOT`", UNPIVOT),
        ("SELECT * FROM orders UNPIVOT (v FOR n IN (id, cents))", "`UNPIVOT`", UNPIVOT),
        ("SELECT a.id FROM orders a POSITIONAL JOIN orders b", "`POSITIONAL`", "a join with `ON` is accepted"),
        ("SELECT * REPLACE (1 AS id) FROM orders", "`REPLACE`", "columns by their names are accepted"),
        ("DESCRIBE orders", "`DESCRIBE`", COLUMNS),
        ("DESCRIBE SELECT id FROM orders", "`DESCRIBE`", COLUMNS),
        ("SELECT * FROM (DESCRIBE orders)", "`DESCRIBE`", COLUMNS),
        ("SHOW TABLES", "`SHOW`", "it may read `customers`, `orders`"),
        ("SELECT * FROM (SHOW TABLES)", "`SHOW`", "it may read `customers`, `orders`"),
        ("SUMMARIZE orders", "`SUMMARIZE`", SUMMARY + COLUMNS),
        ("SELECT * FROM (SUMMARIZE orders)", "`SUMMARIZE`", "`SELECT count(c), min(c), max(c) FROM …` is"),
    ],
)
def test_a_construct_of_duckdb_is_named_with_what_is_accepted(sql: str, start: str, form: str) -> None:
    message = told("duckdb", sql).message

    assert message.startswith(start)
    assert form in message
    assert "not part of" not in message


@pytest.mark.requirement("sql:refusals:constructs")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, sum(cents) FILTER (WHERE region = 'EU') AS eu FROM orders GROUP BY id",
        "SELECT 'id' AS name, id AS value FROM orders UNION ALL SELECT 'cents', cents FROM orders",
        "SELECT id FROM orders ORDER BY random() LIMIT 5",
        "SELECT (SELECT array_agg(x + 1) FROM unnest(tags) AS u(x)) FROM orders",
        "SELECT json_object('name', id), list_slice(tags, 1, 2) FROM orders",
        "SELECT count(id), min(id), max(id) FROM orders",
    ],
)
def test_the_forms_that_are_told_are_accepted_and_duckdbs(sql: str) -> None:
    assert duckdb_shop.ask(sql).sql_to_run == sql
    made = duckdb.connect()
    made.execute("CREATE TABLE orders (id INTEGER, cents INTEGER, region TEXT, tags INTEGER[])")
    made.execute(sql)


@pytest.mark.requirement("sql:refusals:constructs")
@pytest.mark.parametrize(
    ("engine", "sql", "message"),
    [
        ("postgres", "SELECT id FROM orders TABLESAMPLE SYSTEM (10)", f"`TABLESAMPLE` is not accepted here; {SAMPLE}"),
        ("sqlite", "SELECT id FROM orders TABLESAMPLE SYSTEM (10)", f"`TABLESAMPLE` is not part of sqlite; {SAMPLE}"),
        ("sqlite", "SELECT id FROM orders WHERE region REGEXP 'a'", "`REGEXP` is not accepted here; `LIKE` and `GLOB`"),
        ("duckdb", "SELECT TOP 5 id FROM orders", "`TOP` is not part of duckdb; `LIMIT` is accepted"),
        (
            "postgres",
            "DESCRIBE sales.orders",
            "`DESCRIBE` is not accepted here; a single `SELECT` is, and `sales.orders`",
        ),
        (
            "sqlite",
            'PRAGMA table_info("order lines")',
            "`PRAGMA` is not accepted here; a single `SELECT` is, and `order l",
        ),
        ("mysql", "SHOW TABLES", "`SHOW` is not accepted here; a single `SELECT` is, and it may read `bonus`"),
        ("postgres", "SELECT round(a := 1)", "an argument is named by `name => value` here"),
    ],
)
def test_a_word_is_of_the_engine_or_of_another(engine: str, sql: str, message: str) -> None:
    assert told(engine, sql).message.startswith(message)


@pytest.mark.requirement("sql:refusals:constructs")
def test_a_function_of_the_same_name_as_a_construct_is_not_to_blame() -> None:
    refusal = told("duckdb", "SELECT replace(region, 'a', 'b') FROM orders JOIN customers ON ON")

    assert "REPLACE" not in refusal.message


@pytest.mark.requirement("sql:refusals:constructs")
def test_what_describes_a_hidden_table_is_told_of_the_allowed_ones_alone() -> None:
    hidden, absent = (told("duckdb", f"DESCRIBE {name}").message for name in ("vault", "nosuch"))

    assert hidden == absent
    assert "word" not in hidden


@pytest.mark.requirement("sql:refusals:constructs")
@pytest.mark.parametrize("engine", ASK)
@pytest.mark.parametrize("shape", ["SELECT FROM orders", "SELECT id FROM (SELECT FROM orders) x"])
def test_a_select_without_an_output_is_told_so(engine: str, shape: str) -> None:
    refusal = told(engine, shape)
    why = "without an output is not accepted here, though postgres has it" if engine == "postgres" else "is missing"

    assert why in refusal.message
    assert "`SELECT 1 FROM orders` is accepted" in refusal.message
    assert refusal.column == shape.rindex("SELECT") + 1


@pytest.mark.requirement("sql:refusals:act-on")
def test_a_column_of_another_source_is_not_suggested_to_itself() -> None:
    message = told("sqlite", "SELECT c.id FROM customers c JOIN orders o ON c.id = c.region").message

    assert "no table, alias or query that is read in this place has the column `region`" in message
    assert "did you mean" not in message


@pytest.mark.requirement("sql:refusals:places")
@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT id FROM orders WHERE cents > 5", "in the filter (`WHERE`)"),
        ("SELECT id FROM orders ORDER BY cents", "in the sort (`ORDER BY`)"),
        ("SELECT o.id FROM orders o JOIN customers c ON c.id = o.cents", "in a join's condition"),
        ("SELECT count(*) FROM orders GROUP BY cents", "in `GROUP BY`"),
        ("SELECT count(*) FROM orders HAVING max(cents) > 1", "in `HAVING`"),
        ("SELECT DISTINCT ON (cents) id FROM orders", "in `DISTINCT`"),
        ("SELECT sum(id) FILTER (WHERE cents > 3) FROM orders", "in `FILTER`"),
        ("SELECT rank() OVER (ORDER BY cents) FROM orders", "in a window"),
        ("SELECT rank() OVER (PARTITION BY cents) FROM orders", "in a window"),
        ("SELECT cents AS c FROM orders", "by itself among the outputs"),
        ("SELECT cents FROM orders", "by itself among the outputs"),
        ("SELECT upper(cents) FROM orders", "within `upper`"),
        ("SELECT cents + 1 FROM orders", "within an expression of the outputs"),
        ("SELECT id FROM customers WHERE id IN (SELECT cents FROM orders)", "by itself among the outputs"),
    ],
)
def test_a_column_for_aggregates_alone_is_told_where_it_stands(sql: str, place: str) -> None:
    with pytest.raises(Refused) as caught:
        duckdb_shop.ask(sql, is_guarded=True)

    assert caught.value.message == (
        f"the column `cents` is for aggregates alone: it cannot stand {place}; `sum(cents)`, `avg(cents)` and"
        " `count(cents)` as outputs are accepted, without DISTINCT, FILTER or OVER, with `HAVING count(cents) >= 5`"
    )


@pytest.mark.requirement("sql:refusals:places")
def test_a_star_that_holds_one_is_answered_with_the_columns() -> None:
    with pytest.raises(Refused) as caught:
        duckdb_shop.ask("SELECT * FROM orders", is_guarded=True)

    assert caught.value.message == (
        "`*` holds a column that is for aggregates alone; columns by name are accepted: `customer_id`, `doc`, `id`,"
        " `placed_on`, `region`, `tags`; for aggregates alone: `cents`"
    )
