"""Is what the engine takes for an expression, or calls by another name, no bare column to the gate?

Each text was permitted once and gave every value, or one, of a column for aggregates alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from guarded_gate import ENGINES, ask

from sandbox.reasons import Reason, Refused
from sandbox.settings import SqlSettings
from sandbox.sql import Catalogue, ColumnShape, GateInput, TableShape, prove
from sandbox.toolspec import Digest, SqlEngine, TableRule

BY_ANOTHER_NAME: Final = (
    "SELECT id, (SELECT cents FROM (SELECT + x.cents FROM (SELECT 1 AS cents) x) s) FROM orders",
    "SELECT id, (SELECT cents FROM (SELECT +cents FROM (SELECT 1 AS cents) x) s) FROM orders",
    "WITH s AS (SELECT + x.cents FROM (SELECT 1 AS cents) x) SELECT id, (SELECT cents FROM s) FROM orders",
    "SELECT id AS cents FROM orders ORDER BY + cents",
    "SELECT sum(+ cents) FROM orders HAVING count(cents) >= 5",
)
OUT_OF_SIGHT: Final = (
    "SELECT (SELECT count(*) FROM (SELECT 1 FROM (SELECT 1 AS cents) x UNION ALL SELECT 1 LIMIT cents) q) FROM orders",
    "SELECT (SELECT 1 AS a FROM (SELECT 1 AS cents) x UNION SELECT 2 ORDER BY a * (cents - 30) LIMIT 1) FROM orders",
    (
        "SELECT id, (SELECT 1 AS a FROM (SELECT 1 AS cents) orders UNION SELECT 2 ORDER BY a * orders.cents LIMIT 1)"
        " FROM orders"
    ),
    "SELECT id, (SELECT cents FROM (SELECT 1 AS cents) x) FROM orders",
)
POSTGRES_BY_ANOTHER_NAME: Final = (
    "SELECT id, (SELECT cents FROM (SELECT @ x.cents FROM (SELECT 1 AS cents) x) s) FROM orders",
    "SELECT id, (SELECT cents FROM (SELECT (+ x.cents)::int FROM (SELECT 1 AS cents) x) s) FROM orders",
    (
        "SELECT id, (SELECT cents FROM (SELECT CASE WHEN true THEN 1 ELSE + x.cents END FROM (SELECT 1 AS cents) x) s)"
        " FROM orders"
    ),
    "SELECT id, (SELECT cents FROM unnest(ARRAY[1], ARRAY[2]) AS cents) FROM orders",
    "SELECT id, (SELECT cents FROM unnest('a:1'::tsvector) AS cents) FROM orders",
    "SELECT (SELECT 1 FROM sales.orders s LIMIT cents) FROM orders",
    "SELECT (SELECT id FROM sales.orders UNION SELECT '2' ORDER BY cents LIMIT 1) FROM orders",
    "SELECT id AS cents FROM orders ORDER BY @ cents USING >",
    "SELECT sum(@ cents), sum(cents) FROM orders HAVING count(cents) >= 5",
)


@pytest.mark.requirement("sql:aggregate-only:names")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sql", BY_ANOTHER_NAME)
def test_a_sign_before_a_column_is_no_bare_column(engine: SqlEngine, sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(engine, sql, "cents")

    assert refused.value.rule in {"sql/aggregate-only", "sql/guessed-names"}


@pytest.mark.requirement("sql:names:guessed")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sql", OUT_OF_SIGHT)
def test_what_a_clause_may_not_see_hides_no_column_further_out(engine: SqlEngine, sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(engine, sql, "cents")

    assert refused.value.rule == "sql/guessed-names"


@pytest.mark.requirement("sql:aggregate-only:names")
@pytest.mark.parametrize("sql", POSTGRES_BY_ANOTHER_NAME)
def test_a_name_that_the_server_may_not_give_hides_no_column_further_out(sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask("postgres", sql, "cents")

    assert refused.value.rule in {"sql/aggregate-only", "sql/guessed-names"}


@pytest.mark.requirement("sql:names:guessed")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, (SELECT secret FROM unnest(ARRAY[1]) AS secret) FROM orders",
        "SELECT id, (SELECT secret FROM (SELECT length('a')) AS x, unnest(ARRAY[1]) AS secret) FROM orders",
    ],
)
def test_a_guess_hides_no_hidden_column_further_out(sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask("postgres", sql)

    assert (refused.value.rule, refused.value.reason) == ("sql/guessed-names", Reason.SQL_NOT_SUPPORTED)


@pytest.mark.requirement("sql:names:guessed")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, (SELECT x.price FROM (SELECT 1 AS price) x) FROM orders",
        "SELECT (SELECT c FROM (SELECT avg(cents) AS c FROM orders HAVING count(cents) >= 5 LIMIT 1) x) FROM orders",
        "SELECT (SELECT s.cents FROM sales.orders s LIMIT 1), (SELECT cents FROM sales.orders LIMIT 1) FROM orders",
        "SELECT id, (SELECT count FROM (SELECT count(*) FROM orders) x) FROM orders",
        "SELECT cents FROM unnest(ARRAY[1]) AS cents",
        "SELECT + id, 1 + + id, - + id, id + 1, (id) + 1, count(*) + 1, NULL + 1 FROM orders GROUP BY id ORDER BY +id",
        "SELECT id FROM orders WHERE id BETWEEN + 1 AND + 3 AND id IN (+ 1, + 2) LIMIT 3",
    ],
)
def test_names_that_are_said_and_signs_elsewhere_are_accepted(sql: str) -> None:
    ask("postgres", sql, "cents")


REPEATING: Final = (
    ("postgres", "SELECT id, avg(cents) FROM orders GROUP BY id, unnest(ARRAY[1,1,1,1,1]) HAVING count(cents) >= 5"),
    ("postgres", "SELECT unnest(ARRAY[1,1,1,1,1]) AS g, avg(cents) FROM orders GROUP BY g HAVING count(cents) >= 5"),
    ("postgres", "SELECT avg(cents) FROM orders GROUP BY generate_series(1, 5) * 0 HAVING count(cents) >= 5"),
    (
        "postgres",
        "SELECT avg(cents) FROM orders GROUP BY ROLLUP (jsonb_array_elements('[1,1]')) HAVING count(cents) >= 5",
    ),
    ("duckdb", "SELECT avg(cents) FROM orders GROUP BY unnest([1,1,1,1,1]) HAVING count(cents) >= 5"),
    ("duckdb", "SELECT unnest([1,1,1,1,1]) AS g, avg(cents) FROM orders GROUP BY 1 HAVING count(cents) >= 5"),
)


@pytest.mark.requirement("sql:aggregate-only:repeated")
@pytest.mark.parametrize(("engine", "sql"), REPEATING)
def test_a_function_that_returns_rows_does_not_make_a_group_large(engine: SqlEngine, sql: str) -> None:
    with pytest.raises(Refused, match="could repeat a row of that SELECT") as refused:
        ask(engine, sql, "cents")

    assert refused.value.rule == "sql/aggregate-only"


@pytest.mark.requirement("sql:aggregate-only:repeated")
def test_such_a_function_around_is_accepted() -> None:
    sql = """
        SELECT region, mean, generate_series(1, 2)
        FROM (SELECT region, avg(cents) AS mean FROM orders GROUP BY region HAVING count(cents) >= 5 LIMIT 100) AS x
    """
    ask("postgres", sql, "cents")


@pytest.mark.requirement("sql:aggregate-only:names")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM orders NATURAL JOIN (SELECT (x.cents) FROM (SELECT 7 AS cents) x) q",
        "SELECT id FROM (SELECT (x.cents) FROM (SELECT 7 AS cents) x) q NATURAL JOIN orders",
        "WITH q AS (SELECT (x.cents) FROM (SELECT 7 AS cents) x) SELECT id FROM orders NATURAL JOIN q",
    ],
)
def test_a_natural_join_with_names_that_are_not_known_compares_nothing_guarded(engine: SqlEngine, sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(engine, sql, "cents")

    assert refused.value.rule in {"sql/aggregate-only", "sql/shared-columns"}


@pytest.mark.requirement("sql:aggregate-only:names")
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT (SELECT x FROM orders x LIMIT 1) FROM (SELECT 5 AS x) q",
        "SELECT 5 AS x, (SELECT x FROM orders x LIMIT 1)",
        "WITH x AS (SELECT 5 AS x) SELECT (SELECT x FROM orders x LIMIT 1) FROM x",
    ],
)
def test_the_row_of_a_nearer_source_counts_before_a_column_further_out(engine: SqlEngine, sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(engine, sql, "cents")

    assert refused.value.rule in {"sql/aggregate-only", "sql/whole-rows"}


@pytest.mark.requirement("sql:names:signs")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id + 1, 1 + id, (id) + 1, id + + 1, - + id, + - id, count(*) + 1 FROM orders GROUP BY id ORDER BY + id",
        "SELECT x.first + 1, x.next + 1 FROM (SELECT id AS first, cents AS next FROM orders) AS x",
        "SELECT CASE WHEN + id > + 1 THEN + 1 ELSE + 2 END + 3 FROM orders WHERE id BETWEEN + 1 AND + 9",
        "SELECT id FROM orders WHERE id IN (+ 1, + 2) AND ~ + id < + 0 LIMIT 3",
    ],
)
def test_signs_are_told_from_additions(engine: SqlEngine, sql: str) -> None:
    ask(engine, sql)


@pytest.mark.requirement("sql:names:signs")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_sign_that_the_tree_has_lost_is_refused(engine: SqlEngine) -> None:
    with pytest.raises(Refused) as refused:
        ask(engine, "SELECT id, sum(id) OVER (ORDER BY id ROWS + 1 PRECEDING) FROM orders")

    assert refused.value.rule == "sql/same-tokens"


@pytest.mark.requirement("sql:names:guessed")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT (SELECT count FROM (SELECT count(*) FROM odd) x) FROM odd",
        "SELECT (SELECT column1 FROM (VALUES (1)) v) FROM odd",
        "SELECT (SELECT unnest FROM unnest(ARRAY[1]) LIMIT 1) FROM odd",
    ],
)
def test_what_is_not_named_hides_no_hidden_column_of_that_name(sql: str) -> None:
    columns = tuple(ColumnShape(name, "text") for name in ("id", "count", "column1", "unnest"))
    odd = TableShape("public.odd", columns, "table", has_rowid=False)
    given = GateInput(
        dialect="postgres",
        text=sql,
        catalogue=Catalogue({odd.name: odd}, Digest("0" * 64)),
        tables={odd.name: TableRule(table=odd.name, columns=("id",))},
        parameters=frozenset(),
        may_claim=False,
        bounds=SqlSettings(),
        stands_for={},
    )
    with pytest.raises(Refused) as refused:
        prove(given)
    assert refused.value.rule == "sql/guessed-names"
    shown = {odd.name: TableRule(table=odd.name, columns=("id", "count", "column1", "unnest"))}
    prove(replace(given, tables=shown))


@pytest.mark.requirement("sql:aggregate-only:names")
@pytest.mark.parametrize(
    ("engine", "sql", "rule"),
    [
        (
            "duckdb",
            "SELECT 5 AS cents_1, cents_1 AS v FROM ((SELECT 1 AS cents) a CROSS JOIN orders b) AS j",
            "sql/constructs",
        ),
        (
            "sqlite",
            'SELECT (SELECT j."x:1" FROM ((SELECT 1 AS cents) a CROSS JOIN orders b) AS j) FROM (SELECT 5 AS "x:1") j',
            "sql/constructs",
        ),
        (
            "sqlite",
            "SELECT (SELECT b.cents FROM (customers a CROSS JOIN orders b) AS j LIMIT 1) FROM (SELECT 5 AS cents) b",
            "sql/constructs",
        ),
        (
            "duckdb",
            "SELECT (SELECT main.orders FROM orders LIMIT 1) FROM (SELECT 5 AS orders) main",
            "sql/qualified-names",
        ),
        ("duckdb", "SELECT list(temp.orders) FROM orders", "sql/qualified-names"),
        ("postgres", "SELECT s.id, p.* AS cents FROM orders s, (SELECT 1 AS a) p ORDER BY cents", "sql/constructs"),
        ("postgres", "SELECT s.id, (p.*) AS cents FROM orders s, (SELECT 1 AS a) p ORDER BY cents", "sql/constructs"),
        ("duckdb", "SELECT id FROM orders NATURAL JOIN (SELECT unnest(x) AS b FROM (SELECT 7 AS cents) x) q", ""),
        ("duckdb", "SELECT id FROM orders NATURAL JOIN (SELECT x.cents AS q, 2 AS q FROM (SELECT 7 AS cents) x) q", ""),
    ],
)
def test_a_name_that_the_engine_passes_over_is_none(engine: SqlEngine, sql: str, rule: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(engine, sql, "cents")

    assert refused.value.rule in ({rule} if rule else {"sql/aggregate-only", "sql/shared-columns"})


@pytest.mark.requirement("sql:aggregate-only:names")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT (SELECT list(q.v) FROM orders, (SELECT cents AS v) q) FROM (SELECT 1 AS cents) o",
        "SELECT (SELECT list(q.v) FROM orders s, (SELECT s.cents AS v) q) FROM (SELECT 1 AS cents) s",
        "SELECT 5 AS cents, (SELECT list(q.v) FROM orders s, (SELECT cents AS v) q)",
        "SELECT 5 AS cents, (SELECT list(q.v) FROM orders s CROSS JOIN (VALUES (cents)) q(v))",
        "SELECT q.v FROM orders s LEFT JOIN (WITH z AS (SELECT cents AS v) SELECT v FROM z) q ON true",
    ],
)
def test_a_query_in_from_sees_what_stands_left_of_it_on_duckdb(sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask("duckdb", sql, "cents")

    assert refused.value.rule in {"sql/aggregate-only", "sql/guessed-names"}
    ask("duckdb", "SELECT s.id, q.v FROM orders s, (SELECT s.id + 1 AS v) q")


@pytest.mark.requirement("sql:aggregate-only:only-name")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT region, sum(cents) AS cents FROM orders GROUP BY region HAVING count(cents) >= 5",
        "SELECT id, (SELECT x.Cents FROM (SELECT 1 AS CENTS) x) FROM orders",
        "WITH cents AS (SELECT 1 AS x) SELECT x FROM cents, orders",
        "WITH x (cents) AS (SELECT 1) SELECT 1 FROM x, orders",
        "SELECT c.id FROM orders AS o, orders AS cents, (SELECT 1 AS id) AS c",
        "SELECT id FROM orders, (SELECT 1 AS ` cents`) AS c",
        "SELECT 1 FROM (orders a CROSS JOIN orders b) JOIN (SELECT 3 AS `cents:1`) q ON 1 = 1",
        "SELECT 1 FROM (orders a CROSS JOIN orders b) JOIN (SELECT 3 AS cents_2) q ON 1 = 1",
        "SELECT 1 AS a, sum(id) OVER cents FROM orders WINDOW cents AS (ORDER BY id)",
    ],
)
def test_nothing_else_is_called_like_a_column_for_aggregates_alone(engine: SqlEngine, sql: str) -> None:
    quote = "`" if engine == "mysql" else '"'
    with pytest.raises(Refused) as refused:
        ask(engine, sql.replace("`", quote), "cents")

    assert refused.value.rule == "sql/guarded-names"
    assert "another name is accepted" in refused.value.message
    ask(engine, "SELECT region, sum(cents) AS total FROM orders GROUP BY region HAVING count(cents) >= 5", "cents")


@pytest.mark.requirement("sql:aggregate-only:only-name")
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
@pytest.mark.parametrize(
    "sql", ["SELECT x.o FROM orders o, (SELECT 1 AS o) x", "SELECT x.orders FROM orders AS o, (SELECT 1 AS orders) x"]
)
def test_the_name_of_its_table_is_no_column(engine: SqlEngine, sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(engine, sql, "cents")

    assert refused.value.rule == "sql/guarded-names"
    ask(engine, sql)


@pytest.mark.requirement("sql:aggregate-only:names")
@pytest.mark.parametrize("kind", ["SEMI", "ANTI"])
def test_the_condition_of_a_half_join_sees_what_stands_further_left_on_duckdb(kind: str) -> None:
    inner = f"SELECT list(o.id) FROM orders o, customers p {kind} JOIN customers c ON cents = 3"  # noqa: S608 - for the gate
    sql = f"SELECT ({inner}) FROM customers k"  # noqa: S608 - for the gate
    with pytest.raises(Refused) as refused:
        ask("duckdb", sql, "cents")

    assert refused.value.rule == "sql/aggregate-only"


@pytest.mark.requirement("sql:aggregate-only:only-name")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 5 AS pay FROM orders AS o (id, customer_id, region, pay)",
        "SELECT 5 AS cents FROM orders AS o (id, customer_id, region, pay)",
        'SELECT x."O" FROM orders AS "O", (SELECT 1 AS "O") AS x',
    ],
)
def test_names_that_a_statement_gives_them_are_theirs_alone_too(sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask("postgres", sql, "cents")

    assert refused.value.rule == "sql/guarded-names"
    ask("postgres", sql)


@pytest.mark.requirement("sql:names:recursive")
@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        (
            "WITH RECURSIVE a AS (SELECT * FROM sqlite_master), sqlite_master AS (SELECT 1 AS x) SELECT * FROM a",
            "sql/tables",
        ),
        (
            "WITH RECURSIVE a AS (SELECT list(z) AS l FROM orders z), orders AS (SELECT 1 AS x) SELECT l FROM a",
            "",
        ),
        (
            "WITH RECURSIVE x AS (SELECT 1 AS i UNION ALL SELECT i FROM x UNION ALL SELECT 3) SELECT * FROM x",
            "sql/constructs",
        ),
        ("WITH RECURSIVE orders AS (SELECT 1 AS i UNION SELECT * FROM orders UNION SELECT 3) SELECT * FROM orders", ""),
        (
            "WITH RECURSIVE x AS ((SELECT 1 AS i UNION SELECT i FROM x) UNION SELECT 3) SELECT * FROM x",
            "sql/constructs",
        ),
        ("WITH RECURSIVE x AS (SELECT 1 AS i INTERSECT SELECT i FROM x) SELECT * FROM x", "sql/constructs"),
        ("WITH RECURSIVE x AS (SELECT 1 AS i EXCEPT SELECT i FROM x) SELECT * FROM x", "sql/constructs"),
    ],
)
def test_a_with_name_on_duckdb_is_known_to_what_follows_it_alone(sql: str, rule: str) -> None:
    with pytest.raises(Refused) as refused:
        ask("duckdb", sql, "cents")

    assert not rule or refused.value.rule == rule
    ask(
        "duckdb",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9), m AS (SELECT i FROM n) FROM m",
    )


@pytest.mark.requirement("sql:names:parentheses")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT q.id FROM customers CROSS JOIN (orders q)",
        "SELECT q.id FROM customers, ((orders AS q))",
        "SELECT q.id FROM customers c JOIN (customers d CROSS JOIN (orders q))",
        "SELECT (SELECT q.id FROM customers CROSS JOIN (customers q) LIMIT 1) FROM orders q",
        "SELECT q.id FROM customers CROSS JOIN ((SELECT 1 AS id) AS q)",
    ],
)
def test_an_alias_in_parentheses_that_sqlite_forgets_is_refused(sql: str) -> None:
    with pytest.raises(Refused) as refused:
        ask("sqlite", sql)

    assert (refused.value.rule, refused.value.metadata["construct"]) == (
        "sql/constructs",
        "an alias of one table in parentheses",
    )
    ask("sqlite", "SELECT q.id FROM (orders q) CROSS JOIN (customers)")
    ask("sqlite", "SELECT q.id, c.id FROM customers CROSS JOIN (orders q CROSS JOIN customers c)")


@pytest.mark.requirement("sql:names:natural")
@pytest.mark.parametrize("engine", ["sqlite", "mysql"])
@pytest.mark.parametrize("beside", ["(SELECT 1 + 1) q", "(SELECT count(*) FROM customers) q"])
def test_natural_beside_names_that_are_not_known_could_compare_what_is_hidden(engine: SqlEngine, beside: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(engine, f"SELECT customers.id FROM customers NATURAL JOIN {beside}")  # noqa: S608 - for the gate

    assert refused.value.rule == "sql/shared-columns"
    ask(engine, f"SELECT customers.id FROM customers CROSS JOIN {beside}")  # noqa: S608 - for the gate
