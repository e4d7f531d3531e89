"""Is a row filter written into a view as it was meant, with claims found in the grammar's tree alone?"""

from __future__ import annotations

import pytest

from sandbox.deployment import Misconfigured
from sandbox.doctor.row_filters import row_filter


@pytest.mark.parametrize(
    ("written", "sql", "columns", "claims"),
    [
        ("region = claim('region')", "region = (SELECT sandbox.claim('region'))", {"region"}, ("region",)),
        ("tenant = claim('t')::bigint", "tenant = (SELECT sandbox.claim('t'))::bigint", {"tenant"}, ("t",)),
        ("note <> 'claim(''x'')'", "note <> 'claim(''x'')'", {"note"}, ()),
        ("orders.region = claim ( 'r' )", "orders.region = (SELECT sandbox.claim('r'))", {"region"}, ("r",)),
        ("a = claim('it''s \"')", "a = (SELECT sandbox.claim('it''s \"'))", {"a"}, ("it's \"",)),
        ("claim('b') = b OR claim('a') = a", "(SELECT sandbox.claim('b')) = b OR (SELECT sandbox.claim('a')) = a",
         {"a", "b"}, ("a", "b")),
        ("lower(x) = lower(claim('x'))", "lower(x) = lower((SELECT sandbox.claim('x')))", {"x"}, ("x",)),
        ("x = other.claim('x')", "x = other.claim('x')", {"x"}, ()),
        ('claim = claim(\'x\') AND "Claim" IS NULL', 'claim = (SELECT sandbox.claim(\'x\')) AND "Claim" IS NULL',
         {"claim", "Claim"}, ("x",)),
    ],
)  # fmt: skip
@pytest.mark.requirement("doctor:script:claims-in-the-tree")
def test_claims_are_asked_for_once_and_only_where_they_are_asked_for(
    written: str, sql: str, columns: set[str], claims: tuple[str, ...]
) -> None:
    found = row_filter(written)

    assert (found.sql, set(found.columns), found.claims) == (sql, columns, claims)


@pytest.mark.parametrize(
    "written",
    ["true) --", "true; DROP TABLE t", "1 = 1 ORDER BY 1", "", "a = 1) UNION (SELECT true", "true) OR (true) LIMIT (1"],
)
@pytest.mark.requirement("doctor:script:one-expression")
def test_what_is_no_single_expression_is_refused(written: str) -> None:
    with pytest.raises(Misconfigured, match="row filter"):
        row_filter(written)


@pytest.mark.parametrize("written", ["a = claim(b)", "a = claim('x', 'y')", "a = claim()", "a = claim(DISTINCT 'x')"])
@pytest.mark.requirement("doctor:script:claims-in-the-tree")
def test_a_claim_has_one_constant_name(written: str) -> None:
    with pytest.raises(Misconfigured, match="one name in single quotes"):
        row_filter(written)


@pytest.mark.requirement("doctor:script:one-expression")
def test_a_comment_ends_with_its_line() -> None:
    assert row_filter("a = 1 -- and more").sql == "a = 1"
