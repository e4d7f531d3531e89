"""Does anything permitted depend on a column for aggregates alone where there are too few values of it to aggregate?

Two databases differ in nothing but those values, four in each. What the gate permits answers the same on both, errors
too, whatever an engine evaluates first. No sum is beyond 64 bits, which is an error on SQLite, of however many values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import apsw
import psycopg
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from postgres_server import Server
from test_aggregate_only import ask

from sandbox.reasons import Refused
from sandbox.toolspec import SqlEngine

COLUMNS = "id INTEGER PRIMARY KEY, customer_id INTEGER, region TEXT, cents BIGINT, placed_on TEXT"
ROWS = "(1, 1, 'EU', {}, '2026-01-01'), (2, 1, 'EU', {}, '2026-02-01'), (3, 2, 'US', {}, ''), (4, 2, 'US', {}, NULL)"
VALUES = ((100, 200, 300, 41_700), (-5, 0, 300, 9_000_000_000_000))

columns = st.sampled_from(["cents"] * 6 + ["id"] * 5 + ["customer_id", "region", '"cents"', "o.cents", "x.cents", "s"])
calls = st.sampled_from(["sum", "avg", "count", "sum", "max", "min", "abs", "coalesce", "length"])


@st.composite
def terms(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0:
        return draw(columns | st.sampled_from(["1", "5", "'EU'", "count(*)", "0"]))
    inner = terms(depth - 1)
    shape = draw(
        st.sampled_from(
            [
                *("{a}", "{f}({a})", "{f}({a})", "{a} / ({b} - 100)", "CASE WHEN {a} > {b} THEN 1 / 0 ELSE 2 END"),
                *("{f}({a}) FILTER (WHERE {b} > 1)", "sum({a}) OVER (PARTITION BY {b})", "sum(DISTINCT {a})"),
                *("abs({a} * -9223372036854775807 - 1)", "CAST({a} AS smallint)", "{a} * 1e131067"),
                *("({a})", "(SELECT {f}({a}) FROM orders HAVING count(cents) >= 5)", "CAST({a} AS INTEGER)"),
            ]
        )
    )
    return shape.format(a=draw(inner), b=draw(inner), f=draw(calls))


conditions = st.one_of(
    st.just("count(cents) >= 5"),
    st.just("count(cents) > 4"),
    st.just("count(o.cents) >= 5"),
    terms().map("{} > 1".format),
    terms().map("1 / {} > 1".format),
    st.just("count(*) > 1"),
    st.just("EXISTS (SELECT 1)"),
    terms().map("({}) IS NOT NULL".format),
)


@st.composite
def queries(draw: st.DrawFn, depth: int = 1) -> str:
    items = ", ".join(draw(st.lists(terms().map("{} AS s".format) | terms(), min_size=1, max_size=2)))
    tables = [
        *["orders"] * 6,
        "orders o",
        "orders AS x",
        "orders o JOIN orders x ON o.id < x.id",
        "orders o, (VALUES (1)) v",
    ]
    source = draw(st.sampled_from(tables))
    if depth and draw(st.booleans()):
        source = f"({draw(queries(0))}{draw(st.sampled_from(['', ' LIMIT 9']))}) x"
    text = f"SELECT {items} FROM {source}"  # noqa: S608 - food for the gate
    if draw(st.integers(0, 3)) == 0:
        text += f" WHERE {draw(conditions)}"
    text += draw(st.sampled_from(["", " GROUP BY region", " GROUP BY id", " GROUP BY customer_id, region"]))
    if draw(st.integers(0, 4)):
        parts = ["count(cents) >= 5"] if draw(st.integers(0, 2)) else []
        parts += draw(st.lists(conditions, max_size=2))
        text += f" HAVING {draw(st.sampled_from([' AND ', ' AND ', ' OR '])).join(parts)}" if parts else ""
    return text + draw(st.sampled_from(["", " ORDER BY 1", " LIMIT 3", " ORDER BY s"]))


Answering = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def on_sqlite() -> Answering:
    """Answer a text from both databases, on SQLite."""
    both = [apsw.Connection(":memory:") for _ in VALUES]
    for connection, values in zip(both, VALUES, strict=True):
        connection.execute(f"CREATE TABLE orders ({COLUMNS}); INSERT INTO orders VALUES {ROWS.format(*values)}")  # noqa: S608

    def answers(sql: str) -> list[str]:
        return [_answer(lambda each=each: list(islice(each.execute(sql), 50))) for each in both]

    return answers


@pytest.fixture(scope="module")
def on_postgres(postgres: Server) -> Iterator[Answering]:
    """Answer a text from both databases, on PostgreSQL."""
    both = []
    for number, values in enumerate(VALUES):
        script = f"CREATE TABLE orders ({COLUMNS}); INSERT INTO orders VALUES {ROWS.format(*values)}"  # noqa: S608
        postgres.make_database(f"too_few_{number}", script)
        both.append(postgres.connect(f"too_few_{number}"))

    def answers(sql: str) -> list[str]:
        return [_answer(lambda each=each: each.execute(sql.encode()).fetchall()) for each in both]

    yield answers
    for connection in both:
        connection.close()


def _answer(run: Callable[[], object]) -> str:
    try:
        return repr(run())
    except (apsw.Error, psycopg.Error) as error:
        return type(error).__name__


def must_not_depend(sql: str, engine: SqlEngine, answers: Answering) -> None:
    try:
        ask(engine, sql, "cents")
    except Refused as refusal:
        event(refusal.rule)
        return
    event("permitted")
    first, second = answers(sql)
    assert first == second, sql


@pytest.mark.requirement("sql:aggregate-only:too-few")
@settings(max_examples=250)
@example("SELECT region, sum(cents) AS s FROM orders GROUP BY region HAVING count(cents) >= 5 ORDER BY s")
@given(queries())
def test_nothing_permitted_depends_on_too_few_values_on_sqlite(on_sqlite: Answering, sql: str) -> None:
    must_not_depend(sql, "sqlite", on_sqlite)


@pytest.mark.requirement("sql:aggregate-only:too-few")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("SELECT s FROM (SELECT region, sum(cents) AS s FROM orders GROUP BY region HAVING count(cents) >= 5 LIMIT 9) x"
         " WHERE 1 / (s - 41700) > 0")  # fmt: skip
@given(queries())
def test_nothing_permitted_depends_on_too_few_values_on_postgresql(on_postgres: Answering, sql: str) -> None:
    must_not_depend(sql, "postgres", on_postgres)


@pytest.mark.requirement("sql:aggregate-only:too-few")
def test_what_is_refused_does_depend_on_them(on_sqlite: Answering, on_postgres: Answering) -> None:
    for answers in (on_sqlite, on_postgres):
        for sql in ("SELECT sum(cents) FROM orders", "SELECT id FROM orders ORDER BY cents % 7, id"):
            first, second = answers(sql)
            assert first != second
