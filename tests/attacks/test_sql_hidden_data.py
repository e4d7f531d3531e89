"""Does the gate stop what the bare engine would show, confirm or run? Each attack works where it is not asked."""

from __future__ import annotations

import apsw
import pytest
from sql_shop import CANARY, SETUP, ask, open_shop, shadow

from sandbox.reasons import Reason, Refused

SHOWS = {
    "a hidden column": ("SELECT secret FROM orders", "sql/columns"),
    "a hidden column as a string": ("SELECT orders.'secret' FROM orders", "sql/string-names"),
    "a hidden column that a parser takes for a typed literal": ("SELECT interval '1' FROM events", "sql/columns"),
    "a hidden column behind a star": ("SELECT secret FROM (SELECT * FROM orders)", "sql/columns"),
    "a hidden column under a list of names": (
        "WITH x(a, b, c, d, e, f, g) AS (SELECT * FROM orders) SELECT g FROM x",
        "sql/constructs",
    ),
    "a hidden column of the place where a CTE is read": (
        'WITH c AS (SELECT "secret" AS x) SELECT (SELECT x FROM c) FROM orders',
        "sql/columns",
    ),
    "a hidden column nearer than a visible one": (
        "SELECT (SELECT payload FROM events) FROM (SELECT 1 AS payload)",
        "sql/columns",
    ),
    "a table as a string": ("SELECT token FROM 'vault'", "sql/tables"),
    "a table in a union": ("SELECT name FROM customers UNION SELECT token FROM vault", "sql/tables"),
}

TELLS = {
    "through USING": (
        "SELECT count(*) FROM orders JOIN (SELECT '{}' AS secret) USING (secret)",
        "sql/shared-columns",
    ),
    "through NATURAL JOIN": (
        "SELECT count(*) FROM orders NATURAL JOIN (SELECT '{}' AS secret)",
        "sql/shared-columns",
    ),
    "through ORDER BY": ("SELECT id FROM orders ORDER BY secret = '{}' DESC, id", "sql/columns"),
    "through a window": ("SELECT first_value(id) OVER (ORDER BY secret <> '{}', id) FROM orders", "sql/columns"),
    "through a condition": ("SELECT count(*) FROM orders WHERE secret = '{}'", "sql/columns"),
    "through IN over a table": ("SELECT (1, '{}', 'EU') IN vault", "sql/in-table"),
}

CATALOGUE_READS = [
    ("SELECT sql FROM sqlite_schema", "sql/tables"),
    ("SELECT name FROM pragma_table_info('vault')", "sql/functions"),
    ("SELECT group_concat(name) FROM pragma_table_list", "sql/tables"),
    ("SELECT sqlite_source_id()", "sql/functions"),
]


def refused_by(sql: str) -> str:
    with pytest.raises(Refused) as caught:
        ask(sql)
    return caught.value.rule


@pytest.mark.requirement("sql:attacks:hidden-data")
@pytest.mark.parametrize("name", SHOWS)
def test_data_that_the_bare_engine_shows_is_refused(name: str) -> None:
    sql, rule = SHOWS[name]

    assert CANARY in repr(open_shop().execute(sql).fetchall())
    assert refused_by(sql) == rule


@pytest.mark.requirement("sql:attacks:hidden-data")
@pytest.mark.parametrize("name", TELLS)
def test_a_guess_that_the_bare_engine_confirms_is_refused(name: str) -> None:
    sql, rule = TELLS[name]
    owner = open_shop()
    secret = f"{CANARY}-v1" if "vault" in sql else f"{CANARY}-o2"

    assert owner.execute(sql.format(secret)).fetchall() != owner.execute(sql.format("wrong")).fetchall()
    assert refused_by(sql.format(secret)) == rule


@pytest.mark.requirement("sql:attacks:hidden-data")
@pytest.mark.parametrize(("sql", "rule"), CATALOGUE_READS)
def test_the_engine_s_own_tables_are_refused(sql: str, rule: str) -> None:
    assert open_shop().execute(sql).fetchall()
    assert refused_by(sql) == rule


@pytest.mark.requirement("sql:attacks:hidden-data")
@pytest.mark.parametrize("sql", ["SELECT secret FROM main.orders", "SELECT main.orders.secret FROM main.orders"])
def test_a_schema_passes_by_the_views_and_is_refused(sql: str) -> None:
    tool = open_shop()
    shadow(tool)
    with pytest.raises(apsw.SQLError):
        tool.execute("SELECT secret FROM orders")

    assert CANARY in repr(tool.execute(sql).fetchall())
    assert refused_by(sql) == "sql/qualified-names"


@pytest.mark.requirement("sql:attacks:hidden-data")
def test_a_row_s_number_tells_of_hidden_rows_and_is_refused() -> None:
    owner = open_shop()
    sql = "SELECT max(rowid) - count(*) FROM vault"

    assert owner.execute(sql).get == 0
    assert refused_by("SELECT max(rowid) FROM events") == "sql/row-ids"


@pytest.mark.requirement("sql:attacks:writes")
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "SELECT 1; DELETE FROM orders",
        "-- SELECT\nDELETE FROM orders",
        "PRAGMA user_version = 7",
        "DROP TABLE vault",
        "CREATE TEMP TABLE t AS SELECT * FROM vault",
        "REPLACE INTO customers (id) VALUES (1)",
        "VACUUM",
        "BEGIN IMMEDIATE",
    ],
)
def test_a_statement_that_the_bare_engine_runs_and_that_does_not_only_read_is_refused(sql: str) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute(SETUP)
    for _ in connection.execute(sql):
        pass

    with pytest.raises(Refused) as caught:
        ask(sql)
    assert caught.value.reason is Reason.SQL_NOT_READ_ONLY
