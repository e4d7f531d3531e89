"""Which values does a row filter get? The token's, cast to the column they are compared with, or none at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from executor_cast import Shop, make_database, open_table, tool

from sandbox.executors.claims import ClaimUse, Kind, claim_values, filter_claims, kind_of, stricter
from sandbox.reasons import Reason, Refused
from sandbox.sql import Catalogue, ColumnShape, TableShape
from sandbox.toolspec import Digest

FITTING = [
    ("text", "EU", "EU"),
    ("text", "", ""),
    ("text", 7, "7"),
    ("text", True, "true"),
    ("integer", 7, 7),
    ("integer", "7", 7),
    ("integer", "-7", -7),
    ("integer", 7.0, 7),
    ("integer", True, 1),
    ("integer", 2**63 - 1, 2**63 - 1),
    ("number", "1.5", 1.5),
    ("number", "1e3", 1000.0),
    ("number", 1.5, 1.5),
    ("number", "3", 3),
    ("any", "EU", "EU"),
    ("any", 7, 7),
    ("any", False, 0),
]
MISFITS = [
    ("integer", "EU"),
    ("integer", ""),
    ("integer", " 7"),
    ("integer", "7.5"),
    ("integer", 7.5),
    ("integer", "٣"),
    ("integer", 2**63),
    ("integer", "9" * 19),
    ("integer", 1e300),
    ("number", "x"),
    ("number", "nan"),
    ("number", "inf"),
    ("number", float("inf")),
    ("any", float("nan")),
    ("any", 2**64),
    ("text", ["EU"]),
    ("any", {"region": "EU"}),
    ("any", ["EU", "US"]),
    ("text", None),
]


@pytest.mark.requirement("executors:claims:cast")
@pytest.mark.parametrize(("kind", "value", "cast"), FITTING, ids=map(repr, FITTING))
def test_a_claim_that_fits_is_cast(kind: Kind, value: Any, cast: object) -> None:
    found = claim_values((ClaimUse("c", kind),), {"c": value, "d": 1})

    assert found == {"c": cast}
    assert type(found["c"]) is type(cast)


@pytest.mark.requirement("executors:claims:cast")
@pytest.mark.parametrize(("kind", "value"), MISFITS, ids=map(repr, MISFITS))
def test_a_claim_that_does_not_fit_is_refused(kind: Kind, value: Any) -> None:
    with pytest.raises(Refused) as caught:
        claim_values((ClaimUse("c", kind),), {"c": value})

    assert caught.value.reason is Reason.CLAIM_MISSING
    assert caught.value.rule.startswith("claims/")
    assert caught.value.metadata == {"claim": "c"}


@pytest.mark.requirement("executors:claims:missing")
def test_an_absent_claim_is_refused() -> None:
    with pytest.raises(Refused, match="the token does not carry"):
        claim_values((ClaimUse("region", "text"),), {"other": "EU"})


@pytest.mark.requirement("executors:claims:cast")
def test_kinds_are_those_of_sqlite_s_affinities() -> None:
    declared = ("INTEGER", "bigint", "FLOATING POINT", "VARCHAR(9)", "clob", "TEXT", "BLOB", "", "REAL", "DECIMAL(9,2)")
    kinds = ["integer", "integer", "integer", "text", "text", "text", "any", "any", "number", "number"]

    assert [kind_of(one, "sqlite") for one in declared] == kinds
    assert (stricter("text", "integer"), stricter("any", "text"), stricter("number", "text")) == (
        "integer",
        "text",
        "number",
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "shop.db")


@pytest.mark.requirement("executors:claims:cast")
@pytest.mark.parametrize(
    "row_filter",
    [
        "level < claim('c')",
        "claim('c') > level",
        "level BETWEEN 0 AND claim('c') - 1",
        "(level) <= (claim('c')) - 1",
        "coalesce(level, 0) < claim('c')",
        "level + 0 < claim('c')",
        "level COLLATE BINARY < claim('c')",
        "level < coalesce(claim('c'), 0)",
    ],
)
def test_text_never_compares_with_an_integer_column(path: Path, row_filter: str) -> None:
    """SQLite finds every integer smaller than every text: such a claim would show every row."""
    rule = open_table("customers", "id", row_filter=row_filter)
    shop = Shop(path, (tool(tables={"customers": rule}),))

    assert shop.query("SELECT id FROM customers ORDER BY id", c=2) == [(1,)]
    if "-" not in row_filter:
        assert shop.query("SELECT id FROM customers ORDER BY id", c="2") == [(1,)]
        assert shop.refusal({"sql": "SELECT id FROM customers"}, c="x").reason is Reason.CLAIM_MISSING


@pytest.mark.requirement("executors:claims:missing")
def test_a_plan_carries_the_claims_it_needs_and_no_others(path: Path) -> None:
    rules = {
        "orders": open_table("orders", "id", row_filter="region = claim('region') AND customer = claim('customer')"),
        "customers": open_table("customers", "id"),
    }
    shop = Shop(path, (tool(tables=rules),))

    plan = shop.plan({"sql": "SELECT count(*) FROM orders"}, region="EU", customer="1", mail="a@example.com").plan
    assert (dict(plan.claims), plan.rights.claims) == ({"region": "EU", "customer": 1}, ("customer", "region"))
    plan = shop.plan({"sql": "SELECT count(*) FROM customers"}, region="EU").plan
    assert (dict(plan.claims), plan.rights.claims) == ({}, ())


@pytest.mark.requirement("executors:plan:statement")
def test_an_author_s_statement_may_ask_for_claims(path: Path) -> None:
    statement = "SELECT id FROM orders WHERE region = claim('region') ORDER BY id"
    shop = Shop(path, (tool(statement=statement, inputs=()),))

    assert list(shop.call({}, region="EU").rows) == [(1,), (3,)]
    assert shop.refusal({}).reason is Reason.CLAIM_MISSING


@pytest.mark.requirement("executors:claims:cast")
@pytest.mark.parametrize(
    ("row_filter", "kind"),
    [
        ("region = claim('c')", "text"),
        ("id = claim('c')::bigint", "integer"),
        ("id = CAST(claim('c') AS integer)", "integer"),
        ("price < claim('c')::numeric", "number"),
        ("region = claim('c') AND id = claim('c')::int", "integer"),
        ("is_open = claim('c')::boolean", "text"),
    ],
)
def test_on_postgresql_a_claim_is_what_its_author_casts_it_to(row_filter: str, kind: Kind) -> None:
    names = {"id": "bigint", "region": "text", "price": "numeric(10,2)", "is_open": "boolean"}
    columns = tuple(ColumnShape(name, declared) for name, declared in names.items())
    shape = TableShape("public.t", columns, "table", has_rowid=False)
    rule = open_table("public.t", *names, row_filter=row_filter)

    found = filter_claims({"public.t": rule}, Catalogue({"public.t": shape}, Digest("f")), "postgres")

    assert found == {"public.t": (ClaimUse("c", kind),)}
