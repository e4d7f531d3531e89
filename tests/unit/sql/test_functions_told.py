"""What does the gate say to a function it does not take: a near name for a slip alone, else why, and what to write?"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import apsw
import duckdb
import duckdb_shop
import mysql_shop
import postgres_shop
import pytest
import sql_shop
from postgres_server import Server

from sandbox.problems import did_you_mistype
from sandbox.reasons import Refused
from sandbox.sql.dialects import DIALECTS

ASK = {"sqlite": sql_shop.ask, "duckdb": duckdb_shop.ask, "postgres": postgres_shop.ask, "mysql": mysql_shop.ask}

SHELL: Final = {"edit", "readfile", "writefile"}
"""Functions of SQLite that its shell brings."""
OWN_PREFIXES: Final = {
    "sqlite": {"sqlite_*", "fts5*", "rtree*", "geopoly_*"},
    "duckdb": {"duckdb_*", "pragma_*", "pg_*", "has_*_privilege"},
    "postgres": {
        *("pg_*", "pg_ls_*", "pg_advisory_*", "pg_try_advisory_*", "has_*_privilege", "lo_*", "txid_*", "dblink*"),
        *("query_to_xml*", "table_to_xml*", "schema_to_xml*", "database_to_xml*", "cursor_to_xml*"),
        *("xml*", "xpath*", "xslt*"),
    },
    "mysql": {"wsrep_*"},
}
"""Patterns that match nothing that a model would make up for an honest function."""


def told(engine: str, sql: str) -> str:
    with pytest.raises(Refused) as caught:
        ASK[engine](sql)
    return caught.value.message


@pytest.mark.requirement("sql:refusals:functions")
@pytest.mark.parametrize("engine", ASK)
def test_claim_is_told_whose_it_is(engine: str) -> None:
    message = told(engine, "SELECT claim('region')")

    assert "row filters" in message
    assert "did you mean" not in message


@pytest.mark.requirement("sql:refusals:functions")
@pytest.mark.parametrize(
    ("call", "why"),
    [
        (
            "list_transform(tags, x -> x || 'a')",
            "it takes a lambda; `(SELECT list(x + 1) FROM unnest(a_list) AS u(x))`",
        ),
        ("list_filter(tags, x -> x = 'a')", "it takes a lambda; `(SELECT list(x) FROM unnest(a_list) AS u(x) WHERE"),
        ("list_reduce(tags, 1)", "it takes a lambda; `(SELECT sum(x) FROM unnest(a_list) AS u(x))`"),
        ("COLUMNS(*)", "it names columns by a pattern; columns by their names are accepted"),
        ("sum(COLUMNS('c.*'))", "it names columns by a pattern"),
        ("list_aggregate(tags, 'sum')", "`list_sum(…)`"),
        ("read_csv('x')", "it reaches outside the tool's tables"),
        ("current_setting('x')", "it is of the server or the session"),
        ("sleep_ms(1)", "statements here only read"),
        ("query_table('orders')", "it runs a text as SQL or finds a table by a text"),
    ],
)
def test_a_function_of_duckdb_is_told_why(call: str, why: str) -> None:
    message = told("duckdb", f"SELECT {call} FROM orders")  # noqa: S608 - food for the gate

    assert why in message
    assert "did you mean" not in message


@pytest.mark.requirement("sql:refusals:functions")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, (SELECT list(x + 1) FROM unnest(tags) AS u(x)) FROM orders",
        "SELECT id, (SELECT list(x) FROM unnest(tags) AS u(x) WHERE x > 1) FROM orders",
        "SELECT id, (SELECT sum(x) FROM unnest(tags) AS u(x)) FROM orders",
        "SELECT list_sum(tags), list_slice(tags, 1, 2), row(id, 1), json_object('name', id) FROM orders",
    ],
)
def test_what_is_said_to_be_accepted_in_place_of_one_is(sql: str) -> None:
    assert duckdb_shop.ask(sql).sql_to_run == sql
    made = duckdb.connect()
    made.execute("CREATE TABLE orders (id INTEGER, tags INTEGER[])")
    made.execute(sql)


@pytest.mark.requirement("sql:refusals:functions")
@pytest.mark.parametrize("engine", ASK)
@pytest.mark.parametrize("name", ["nosuch", "versions", "columned", "cl"])
def test_what_is_no_slip_gets_no_near_name(engine: str, name: str) -> None:
    message = told(engine, f"SELECT {name}(1)")

    assert "did you mean" not in message
    assert "are accepted" in message


@pytest.mark.requirement("sql:refusals:functions")
@pytest.mark.parametrize("engine", ASK)
@pytest.mark.parametrize(
    "name",
    [
        *("add_weeks", "add_days", "remove_accents", "create_date", "truncate_date", "verify_email", "enable_x"),
        *("has_value", "current_week", "show_name", "read_status", "query_of", "parquet_floor", "inet_of"),
        *("column_name", "column_", "table_to_json", "query_to_json", "to_regions", "inet_client_of"),
    ],
)
def test_a_name_that_is_made_up_is_told_no_reason(engine: str, name: str) -> None:
    message = told(engine, f"SELECT {name}(1)")

    assert message.startswith(f"the function `{name}` is not on this gate's list for ")


@pytest.mark.requirement("sql:refusals:functions")
@pytest.mark.parametrize("engine", ASK)
def test_no_name_is_told_the_sentence_of_a_pattern_before_it(engine: str) -> None:
    sentences = DIALECTS[engine].refused_functions

    for name, sentence in sentences.items():
        first = next(pattern for pattern in sentences if fnmatchcase(name, pattern))
        assert sentences[first] == sentence, (name, first)


@pytest.mark.requirement("sql:refusals:functions")
@pytest.mark.parametrize("engine", ASK)
def test_a_pattern_stands_for_a_prefix_that_the_engine_keeps_to_itself(engine: str) -> None:
    patterns = {name for name in DIALECTS[engine].refused_functions if "*" in name}

    assert patterns == OWN_PREFIXES[engine]


@pytest.mark.requirement("sql:refusals:functions")
@pytest.mark.parametrize(
    ("found", "hint"),
    [
        ("lenght", "length"),
        ("lengh", "length"),
        ("sume", "sum"),
        ("sun", "sum"),
        ("coalsece", "coalesce"),
        ("colesce", "coalesce"),
        ("claim", ""),
        ("sn", ""),
        ("columns", ""),
        ("list_filter", ""),
    ],
)
def test_a_slip_is_a_letter_or_two(found: str, hint: str) -> None:
    accepted = ["length", "sum", "coalesce", "ltrim", "count", "list_first"]

    assert did_you_mistype(found, accepted) == (f"; did you mean `{hint}`?" if hint else "")


def _spelled(engine: str) -> set[str]:
    """Return the functions that the gate names in full as such that the engine has."""
    return {name for name in DIALECTS[engine].refused_functions if "*" not in name}


def _misled(engine: str, had: set[str]) -> list[str]:
    """Return the functions an engine has that are answered with the name of another."""
    misled = []
    for name in sorted(had - DIALECTS[engine].functions.keys()):
        for call in (f"SELECT {name}(1)", f'SELECT "{name}"(1)'):
            try:
                ASK[engine](call)
            except Refused as refused:
                misled += [name] if "did you mean" in refused.message else []
    return misled


@pytest.mark.requirement("sql:refusals:functions")
def test_a_name_in_quotes_is_told_of_the_quotes() -> None:
    assert told("duckdb", 'SELECT "sum"(1)') == "the function `sum` is accepted without quotes around its name"


@pytest.mark.requirement("sql:refusals:functions")
def test_no_function_of_sqlite_or_duckdb_is_answered_with_another() -> None:
    sqlite = {str(row[0]) for row in apsw.Connection(":memory:").execute("SELECT name FROM pragma_function_list")}
    rows = duckdb.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()

    assert _spelled("sqlite") <= sqlite | SHELL
    assert _spelled("duckdb") <= {str(name).lower() for (name,) in rows} | {"columns"}
    assert not _misled("sqlite", {name for name in sqlite if name.isidentifier()})
    assert not _misled("duckdb", {str(name).lower() for (name,) in rows if str(name).isidentifier()})


@pytest.mark.requirement("sql:refusals:functions")
def test_no_function_of_postgresql_is_answered_with_another(postgres: Server) -> None:
    with postgres.connect() as connection:
        rows = connection.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
        ).fetchall()

    assert not _misled("postgres", {str(name) for (name,) in rows})
