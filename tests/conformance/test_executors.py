"""Does every executor keep the same promises? One suite, run over `EXECUTORS`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from executor_cast import CANARY, EU, Shop, open_table, tool
from grounds import DuckdbGround, Ground, MysqlGround, PostgresGround, SqliteGround

from sandbox.deployment import Misconfigured
from sandbox.executors import EXECUTORS
from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation, ExecutedCall, Truncation
from sandbox.toolspec import TableRule, ToolLimits

GROUNDS: Mapping[str, Callable[[pytest.FixtureRequest, Path], Ground]] = {
    "sqlite": lambda _, folder: SqliteGround(folder),
    "postgres": lambda request, folder: PostgresGround(request.getfixturevalue("postgres"), folder),
    "mysql": lambda request, folder: MysqlGround(request.getfixturevalue("mariadb"), folder),
    "duckdb": lambda _, folder: DuckdbGround(folder),
}
"""How a test gets a shop on each engine."""

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
GRACE_S = 0.25


def test_every_executor_is_tested() -> None:
    assert set(GROUNDS) == set(EXECUTORS)


@pytest.fixture(params=sorted(EXECUTORS))
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    return GROUNDS[request.param](request, tmp_path)


@pytest.fixture
def shop(ground: Ground) -> Iterator[Shop]:
    shop = ground.shop(tool(tables=ground.rules(EU)))
    yield shop
    shop.executors.close()


def limited(ground: Ground, **limits: float) -> Shop:
    return ground.shop(tool(tables=ground.rules(EU), limits=ToolLimits(**limits)))  # type: ignore[arg-type] - ints are floats here


@pytest.mark.requirement("executors:results:values")
def test_a_cell_comes_back_as_it_is(ground: Ground, shop: Shop) -> None:
    for literal, expected in ground.values.items():
        executed = shop.call({"sql": f"SELECT {literal} AS v"})

        assert (executed.columns[0].type, executed.rows[0][0]) == expected, literal
        assert type(executed.rows[0][0]) is type(expected[1])


@pytest.mark.requirement("executors:results:values")
@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("(1), (NULL)", "integer"),
        ("(1), (2.5)", "real"),
        ("(1), (2.5), (9007199254740992)", "real"),
        ("(9007199254740993), (2.5)", "any"),
        ("(1), ('x')", "any"),
        ("(NULL), (NULL)", "null"),
        ("('x'), (x'00')", "any"),
    ],
)
def test_a_column_of_sqlite_is_typed_by_its_cells(tmp_path: Path, rows: str, found: str) -> None:
    ground = SqliteGround(tmp_path)
    shop = ground.shop(tool(tables=ground.rules(EU)))
    executed = shop.call({"sql": "WITH v (a) AS (VALUES ?) SELECT a FROM v".replace("?", rows)})
    shop.executors.close()

    assert executed.columns[0].type == found


@pytest.mark.requirement("executors:results:names")
def test_columns_keep_names_order_and_declared_types(ground: Ground, shop: Shop) -> None:
    executed = shop.call({"sql": "SELECT id, region, cents AS more, cents AS id, id FROM orders"}, region="EU")

    assert [column.name for column in executed.columns] == ["id", "region", "more", "id", "id"]
    assert tuple(column.declared_type for column in executed.columns)[:2] == ground.declared


@pytest.mark.requirement("executors:results:names")
def test_an_empty_result_has_columns(ground: Ground, shop: Shop) -> None:
    for _ in range(2):
        executed = shop.call({"sql": "SELECT id AS a, region AS b FROM orders WHERE id = 77"}, region="EU")

        assert [column.name for column in executed.columns] == ["a", "b"]
        assert tuple(column.type for column in executed.columns) == ground.empty
        assert executed.rows == ()


@pytest.mark.requirement("executors:results:truncated")
@pytest.mark.parametrize(("max_rows", "cut"), [(1, Truncation.ROWS), (2, Truncation.ROWS), (3, Truncation.NONE)])
def test_rows_beyond_the_limit_are_not_taken(ground: Ground, max_rows: int, cut: Truncation) -> None:
    executed = limited(ground, max_rows=max_rows).call({"sql": "SELECT id FROM customers ORDER BY id"})

    assert [row[0] for row in executed.rows] == [1, 2, 3][:max_rows]
    assert executed.truncation is cut


@pytest.mark.requirement("executors:results:truncated")
def test_bytes_beyond_the_limit_are_not_taken(ground: Ground) -> None:
    shop = limited(ground, max_rows=100_000, max_bytes=10_000)
    many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
    sql = f"{many} SELECT '{'x' * 100}' AS t FROM n"  # noqa: S608 - a constant

    body = shop.release({"sql": sql}).body

    assert body.truncation is Truncation.BYTES
    assert 9_700 < len(body.rows_json) <= 10_000
    assert body.row_count == body.rows_json.count(b"x" * 100)


@pytest.mark.requirement("executors:results:row-too-large")
def test_one_row_beyond_the_limit_is_refused(ground: Ground) -> None:
    with pytest.raises(Refused) as caught:
        limited(ground, max_bytes=1_000).release({"sql": f"SELECT '{'x' * 5000}' AS t"})

    assert caught.value.reason is Reason.RESULT_TOO_LARGE


@pytest.mark.requirement("executors:stop:deadline")
@pytest.mark.parametrize(("seconds", "caller_s"), [(0.1, None), (30.0, 0.1)])
def test_an_endless_statement_ends_with_its_time(ground: Ground, seconds: float, caller_s: float | None) -> None:
    shop = limited(ground, seconds=seconds)
    planned = shop.plan({"sql": ENDLESS})  # the time is the statement's
    begun = time.monotonic()
    deadline = begun + caller_s if caller_s is not None else None
    with pytest.raises(Refused) as caught:
        shop.call({"sql": ENDLESS}, cancellation=Cancellation(deadline))

    assert planned.plan.max_seconds == seconds
    assert (caught.value.reason, caught.value.rule) == (Reason.EXECUTION_TIMED_OUT, "limits/seconds")
    assert 0.1 <= time.monotonic() - begun < 0.1 + GRACE_S


@pytest.mark.requirement("executors:stop:deadline")
def test_a_call_whose_time_is_over_does_not_begin(shop: Shop) -> None:
    refused = shop.refusal({"sql": "SELECT 1"}, cancellation=Cancellation(time.monotonic() - 1))

    assert refused.reason is Reason.EXECUTION_TIMED_OUT


@pytest.mark.requirement("executors:stop:cancel")
def test_a_cancelled_call_stops(shop: Shop) -> None:
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    begun = time.monotonic()

    refused = shop.refusal({"sql": ENDLESS}, cancellation=cancellation)

    assert refused.reason is Reason.CALL_CANCELLED
    assert time.monotonic() - begun < 0.1 + GRACE_S


@pytest.mark.requirement("executors:stop:cancel")
def test_a_call_cancelled_before_does_not_begin(shop: Shop) -> None:
    cancellation = Cancellation()
    cancellation.cancel()

    assert shop.refusal({"sql": "SELECT 1"}, cancellation=cancellation).reason is Reason.CALL_CANCELLED


@pytest.mark.requirement("executors:stop:cancel")
def test_a_late_cancellation_stops_nobody_else(shop: Shop) -> None:
    """The one session there is serves the next call while the first one's cancellation arrives."""
    counting = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) FROM n"
    )
    late = [Cancellation() for _ in range(50)]
    for cancellation in late:
        shop.call({"sql": "SELECT 1"}, cancellation=cancellation)
    canceller = threading.Thread(target=lambda: [one.cancel() for one in late])
    canceller.start()

    assert shop.query(counting) == [(300_000,)]
    canceller.join()


@pytest.mark.requirement("executors:stop:cancel")
def test_after_being_stopped_a_tool_serves_on(ground: Ground) -> None:
    shop = limited(ground, seconds=ground.moment)
    for _ in range(3):
        assert shop.refusal({"sql": ENDLESS}).reason is Reason.EXECUTION_TIMED_OUT
        assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("executors:rules:rows")
def test_filters_masks_and_columns_hold(shop: Shop) -> None:
    assert shop.query("SELECT * FROM orders ORDER BY id", region="EU") == [(1, "EU", 100, 1), (3, "EU", 300, 3)]
    assert shop.query("SELECT count(*) FROM orders", region="US") == [(1,)]
    assert shop.query("SELECT count(*) FROM orders", region="nowhere") == [(0,)]
    assert shop.query("SELECT name, mail FROM customers WHERE id = 1") == [("A.L.", "example.com")]
    joined = (
        "SELECT c.name, max(o.cents) FROM orders AS o JOIN customers AS c ON c.id = o.customer GROUP BY 1 ORDER BY 1"
    )
    assert shop.query(joined, region="EU") == [("A.L.", 100), ("É.", 300)]


@pytest.mark.requirement("executors:rules:rows")
def test_a_claim_is_a_value_and_never_text_of_the_statement(shop: Shop) -> None:
    assert shop.query("SELECT id FROM orders", region="EU' OR '1'='1") == []


@pytest.mark.requirement("executors:claims:missing")
def test_a_missing_claim_refuses_what_needs_it(shop: Shop) -> None:
    refused = shop.refusal({"sql": "SELECT id FROM orders"}, other="EU")

    assert refused.reason is Reason.CLAIM_MISSING
    assert refused.metadata["claim"] == "region"
    assert "`region`" in refused.message
    assert shop.query("SELECT count(*) FROM customers") == [(3,)]


@pytest.mark.requirement("executors:target:threads")
def test_sixteen_callers_at_once_see_their_own_rows(ground: Ground) -> None:
    shop = limited(ground, seconds=60.0)
    wanted = {"EU": [(1,), (3,)], "US": [(2,)], CANARY: [(4,)]}

    def ask(number: int) -> bool:
        region = list(wanted)[number % 3]
        return shop.query("SELECT id FROM orders ORDER BY id", region=region) == wanted[region]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(ground.many)))


def rows_or_refusal(shop: Shop, sql: str) -> object:
    try:
        executed: ExecutedCall = shop.call({"sql": sql}, region="EU")
    except Refused as refused:
        return refused.reason
    return executed.rows


@pytest.mark.requirement("executors:target:changed")
@pytest.mark.parametrize(
    "script",
    [
        "ALTER TABLE orders ADD COLUMN fresh TEXT DEFAULT '{canary}'",
        "ALTER TABLE orders RENAME COLUMN note TO region2",
        "ALTER TABLE orders DROP COLUMN customer",
        "ALTER TABLE orders RENAME COLUMN cents TO old; ALTER TABLE orders RENAME COLUMN note TO cents",
        "DROP TABLE orders",
        "DROP TABLE orders; CREATE VIEW orders AS SELECT id, word region, 1 cents, 1 customer FROM secrets",
        "CREATE TABLE more (word TEXT); INSERT INTO more VALUES ('{canary}')",
    ],
)
def test_a_changed_schema_shows_nothing_more(ground: Ground, shop: Shop, script: str) -> None:
    texts = ["SELECT * FROM orders", "SELECT id, region FROM orders", "SELECT count(*) FROM orders"]
    before = [rows_or_refusal(shop, sql) for sql in texts]
    ground.change(script.format(canary=CANARY))
    allowed = {Reason.EXECUTOR_UNAVAILABLE, Reason.SQL_OBJECT_FORBIDDEN}

    for _ in range(3):
        for sql, was in zip(texts, before, strict=True):
            now = rows_or_refusal(shop, sql)
            assert now in allowed or now == was or "cents TO old" in script, (sql, now)
    for sql in ("SELECT fresh FROM orders", "SELECT word FROM more", "SELECT note FROM orders"):
        assert shop.refusal({"sql": sql}, region="EU").reason in allowed


@pytest.mark.requirement("executors:target:changed")
def test_an_unrelated_change_refuses_nothing(ground: Ground, shop: Shop) -> None:
    sql = "SELECT id, region FROM orders ORDER BY id"
    for number in range(3):
        assert shop.query(sql, region="EU") == [(1, "EU"), (3, "EU")]
        ground.change(f"CREATE TABLE t{number} (a text)")
    assert [column.name for column in shop.call({"sql": sql}, region="EU").columns] == ["id", "region"]


@pytest.mark.requirement("executors:target:changed")
def test_a_vanished_table_is_unavailable_and_served_again_once_it_is_back(ground: Ground, shop: Shop) -> None:
    sql = "SELECT cents FROM orders WHERE id = 1"
    assert shop.query(sql, region="EU") == [(100,)]
    ground.hide_orders()

    reasons = {shop.refusal({"sql": sql}, region="EU").reason for _ in range(3)}
    ground.show_orders()
    shop.executors.refresh("shop")

    assert reasons == {Reason.EXECUTOR_UNAVAILABLE}
    assert shop.query(sql, region="EU") == [(100,)]


@pytest.mark.requirement("executors:load:rehearsed")
@pytest.mark.parametrize(
    "tables",
    [
        {"orders": open_table("orders", "id", "no_such_column")},
        {"nothing": open_table("nothing", "id")},
        {"orders": open_table("orders", "id", row_filter="no_such_column = 1")},
        {"orders": open_table("orders", "id", row_filter="no_such_function(id)")},
        {"orders": open_table("orders", "id", row_filter="id IN (SELECT id FROM secrets)")},
        {"orders": open_table("orders", "id", row_filter="1) OR (1")},
        {"orders": TableRule(table="orders", columns=("id",), masks={"nothing": "null"})},
    ],
)
def test_rules_that_do_not_hold_stop_the_load(ground: Ground, tables: dict[str, TableRule]) -> None:
    with pytest.raises(Misconfigured, match=r"toolspecs/shop\.query\.yaml"):
        ground.shop(tool(tables=ground.rules(tables)))


@pytest.mark.requirement("executors:load:rehearsed")
@pytest.mark.parametrize("statement", ["SELECT word FROM nothing", "DELETE FROM orders", "SELECT :other", "SELECT 1 +"])
def test_a_statement_that_does_not_hold_stops_the_load(ground: Ground, statement: str) -> None:
    with pytest.raises(Misconfigured, match=r"toolspecs/shop\.query\.yaml"):
        ground.shop(tool(statement=statement, inputs=("id",)))
