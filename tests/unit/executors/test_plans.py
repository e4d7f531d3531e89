"""How are plans made? From proven texts, each proven once, with a caller's values bound and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from executor_cast import CANARY, EU, Shop, make_database, open_table, tool

from sandbox.deployment import Misconfigured
from sandbox.executors.plan_cache import PlanCache
from sandbox.reasons import Reason, Refused
from sandbox.settings import Settings, SqlSettings
from sandbox.stages import Principal
from sandbox.toolspec import Digest, SqlCeiling

BY_ID = "SELECT id, region, note FROM orders WHERE id = :id"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "shop.db")


@pytest.mark.requirement("executors:plan:statement")
def test_a_statement_binds_its_parameters(path: Path) -> None:
    shop = Shop(path, (tool(statement=BY_ID, inputs=("id",)),))

    assert list(shop.call({"id": 1}).rows) == [(1, "EU", CANARY)]
    assert list(shop.call({"id": "1 OR 1=1"}).rows) == []
    assert shop.plan({"id": 1}).plan.proposed_sql is None
    assert shop.charged == []


@pytest.mark.requirement("executors:plan:statement")
def test_without_rules_a_statement_reaches_what_it_reads_and_the_ceiling_bounds_it(path: Path) -> None:
    shop = Shop(path, (tool(statement=BY_ID, inputs=("id",)),), ceiling=SqlCeiling({"Orders": None}))

    confinement = shop.executors._ready[shop.specs[0].name].confinement  # type: ignore[union-attr] - it is ready
    assert {name: rule.columns for name, rule in confinement.tables.items()} == {"orders": ("id", "note", "region")}
    with pytest.raises(Exception, match="secrets"):
        Shop(path, (tool(statement="SELECT word FROM secrets", inputs=()),), ceiling=SqlCeiling({"orders": None}))


@pytest.mark.requirement("executors:plan:ceiling")
@pytest.mark.parametrize("ceiling", [SqlCeiling({"secrets": None}), SqlCeiling({"Orders": frozenset({"id"})})])
def test_rules_beyond_the_ceiling_are_not_served_whatever_lint_made_of_them(path: Path, ceiling: SqlCeiling) -> None:
    rules = {"orders": open_table("orders", "id", "region")}
    Shop(path, (tool(tables=rules),))
    with pytest.raises(Misconfigured, match=r"there is no table `orders`|has no column `region`"):
        Shop(path, (tool(tables=rules),), ceiling=ceiling)


@pytest.mark.requirement("executors:plan:ceiling")
def test_a_column_for_aggregates_alone_that_is_not_there_is_not_served(path: Path) -> None:
    """It would guard nothing, in silence."""
    rules = {"orders": replace(open_table("orders", "id", "region"), aggregate_only=("cent",))}
    with pytest.raises(Misconfigured, match="has no column `cent`"):
        Shop(path, (tool(tables=rules),))


@pytest.mark.requirement("executors:plan:statement")
def test_a_statement_under_rules_keeps_filters_and_masks(path: Path) -> None:
    shop = Shop(path, (tool(tables=EU, statement="SELECT id, region FROM orders WHERE id >= :id", inputs=("id",)),))

    assert list(shop.call({"id": 2}, region="EU").rows) == [(3, "EU")]


@pytest.mark.requirement("executors:plan:arguments")
@pytest.mark.parametrize(
    ("value", "cell"),
    [(7, 7), (True, 1), (1.5, 1.5), ("x", "x"), (None, None), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63))],
)
def test_scalars_are_bound(path: Path, value: Any, cell: object) -> None:
    shop = Shop(path, (tool(statement="SELECT :v AS v", inputs=("v",)),))

    assert shop.call({"v": value}).rows == ((cell,),)
    assert shop.call({}).rows == ((None,),)


@pytest.mark.requirement("executors:plan:arguments")
@pytest.mark.parametrize("value", [[1], {"a": 1}, 2**63, -(2**63) - 1, "\ud800"])
def test_what_cannot_be_bound_is_refused(path: Path, value: Any) -> None:
    shop = Shop(path, (tool(statement="SELECT :v AS v", inputs=("v",)),))

    assert shop.refusal({"v": value}).reason is Reason.ARGUMENT_INVALID


@pytest.mark.requirement("executors:plan:cache")
def test_a_text_met_before_is_neither_proven_nor_charged_again(path: Path) -> None:
    shop = Shop(path, (tool(tables=EU),))
    plans = [shop.plan({"sql": "SELECT id FROM customers"}).plan for _ in range(3)]

    assert plans[0] is plans[2]
    assert shop.charged == ["alice"]
    refusals = [shop.refusal({"sql": "DELETE FROM orders"}) for _ in range(3)]
    assert shop.charged == ["alice", "alice"]
    assert len({(refused.reason, refused.message, refused.line, refused.rule) for refused in refusals}) == 1
    assert refusals[0] is not refusals[1]


@pytest.mark.requirement("executors:plan:cache")
def test_two_tools_do_not_share_what_is_proven(path: Path) -> None:
    narrow = tool("shop.narrow", tables={"orders": open_table("orders", "id")})
    shop = Shop(path, (tool(tables=EU), narrow))
    sql = "SELECT cents FROM orders"

    assert len(shop.query(sql, region="EU")) == 2
    assert shop.refusal({"sql": sql}, name="shop.narrow").reason is Reason.SQL_OBJECT_FORBIDDEN


@pytest.mark.requirement("executors:plan:cold-parse")
def test_who_may_not_pay_for_a_parse_gets_none(path: Path) -> None:
    shop = Shop(path, (tool(tables=EU),))
    shop.query("SELECT 1")

    def broke(_: Principal) -> None:
        raise Refused(Reason.RATE_LIMITED, "no more")

    shop.executors._drafts._spend_cold_parse = broke
    assert shop.refusal({"sql": "SELECT 2"}).reason is Reason.RATE_LIMITED
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("executors:plan:cache")
def test_a_cache_of_none_still_plans(path: Path) -> None:
    shop = Shop(path, (tool(tables=EU),), settings=Settings(sql=SqlSettings(plan_cache=0)))

    assert shop.query("SELECT 1") == shop.query("SELECT 1") == [(1,)]
    assert shop.charged == ["alice", "alice"]


@pytest.mark.requirement("executors:plan:cache")
def test_sql_check_charges_nobody(path: Path) -> None:
    shop = Shop(path, (tool(tables=EU),))

    plan = shop.executors.plan_sql(shop.specs[0], "SELECT id FROM orders", {"region": "EU"})
    assert (plan.rights.relations, shop.charged) == (("orders",), [])


def key(text: str) -> tuple[str, Digest, Digest, Digest]:
    return text, Digest("s"), Digest("c"), Digest("f")


@pytest.mark.requirement("executors:plan:cache")
def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    cache: PlanCache[int] = PlanCache(2)
    cache.put(key("a"), 1)
    cache.put(key("b"), 2)
    cache.get(key("a"))
    cache.put(key("c"), 3)

    assert [cache.get(key(text)) for text in "abc"] == [1, None, 3]


@pytest.mark.requirement("executors:plan:cache")
def test_long_texts_are_bounded_by_their_length() -> None:
    cache: PlanCache[int] = PlanCache(1_000, max_text=1_000)
    for number in range(50):
        cache.put(key(f"{number:0100}"), number)
        cache.put(key(f"{number:0100}"), number)

    assert len(cache) == 10
    cache.put(key("x" * 2_000), 1)
    assert len(cache) == 0
