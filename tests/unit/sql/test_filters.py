"""Is a row filter one boolean expression over its own table, and are its claims told?"""

from __future__ import annotations

import pytest
from sql_shop import CATALOGUE, ask

from sandbox.reasons import Refused
from sandbox.sql import prove_filter

ORDERS = CATALOGUE.tables["orders"]


@pytest.mark.requirement("sql:row-filter:proven")
@pytest.mark.parametrize(
    ("expression", "claims"),
    [
        ("region = claim('region')", ("region",)),
        ("region = claim('region') AND customer_id = claim('id')", ("id", "region")),
        ("region IN ('EU', 'US')", ()),
        ("secret IS NULL OR lower(region) = lower(claim('it''s'))", ("it's",)),
        ("placed_on >= date('now', '-1 year') AND (cents > 5 OR note LIKE 'a%')", ()),
        ("CASE WHEN cents > 5 THEN region = claim('region') ELSE 1 END = 1", ("region",)),
        ("NOT (region <> claim('region'))", ("region",)),
        ("note LIKE 'a!%%' ESCAPE '!' OR note GLOB 'b*'", ()),
        ("cents BETWEEN 1 AND 5 AND note IS NOT NULL AND note NOTNULL AND region IS NOT 'EU'", ()),
        ("TRUE", ()),
    ],
)
def test_a_filter_s_claims_are_told(expression: str, claims: tuple[str, ...]) -> None:
    assert prove_filter(expression, ORDERS, "sqlite") == claims


@pytest.mark.requirement("sql:row-filter:proven")
@pytest.mark.parametrize(
    "expression",
    [
        "nosuch = 1",
        "rowid = 1",
        "1) OR (1",
        "1) UNION SELECT (1",
        "1 ORDER BY 2",
        "id IN (SELECT id FROM vault)",
        "EXISTS (SELECT 1)",
        "id IN vault",
        "count(*) > 1",
        "sum(cents) OVER () > 1",
        "id = :id",
        "id = ?",
        "claim(region) = 1",
        "claim() = 1",
        "claim('a', 'b') = 1",
        "load_extension('x')",
        "region = claim('region') -- x",
        "region = claim('region') /* x */",
        "1; DELETE FROM orders",
        "1;",
        '"regoin" = 1',
        "main.orders.id = 1",
        "",
        "region = 'EU",
        "DELETE FROM orders",
    ],
)
def test_anything_else_is_refused(expression: str) -> None:
    with pytest.raises(Refused) as caught:
        prove_filter(expression, ORDERS, "sqlite")

    assert caught.value.rule.startswith("sql/")


@pytest.mark.requirement("sql:row-filter:condition")
@pytest.mark.parametrize(
    "expression",
    [
        "id",
        "1",
        "'EU'",
        "NULL",
        "claim('branch')",
        "(claim('branch'))",
        "NOT id",
        "region = claim('region') OR cents",
        "region = claim('region') AND (TRUE OR id)",
        "coalesce(region = claim('region'), 1)",
        "CASE WHEN cents > 5 THEN region = claim('region') ELSE 1 END",
        "-cents",
        "cents + 1",
        "region || 'x'",
    ],
)
def test_a_value_is_no_filter_for_an_engine_takes_it_for_yes(expression: str) -> None:
    with pytest.raises(Refused) as caught:
        prove_filter(expression, ORDERS, "sqlite")

    assert caught.value.message.startswith("a row filter is a condition, and this is a value; accepted: a comparison")


@pytest.mark.requirement("sql:row-filter:proven")
def test_the_place_is_counted_in_the_filter_itself() -> None:
    with pytest.raises(Refused) as caught:
        prove_filter("region = claim('region') AND nosuch = 1", ORDERS, "sqlite")

    assert (caught.value.line, caught.value.column) == (1, 30)


@pytest.mark.requirement("sql:rights:claims")
def test_a_statement_s_rights_name_the_claims_of_the_filters_it_meets() -> None:
    assert ask("SELECT id FROM orders").rights.claims == ("region",)
    assert ask("SELECT id FROM customers").rights.claims == ()


@pytest.mark.requirement("sql:rights:claims")
def test_an_author_s_statement_may_call_claim_and_use_declared_parameters() -> None:
    sql = "SELECT id FROM customers WHERE city = claim('city') AND id > :least AND id < :most AND id <> :least"
    proven = ask(sql, parameters=frozenset({"least", "most", "other"}), may_claim=True)

    assert proven.rights.claims == ("city",)
    assert proven.parameters == ("least", "most")
    assert "claim" in proven.rights.functions


@pytest.mark.requirement("sql:rights:claims")
@pytest.mark.parametrize("sql", ["SELECT claim(city) FROM customers", "SELECT claim('a' || 'b')", "SELECT claim()"])
def test_an_author_s_claim_is_named_outright(sql: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(sql, may_claim=True)

    assert caught.value.rule == "sql/claims"


@pytest.mark.requirement("sql:rights:claims")
def test_a_parameter_nobody_declared_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        ask("SELECT :other", parameters=frozenset({"least"}))

    assert caught.value.rule == "sql/parameters"
    assert "`:least`" in caught.value.message
