"""Is a refused use of a column for aggregates alone told a form that the gate then takes?"""

from __future__ import annotations

import re
from typing import Final

import pytest
from guarded_gate import ENGINES, ask

from sandbox.reasons import Refused
from sandbox.toolspec import SqlEngine

HAVING: Final = "HAVING count(cents) >= 5"
COMMON: Final = ("max(cents)", "min(cents)", "max(cents + 1)")
"""Aggregates that every engine has; with those of its own below."""
OWN: Final[dict[SqlEngine, tuple[str, ...]]] = {
    "sqlite": ("group_concat(cents)", "string_agg(cents, ',')"),
    "postgres": ("array_agg(cents)", "string_agg(CAST(cents AS text), ',')", "json_agg(cents)", "stddev(cents)"),
    "duckdb": ("list(cents)", "string_agg(CAST(cents AS text), ',')", "group_concat(cents)", "any_value(cents)"),
    "mysql": ("group_concat(cents)", "json_arrayagg(cents)", "std(cents)"),
}


def _told(engine: SqlEngine, sql: str) -> str:
    with pytest.raises(Refused) as caught:
        ask(engine, sql, "cents")
    assert caught.value.rule == "sql/aggregate-only"
    return caught.value.message


def _taken(engine: SqlEngine, message: str) -> str:
    """Take the first form of a message, with what its dots leave out, through the gate."""
    form = re.findall("`([^`]*)`", message)[1].replace(" FROM …", " FROM orders").replace("…", "SELECT 1")
    sql = form if form.startswith("SELECT") else f"SELECT {form} FROM orders {HAVING}"  # noqa: S608 - constants
    ask(engine, sql, "cents")
    return sql


@pytest.mark.requirement("sql:aggregate-only:form-told")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("use", "moved"),
    [
        ("sum(cents / 100.0)", "sum(cents) / 100.0"),
        ("sum((cents * 2))", "sum(cents) * 2"),
        ("sum(0.01 * cents)", "sum(cents) * 0.01"),
        ("avg(cents - 3)", "avg(cents) - 3"),
        ("avg(3 + orders.cents)", "avg(cents) + 3"),
    ],
)
def test_arithmetic_is_moved_outside_of_the_aggregate(engine: SqlEngine, use: str, moved: str) -> None:
    sql = _taken(engine, _told(engine, f"SELECT {use} FROM orders {HAVING}"))  # noqa: S608 - constants

    aggregate, after = moved.split(" ", 1)
    whole = f"SELECT total {after} FROM (SELECT {aggregate} AS total FROM orders {HAVING} LIMIT 1000000) AS x"  # noqa: S608
    assert sql == (whole if engine == "mysql" else f"SELECT {moved} FROM orders {HAVING}")  # noqa: S608 - constants


@pytest.mark.requirement("sql:aggregate-only:form-told")
@pytest.mark.parametrize("engine", ["sqlite", "postgres", "duckdb"])
@pytest.mark.parametrize("use", ['sum("cents" / 100.0)', 'max("cents")'])
def test_a_name_is_told_as_it_is_written(engine: SqlEngine, use: str) -> None:
    assert 'sum("cents")' in _told(engine, f"SELECT {use} FROM orders {HAVING}")  # noqa: S608 - constants


@pytest.mark.requirement("sql:aggregate-only:form-told")
@pytest.mark.parametrize(
    "use",
    ["sum(cents + 1)", "sum(cents / 100)", "sum(7 / cents)", "sum(cents * id)", "avg(cents + '1')", "count(cents + 1)"],
)
def test_arithmetic_that_would_come_to_something_else_is_not_moved(use: str) -> None:
    assert "it cannot stand within" in _told("sqlite", f"SELECT {use} FROM orders {HAVING}")  # noqa: S608 - constants


@pytest.mark.requirement("sql:aggregate-only:form-told")
@pytest.mark.parametrize("engine", ENGINES)
def test_another_aggregate_is_named_with_those_that_are_permitted(engine: SqlEngine) -> None:
    for use in (*COMMON, *OWN[engine]):
        told = _told(engine, f"SELECT {use} FROM orders {HAVING}")  # noqa: S608 - constants
        assert f"`{use.partition('(')[0]}` is none of its aggregates; `sum(cents)`, `avg(cents)` and" in told


@pytest.mark.requirement("sql:aggregate-only:form-told")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(cents) FROM orders HAVING count(cents) >= 5 UNION SELECT 1",
        "SELECT 1 UNION ALL SELECT count(cents) FROM orders HAVING count(cents) >= 5",
    ],
)
def test_a_part_of_a_union_is_told_what_it_can_follow(engine: SqlEngine, sql: str) -> None:
    assert _taken(engine, _told(engine, sql)).endswith("AS x UNION SELECT 1")
