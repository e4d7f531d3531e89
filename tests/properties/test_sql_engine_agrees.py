"""Does the engine read what the gate derived? What is permitted needs no right beyond those and shows no canary."""

from __future__ import annotations

from itertools import islice

import apsw
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from sql_shop import CANARY, RULES, ask, open_shop, shadow

from sandbox.reasons import Refused
from sandbox.sql import Proven, folded

shown = st.sampled_from(
    ["id", "id", "region", "cents", "name", "kind", "date", "quantity", "o.id", "c.name", '"Paris"']
)
others = st.sampled_from(
    [
        *("secret", "ssn", "payload", "nosuch", "rowid", "x", "y", '"group"', '"secret"', '"Unit Price"', "city"),
        *("o.secret", "o.region", "c.ssn", "l.quantity", "e.payload", "orders.secret"),
    ]
)
names = st.sampled_from(range(9)).flatmap(lambda number: others if number == 0 else shown)
allowed = st.sampled_from(["orders o", "orders", "customers c", "customers", "events e", '"order lines" l', "(orders)"])
tables = st.sampled_from(range(12)).flatmap(
    lambda number: st.sampled_from(["t", "u", "t", "vault"]) if number == 0 else allowed
)
literals = st.sampled_from(["1", "'EU'", "null", "true", "x'00'", "1.5", ".5", "'a%'"])


SHAPES = (
    *("{a}", "{a}", "{a} = {b}", "({a})", "{a} || {b}", "NOT {a}", "-{a}", "{a} IN ({b}, {c})", "{a} IS {b}"),
    *("max({a}, {b})", "count(*)", "sum({a})", "substr({a}, 1, 2)", "CASE WHEN {a} THEN {b} ELSE {c} END"),
    *("CAST({a} AS TEXT)", "{a} LIKE {b}", "{a} COLLATE NOCASE", "{a} BETWEEN {b} AND {c}", "{q}", "EXISTS {q}"),
    *("{a} IN {q}", "{a} -> '$.a'", "coalesce({a}, {b})", "sum({a}) OVER (ORDER BY {b})", "count(DISTINCT {a})"),
    *("({a}, {b}) = ({c}, {a})", "{a} IN orders", "date {a}"),
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0:
        return draw(names | literals)
    inner = expressions(depth - 1)
    shape = draw(st.sampled_from(SHAPES))
    query = f"({draw(queries(0))})" if "{q}" in shape else ""
    return shape.format(a=draw(inner), b=draw(inner), c=draw(inner), q=query)


@st.composite
def sources(draw: st.DrawFn, depth: int) -> str:
    first = f"({draw(queries(depth - 1))}) x" if depth and draw(st.booleans()) else draw(tables)
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from([", {t}", " JOIN {t} ON {e}", " NATURAL JOIN {t}", " LEFT JOIN {t} USING ({n})"]))
        column = draw(st.sampled_from(["id", "secret", "region", "nosuch"]))
        first += kind.format(t=draw(tables), e=draw(expressions(1)), n=column)
    return first


@st.composite
def queries(draw: st.DrawFn, depth: int = 1) -> str:
    items = draw(
        st.lists(st.sampled_from(["*", "{e} AS y", "{e} secret", "{e}", "{e}", "{e}"]), min_size=1, max_size=3)
    )
    output = ", ".join(item.format(e=draw(expressions(depth))) for item in items)
    text = f"SELECT {output} FROM {draw(sources(depth))}"  # noqa: S608 - food for the gate
    for clause in (" WHERE {e}", " GROUP BY {e}", " ORDER BY {e}", " LIMIT 3"):
        if draw(st.integers(0, 3)) == 0:
            text += clause.format(e=draw(expressions(depth)))
    if depth and draw(st.integers(0, 4)) == 0:
        text = f"{text} {draw(st.sampled_from(['UNION', 'EXCEPT', 'UNION ALL']))} {draw(queries(0))}"
    if depth:
        inner = draw(st.just("SELECT 1 AS x, 'EU' AS region") | queries(0))
        text = f"WITH t AS ({inner}), u(x, y) AS (SELECT id, region FROM orders) {text}"  # noqa: S608
    return text


SHADOWED = open_shop()
shadow(SHADOWED)
BARE = open_shop()


def run(connection: apsw.Connection, proven: Proven) -> tuple[list[object], str]:
    """Run with the derived rights and no others; returns what was denied, and all that came back."""
    columns = set(proven.rights.columns)
    # a read of no column: of a table, or of a common table expression, by its name
    bare = {folded(name) for name in proven.rights.relations} | {"t", "u", "x", ""}
    denied: list[object] = []

    def authorize(code: int, first: str | None, second: str | None, _schema: str | None, view: str | None) -> int:
        is_allowed = {
            apsw.SQLITE_SELECT: True,
            apsw.SQLITE_RECURSIVE: True,
            apsw.SQLITE_READ: folded(view or "") in RULES or (first, second) in columns
            or (second == "" and folded(first or "") in bare),
            apsw.SQLITE_FUNCTION: second in proven.rights.functions,
        }.get(code, False)  # fmt: skip
        if not is_allowed:
            denied.append((code, first, second, view))
        return apsw.SQLITE_OK if is_allowed else apsw.SQLITE_DENY

    connection.authorizer = authorize
    try:
        return denied, repr(list(islice(connection.execute(proven.sql_to_run), 50)))
    except apsw.Error as error:
        return denied, str(error)
    finally:
        connection.authorizer = None


@pytest.mark.requirement("sql:rights:engine-agrees")
@settings(max_examples=400)
@example("SELECT (SELECT x FROM t) FROM orders")
@example('WITH t AS (SELECT "region" AS x) SELECT (SELECT x FROM t) FROM orders')
@example("SELECT o.* FROM (orders o JOIN customers c ON c.id = o.id)")
@given(queries())
def test_what_is_permitted_needs_only_the_derived_rights(sql: str) -> None:
    try:
        proven = ask(sql)
    except Refused as refusal:
        event(refusal.rule)
        return
    event("permitted")

    denied, seen = run(SHADOWED, proven)
    assert not denied
    assert CANARY not in seen

    if not proven.omitted:  # without views, `*` alone would show more than the gate's rights
        denied, seen = run(BARE, proven)
        assert not denied
        assert CANARY not in seen


FRAGMENTS = (
    *(
        "SELECT",
        "FROM",
        "(",
        ")",
        ",",
        ".",
        "*",
        "'a'",
        '"b"',
        "id",
        "orders",
        "AS",
        "JOIN",
        "ON",
        "WITH",
        "IN",
        "CASE",
    ),
    *("WHEN", "END", "NOT", "UNION", "VALUES", "CAST", "COLLATE", "OVER", "BY", "ORDER", "LIMIT", "1", "-", "||", "->"),
    *(":p", ";", "\\", "[", "`", "x'", "/*", "--", "\n"),
)
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map(lambda words: "SELECT " + " ".join(words))


@pytest.mark.requirement("sql:gate:only-refusals")
@settings(max_examples=300)
@given(st.text(max_size=60) | fragments)
def test_any_text_is_permitted_or_refused_by_a_rule(sql: str) -> None:
    refusal: Refused | None = None
    try:
        ask(sql)
    except Refused as raised:
        refusal = raised

    assert refusal is None or (refusal.rule.startswith("sql/") and refusal.rule != "sql/unproven")
    assert refusal is None or (refusal.line >= 1 and refusal.column >= 1)
