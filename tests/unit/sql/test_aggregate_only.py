"""Does a column for aggregates alone come out in no other way? Each attack tells one value where it may be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import apsw
import psycopg
import pytest
from guarded_gate import ENGINES, ask
from postgres_server import Server
from postgres_shop import CATALOGUE as POSTGRES_CATALOGUE
from postgres_shop import RULES as POSTGRES_RULES

from sandbox.reasons import Reason, Refused
from sandbox.settings import SqlSettings
from sandbox.sql import GateInput, prove
from sandbox.toolspec import SqlEngine

LEFT_OUT: Final = ("||", "FILTER")
"""What MariaDB lacks, so that another rule refuses it there."""


@pytest.mark.requirement("sql:aggregate-only:permitted")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT region, sum(cents) FROM orders GROUP BY region HAVING count(cents) >= 5",
        "SELECT avg(o.cents) AS mean FROM orders AS o WHERE region = 'EU' HAVING count(cents) > 4",
        "SELECT region, sum(cents) FROM orders GROUP BY region HAVING count(cents) >= 5 ORDER BY sum(cents) LIMIT 3",
        (
            "SELECT region, s FROM (SELECT region, sum(cents) AS s FROM orders GROUP BY region HAVING count(cents) >= 5"
            " LIMIT 1000000) x WHERE s > 100"
        ),
        (
            "WITH x AS (SELECT region, avg(cents) AS a FROM orders GROUP BY region HAVING count(cents) >= 5 LIMIT 9)"
            " SELECT o.id, x.a FROM x JOIN orders o ON o.region = x.region"
        ),
        "SELECT id FROM orders WHERE (SELECT avg(o.cents) FROM orders o HAVING count(o.cents) >= 5 LIMIT 1) > 100",
        "SELECT region, sum(cents) AS total FROM orders GROUP BY region HAVING count(cents) >= 5 ORDER BY total",
        "SELECT sum(cents), sum(customer_id) FROM orders HAVING count(customer_id) >= 5 AND count(cents) >= 5",
        "SELECT id, region FROM orders",
        "SELECT count(*) FROM orders",
    ],
)
def test_aggregates_of_enough_values_are_permitted(engine: SqlEngine, sql: str) -> None:
    ask(engine, sql, "cents", "customer_id")


EXPRESSIONS: Final = (
    "SELECT region, sum(cents) * 1.0 / count(cents) FROM orders GROUP BY region HAVING count(cents) >= 5",
    "SELECT CASE WHEN sum(cents) > 5 THEN 'much' END FROM orders HAVING count(cents) >= 5",
    "SELECT region FROM orders GROUP BY region HAVING count(cents) >= 5 ORDER BY sum(cents) + 1",
)


@pytest.mark.requirement("sql:aggregate-only:permitted")
@pytest.mark.parametrize("engine", ["sqlite", "postgres", "duckdb"])
@pytest.mark.parametrize("sql", EXPRESSIONS)
def test_expressions_of_aggregates_are_permitted_where_having_comes_first(engine: SqlEngine, sql: str) -> None:
    ask(engine, sql, "cents")


@pytest.mark.requirement("sql:aggregate-only:refused")
@pytest.mark.parametrize(
    "sql",
    [
        *EXPRESSIONS,
        "SELECT DISTINCT exp(if(sum(cents) > 7, 1000, 1)) FROM orders GROUP BY id HAVING count(cents) >= 5",
        "SELECT id, row_number() OVER (ORDER BY sum(cents)) FROM orders GROUP BY id HAVING count(cents) >= 5",
    ],
)
def test_on_mariadb_an_aggregate_is_an_output_by_itself(sql: str) -> None:
    with pytest.raises(Refused) as caught:
        ask("mysql", sql, "cents")
    assert (caught.value.rule, "outputs by themselves" in caught.value.message) == ("sql/aggregate-only", True)


ALONE, GROUP, ONCE, OWN, STAR, JOIN, APART = (
    "are accepted, without DISTINCT, FILTER or OVER",
    "that SELECT needs `HAVING count(cents) >= 5`, alone",
    "what is asked of the aggregate goes into a query around it",
    "it is aggregated in a SELECT from its table alone",
    "`*` holds a column that is for aggregates alone",
    "and cannot join rows",
    "end the inner SELECT with a `LIMIT` above the number of its groups, such as `LIMIT 1000000`",
)


@pytest.mark.requirement("sql:aggregate-only:refused")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT cents FROM orders", ALONE),
        ("SELECT id FROM orders ORDER BY cents", ALONE),
        ("SELECT id FROM orders WHERE cents > 5", ALONE),
        ("SELECT count(*) FROM orders GROUP BY cents", ALONE),
        ("SELECT DISTINCT id, cents FROM orders", ALONE),
        ("SELECT * FROM (orders o CROSS JOIN (SELECT 1 AS one) x) AS j", STAR),
        ("SELECT CASE WHEN cents > 5 THEN 1 END FROM orders", ALONE),
        ("SELECT 'it is ' || cents FROM orders", ALONE),
        ("SELECT id IN (SELECT cents FROM orders) FROM orders", ALONE),
        ("SELECT a.id FROM orders a JOIN orders b ON a.cents = b.id", ALONE),
        ("SELECT max(cents) FROM orders HAVING count(cents) >= 5", ALONE),
        ("SELECT sum(cents + 0) FROM orders HAVING count(cents) >= 5", ALONE),
        ("SELECT sum(CASE WHEN id = 7 THEN cents END) FROM orders HAVING count(cents) >= 5", ALONE),
        ("SELECT count(cents, id) FROM orders HAVING count(cents) >= 5", ALONE),
        ("SELECT sum(DISTINCT cents) FROM orders HAVING count(cents) >= 5", ALONE),
        ("SELECT sum(cents) FILTER (WHERE id = 7) FROM orders HAVING count(cents) >= 5", ALONE),
        ("SELECT sum(cents) OVER (PARTITION BY id) FROM orders", ALONE),
        ("WITH x AS (SELECT id, cents FROM orders) SELECT sum(cents) FROM x HAVING count(cents) >= 5", ALONE),
        ("SELECT count(cents) FROM orders UNION SELECT cents FROM orders", GROUP),
        ("SELECT sum(cents) FROM orders", GROUP),
        ("SELECT sum(cents) FROM orders GROUP BY id HAVING count(*) >= 5", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(cents) >= 4", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(cents) > 3", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(cents) <= 5", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(cents) >= 5e0", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(cents) >= '5'", GROUP),
        ("SELECT sum(cents) FROM orders HAVING NOT count(cents) >= 5", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(cents) >= 5 OR 1 = 1", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(id) >= 5", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(customer_id) >= 5", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(DISTINCT cents) >= 5", GROUP),
        ("SELECT sum(cents) FROM orders HAVING 1 / (count(*) - 1) > 0 AND count(cents) >= 5", GROUP),
        ("SELECT sum(cents) FROM orders HAVING count(cents) >= 5 AND sum(cents) > 5", ONCE),
        ("SELECT 1 FROM orders HAVING count(cents) >= 5 AND 1 / (sum(cents) - 1) > 0", ONCE),
        ("SELECT sum(cents) AS s FROM orders HAVING count(cents) >= 5 AND count(*) < 9", ONCE),
        ("SELECT sum(o.cents) FROM orders o, (VALUES (1), (2), (3), (4), (5)) v HAVING count(o.cents) >= 5", OWN),
        ("SELECT sum(o.cents) FROM orders o JOIN orders p ON p.id > 1 HAVING count(o.cents) >= 5", OWN),
        ("SELECT sum(p.cents) FROM orders o LEFT JOIN orders p ON p.id = 7 HAVING count(p.cents) >= 5", OWN),
        ("SELECT (SELECT sum(o.cents) FROM orders HAVING count(o.cents) >= 5) FROM orders o", OWN),
        (
            "SELECT (SELECT 1 FROM (SELECT 1 AS cents) a, ((SELECT 1) o JOIN (SELECT 2) p ON cents = 7)) FROM orders",
            ALONE,
        ),
        ("SELECT id FROM orders UNION SELECT 1 ORDER BY sum(cents)", OWN),
        ("SELECT s FROM (SELECT sum(cents) AS s FROM orders HAVING count(cents) >= 5) x", APART),
        ("WITH x AS (SELECT sum(cents) AS s FROM orders HAVING count(cents) >= 5) SELECT s FROM x", APART),
        (
            "SELECT sum(cents) FROM orders HAVING count(cents) >= 5 UNION SELECT 1",
            "a part of a UNION has it in a query",
        ),
        ("SELECT id FROM orders WHERE (SELECT sum(o.cents) FROM orders o HAVING count(o.cents) >= 5) > 1", APART),
        ("SELECT s FROM (SELECT sum(cents) AS s FROM orders HAVING count(cents) >= 5 LIMIT NULL) x", APART),
        ("SELECT s FROM (SELECT sum(cents) AS s FROM orders HAVING count(cents) >= 5 LIMIT (SELECT 5)) x", APART),
        ("SELECT (SELECT id FROM orders UNION SELECT 1 ORDER BY sum(cents)) FROM orders HAVING count(cents) >= 5", OWN),
        ("SELECT sum(cents) FROM orders HAVING count(cents) >= 2147483648", GROUP),
        ("SELECT * FROM orders", STAR),
        ("SELECT * FROM (orders JOIN orders AS b USING (id)) AS x", STAR),
        ("SELECT x.* FROM ((SELECT 1 AS cents, 2 AS customer_id) AS a CROSS JOIN orders) AS x", STAR),
        ("SELECT o.* FROM orders o", STAR),
        ("SELECT sum(cents) FROM (SELECT * FROM orders) x HAVING count(cents) >= 5", STAR),
        ("SELECT count(*) FROM orders NATURAL JOIN (SELECT 5 AS cents) z", "NATURAL could compare a column"),
        ("SELECT count(*) FROM orders JOIN (SELECT 5 AS cents) z USING (cents)", JOIN),
    ],
)
def test_every_other_use_is_refused_and_told_what_is_accepted(engine: SqlEngine, sql: str, why: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(engine, sql, "cents", "customer_id")

    if engine != "mysql" or not any(each in sql for each in LEFT_OUT):
        assert (caught.value.rule, caught.value.reason) == ("sql/aggregate-only", Reason.SQL_OBJECT_FORBIDDEN)
        assert why in caught.value.message
    ask(engine, "SELECT 1")


@pytest.mark.requirement("sql:aggregate-only:refused")
@pytest.mark.parametrize(
    ("engine", "use"),
    [
        ("postgres", "sum(cents) WITHIN GROUP (ORDER BY id)"),
        ("duckdb", "sum(cents) WITHIN GROUP (ORDER BY id)"),
    ],
)
def test_what_stands_around_an_aggregate_makes_another_of_it(engine: SqlEngine, use: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(engine, f"SELECT {use} FROM orders HAVING count(cents) >= 5", "cents")  # noqa: S608 - constants
    assert (caught.value.rule, ALONE in caught.value.message) == ("sql/aggregate-only", True)


@pytest.mark.requirement("sql:aggregate-only:attacks")
def test_a_string_that_is_a_column_where_it_is_read_is_refused() -> None:
    """SQLite reads a common table expression where it is used, and finds the column there."""
    sql = 'WITH c AS (SELECT "cents" AS x) SELECT (SELECT x FROM c) FROM orders'
    ask("sqlite", sql)
    with pytest.raises(Refused) as caught:
        ask("sqlite", sql, "cents")
    assert caught.value.rule == "sql/aggregate-only"


@pytest.mark.requirement("sql:refusals:act-on")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("zzz", "; for aggregates alone: `cents`"),
        ("cent", "did you mean `cents` (for aggregates alone)?"),
        ("regio", "did you mean `region`?"),
    ],
)
def test_an_unknown_column_is_told_which_ones_are_for_aggregates_alone(engine: SqlEngine, name: str, hint: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(engine, f"SELECT {name} FROM orders", "cents")  # noqa: S608 - constants

    assert (caught.value.rule, caught.value.message.endswith(hint)) == ("sql/columns", True)


@pytest.mark.requirement("sql:aggregate-only:refused")
@pytest.mark.parametrize("engine", ENGINES)
def test_the_least_group_is_the_deployment_s(engine: SqlEngine) -> None:
    sql = "SELECT sum(cents) FROM orders HAVING count(cents) >= 19"
    ask(engine, sql, "cents", least=19)
    with pytest.raises(Refused, match="count\\(cents\\) >= 20"):
        ask(engine, sql, "cents", least=20)


SALARY: Final = 41_700
"""Of the one whom the attacks ask about; everybody has another."""
PEOPLE: Final = f"""
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, region TEXT, cents BIGINT);
    INSERT INTO orders VALUES (1, 1, 'EU', 100), (2, 2, 'EU', 200), (3, 3, 'EU', 300), (4, 4, 'EU', 400),
                              (5, 5, 'EU', 500), (6, 6, 'EU', 600), (7, 7, 'EU', {SALARY});
"""  # noqa: S608 - a constant
TELLING: Final = {
    "a group of one": "SELECT sum(cents) FROM orders WHERE id = 7",
    "many rows of nothing": "SELECT sum(CASE WHEN id = 7 THEN cents END) FROM orders HAVING count(*) >= 5",
    "a filter": "SELECT sum(cents) FILTER (WHERE id = 7) FROM orders HAVING count(cents) >= 5",
    "one row five times": "SELECT avg(o.cents) FROM orders o, (VALUES (1), (2), (3), (4), (5)) v WHERE o.id = 7"
    " HAVING count(o.cents) >= 5",
    "the largest": "SELECT max(cents) FROM orders HAVING count(cents) >= 5",
    "a window": "SELECT max(s) FROM (SELECT sum(cents) OVER (PARTITION BY id) AS s FROM orders) x",
    "a guess": f"SELECT sum(id) * {SALARY} / 7 FROM orders WHERE cents = {SALARY}",  # noqa: S608 - constants
    "a guess by a join": f"SELECT sum(id) * {SALARY} / 7 FROM orders NATURAL JOIN (SELECT {SALARY} AS cents) z",  # noqa: S608
}  # fmt: skip


@pytest.mark.requirement("sql:aggregate-only:attacks")
@pytest.mark.parametrize("name", TELLING)
def test_what_tells_one_value_on_an_engine_is_refused(name: str, postgres: Server) -> None:
    sql = TELLING[name]
    sqlite = apsw.Connection(":memory:")
    sqlite.execute(PEOPLE)
    postgres.make_database("aggregate_only", PEOPLE)
    with postgres.connect("aggregate_only") as owner:
        answers = [sqlite.execute(sql).fetchone(), owner.execute(sql.encode()).fetchone()]

    assert [answer is not None and int(answer[0]) == SALARY for answer in answers] == [True, True]
    for engine in ENGINES[:2]:
        ask(engine, sql)  # where the column may be read
        with pytest.raises(Refused) as caught:
            ask(engine, sql, "cents")
        assert caught.value.rule == "sql/aggregate-only"


PUSHED: Final = (
    "SELECT 1 FROM (SELECT id, sum(cents) AS s FROM orders WHERE id = 7 GROUP BY id HAVING count(cents) >= 5"
    " AND EXISTS (SELECT 1)) x WHERE abs((s = {}) * -9223372036854775807 - 1) > 0"
)
"""SQLite evaluates what it pushed into HAVING first, for the other side holds a query."""
NAMED: Final = (
    "SELECT sum(cents) AS s FROM orders WHERE id = 7 HAVING count(cents) >= 5 AND EXISTS (SELECT 1)"
    " AND abs((s = {}) * -9223372036854775807 - 1) > 0"
)
"""SQLite knows an output's name in HAVING."""
COSTLY: Final = (
    "SELECT 1 FROM (SELECT id, sum(cents) AS s FROM orders WHERE id = 7 GROUP BY id"
    " HAVING count(cents) >= 9223372036854775808) x WHERE (s * {}) IS NOT NULL"
)
"""PostgreSQL evaluates what it pushed into HAVING first, for it costs less than comparing with a numeric."""


@pytest.mark.requirement("sql:aggregate-only:attacks")
def test_a_condition_around_that_an_engine_evaluates_first_is_refused(postgres: Server) -> None:
    sqlite = apsw.Connection(":memory:")
    sqlite.execute(PEOPLE)
    for sql in (PUSHED, NAMED):
        assert sqlite.execute(sql.format(SALARY + 1)).fetchall() == []
        with pytest.raises(apsw.SQLError, match="integer overflow"):
            sqlite.execute(sql.format(SALARY)).fetchall()
    postgres.make_database("aggregate_only_pushed", PEOPLE)
    with postgres.connect("aggregate_only_pushed") as owner:
        assert owner.execute(COSTLY.format("2.3e131067").encode()).fetchall() == []
        with pytest.raises(psycopg.errors.NumericValueOutOfRange):
            owner.execute(COSTLY.format("2.5e131067").encode())
    attacks: list[tuple[SqlEngine, str]] = [
        ("sqlite", PUSHED.format(SALARY)),
        ("postgres", COSTLY.format("2.5e131067")),
    ]
    for engine, sql in attacks:
        ask(engine, sql)
        with pytest.raises(Refused):
            ask(engine, sql, "cents")


@pytest.mark.requirement("sql:aggregate-only:attacks")
def test_an_error_in_having_that_tells_of_a_group_of_one_is_refused(postgres: Server) -> None:
    sql = "SELECT 1 FROM orders GROUP BY id HAVING CASE WHEN 1 / (sum(cents) - {}) < 2 THEN count(cents) >= 5 END"
    postgres.make_database("aggregate_only_errors", PEOPLE)
    with postgres.connect("aggregate_only_errors") as owner:
        assert owner.execute(sql.format(SALARY + 1).encode()).fetchall() == []
        with pytest.raises(psycopg.errors.DivisionByZero):
            owner.execute(sql.format(SALARY).encode())
    with pytest.raises(Refused, match="that SELECT needs"):
        ask("postgres", sql.format(SALARY), "cents")
    assert ask("postgres", sql.format(SALARY)) is None  # where the column may be read


@pytest.mark.requirement("sql:aggregate-only:attacks")
def test_an_on_that_means_a_row_further_out_is_refused(postgres: Server) -> None:
    sql = (
        "SELECT (SELECT count(*) FROM (SELECT 1 AS cents) a, orders b JOIN orders c ON a.cents = {}) FROM orders a"
        " WHERE id = 7"
    )
    postgres.make_database("aggregate_only_on", PEOPLE)
    with postgres.connect("aggregate_only_on") as owner:
        answers = [owner.execute(sql.format(guess).encode()).fetchone() for guess in (SALARY, SALARY + 1)]
    assert answers == [(49,), (0,)]
    for engine in ENGINES[1:]:
        with pytest.raises(Refused) as caught:
            ask(engine, sql.format(SALARY), "cents")
        assert caught.value.rule == "sql/aggregate-only"


@pytest.mark.requirement("sql:aggregate-only:attacks")
@pytest.mark.parametrize(("engine", "collation"), [("sqlite", "NOCASE"), ("postgres", '"C"'), ("mysql", "utf8mb4_bin")])
def test_an_outputs_name_with_a_collation_is_a_column_to_sort_by(engine: SqlEngine, collation: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(engine, f"SELECT id, customer_id AS cents FROM orders ORDER BY cents COLLATE {collation}", "cents")  # noqa: S608 - of this file
    assert caught.value.rule == "sql/aggregate-only"


@pytest.mark.requirement("sql:aggregate-only:refused")
@pytest.mark.parametrize("sql", ["SELECT row_to_json(s) FROM sales.orders s", "SELECT count(s.*) FROM sales.orders s"])
def test_a_whole_row_may_not_hold_one(sql: str) -> None:
    rules = POSTGRES_RULES["sales.orders"]
    given = GateInput(
        dialect="postgres",
        text=sql,
        catalogue=POSTGRES_CATALOGUE,
        tables={"sales.orders": rules},
        parameters=frozenset(),
        may_claim=False,
        bounds=SqlSettings(),
    )
    prove(given)
    with pytest.raises(Refused) as caught:
        prove(replace(given, tables={"sales.orders": replace(rules, aggregate_only=("cents",))}))
    assert caught.value.rule == "sql/aggregate-only"


ENOUGH: Final = "HAVING count(cents) >= 5 LIMIT 1000000"
WITH_ONE: Final = f"SELECT sum(cents) AS s FROM orders AS i WHERE i.id = o.id OR i.region = 'EU' {ENOUGH}"  # noqa: S608 - constants
BUT_ONE: Final = f"SELECT avg(cents) AS s FROM orders WHERE id <> one {ENOUGH}"  # noqa: S608 - constants
DEEP: Final = f"SELECT count(cents) AS s FROM orders AS i WHERE i.id IN (SELECT o.id) {ENOUGH}"  # noqa: S608 - constants


@pytest.mark.requirement("sql:aggregate-only:correlated")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT o.id, ({WITH_ONE}) AS s FROM orders AS o",  # noqa: S608 - constants
        f"SELECT o.id FROM orders AS o WHERE ({WITH_ONE}) > 3",  # noqa: S608 - constants
        f"WITH k AS (SELECT id AS one FROM orders) SELECT one, ({BUT_ONE}) AS s FROM k",  # noqa: S608 - constants
        f"SELECT o.id, ({DEEP}) AS s FROM orders AS o",  # noqa: S608 - constants
    ],
)
def test_a_group_for_each_row_of_a_query_around_is_refused(engine: SqlEngine, sql: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(engine, sql, "cents")

    assert caught.value.rule == "sql/aggregate-only"
    assert "names something of a query around it" in caught.value.message
    within = "SELECT sum(cents) AS s FROM orders AS i WHERE EXISTS (SELECT 1 FROM orders AS c WHERE c.id = i.id)"
    ask(engine, f"SELECT o.id, ({within} {ENOUGH}) AS s FROM orders AS o", "cents")  # noqa: S608 - constants
