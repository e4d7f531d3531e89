"""What is SQLite's own? Files that come and go, errors that must not speak, memory, plans over indexes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from executor_cast import CANARY, EU, Shop, Ungated, change, make_database, open_table, tool

from sandbox.deployment import Misconfigured
from sandbox.executors import read_catalogue, sqlite, sqlite_session
from sandbox.executors.engine import PlanStale
from sandbox.executors.sqlite_session import Session
from sandbox.reasons import Fault, Reason, Refused
from sandbox.stages import Cancellation
from sandbox.toolspec import ToolLimits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "shop.db")


@pytest.fixture
def shop(path: Path) -> Iterator[Shop]:
    shop = Shop(path, (tool(tables=EU),))
    yield shop
    shop.executors.close()


ERRORS = {
    "SELECT sum(9223372036854775807) FROM customers": "overflow",
    "SELECT abs(-9223372036854775807 - 1)": "overflow",
    "SELECT json('{')": "malformed_json",
    "SELECT json_extract('{}', 'x')": "malformed_json",
    "SELECT 'a' LIKE 'b' ESCAPE 'cc'": "pattern",
    "SELECT printf('%.*c', 999999999, 'x')": "too_large",
    "SELECT abs(1, 2)": "argument_count",
    "SELECT id FROM customers GROUP BY count(*)": "misplaced_function",
    "SELECT 1 UNION SELECT 1, 2": "column_count",
}


@pytest.mark.requirement("executors:errors:class")
@pytest.mark.parametrize(("sql", "word"), ERRORS.items())
def test_an_error_is_a_fixed_word(path: Path, sql: str, word: str) -> None:
    engine = Ungated(path, EU)
    with pytest.raises(Refused) as caught:
        engine.run(sql)

    assert (caught.value.reason, caught.value.metadata["error"]) == (Reason.SQL_FAILED, word)
    assert str(caught.value.__cause__) not in caught.value.message
    assert engine.run("SELECT 1").rows == ((1,),)
    engine.executor.close()


@pytest.mark.requirement("executors:errors:class")
def test_a_text_that_is_not_utf8_says_so(path: Path) -> None:
    change(path, "INSERT INTO customers (id, born) VALUES (9, CAST(x'31ff3135' AS TEXT))")
    with pytest.raises(Refused) as caught:
        Ungated(path, {"customers": EU["customers"]}).run("SELECT mail || born FROM customers WHERE id = 9")

    assert caught.value.metadata["error"] in {"not_unicode", "other"}


@pytest.mark.requirement("executors:rules:index")
@pytest.mark.parametrize("is_fenced", [False, True])
def test_a_filter_uses_the_index(path: Path, is_fenced: bool) -> None:  # noqa: FBT001 - a parameter
    engine = Ungated(path, EU)
    session = Session(str(path), engine.confinement, is_fenced=is_fenced)
    session._connection.exec_trace = None  # which would stop an EXPLAIN
    session._connection.authorizer = None

    steps = session._connection.execute("EXPLAIN QUERY PLAN SELECT id FROM orders").fetchall()
    assert "USING COVERING INDEX orders_by_region (region=?)" in str(steps)
    session.close()


@pytest.mark.requirement("executors:stop:memory")
def test_a_greedy_statement_is_stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_session, "MAX_ENGINE_BYTES", apsw.memory_used() + 32 * 1024 * 1024)
    shop = Shop(path, (tool(tables=EU, limits=ToolLimits(seconds=20.0)),))
    rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"

    refused = shop.refusal({"sql": f"{rows} SELECT i, printf('%.*c', 10000, 'x') AS v FROM n ORDER BY -i"})  # noqa: S608 - a test

    assert refused.metadata["error"] == "out_of_memory"
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("executors:target:unavailable")
def test_a_missing_file_stops_the_load(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"connections\.toml: \[shop\]"):
        Shop(tmp_path / "none.db", (tool(tables=EU),))
    (tmp_path / "text.db").write_text("no database at all, but long enough to be read as one" * 50)
    with pytest.raises(Misconfigured):
        Shop(tmp_path / "text.db", (tool(tables=EU),))
    assert not (tmp_path / "none.db").exists()


@pytest.mark.requirement("executors:target:unavailable")
def test_a_file_that_goes_is_unavailable_until_it_comes_back(
    shop: Shop, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_session, "MOVED_CHECK_S", 0.0)
    sql = "SELECT count(*) FROM customers"
    assert shop.query(sql) == shop.query(sql) == [(3,)]
    moved = path.rename(path.with_suffix(".away"))

    refused = shop.refusal({"sql": sql})
    assert refused.reason is Reason.EXECUTOR_UNAVAILABLE
    assert str(path.parent) not in refused.message
    moved.rename(path)
    assert shop.query(sql) == [(3,)]


@pytest.mark.requirement("executors:target:changed")
def test_a_file_that_is_replaced_is_opened_anew(shop: Shop, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_session, "MOVED_CHECK_S", 0.0)
    sql = "SELECT count(*) FROM customers"
    assert shop.query(sql) == [(3,)]
    fresh = make_database(path.with_name("fresh.db"))
    change(fresh, "DELETE FROM customers WHERE id > 1")
    fresh.replace(path)

    assert shop.query(sql) == [(1,)]


@pytest.mark.requirement("executors:target:changed")
def test_a_file_that_is_replaced_while_it_is_opened_is_opened_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_session, "MOVED_CHECK_S", 0.0)
    fresh = make_database(path.with_name("fresh.db"))
    really_open = sqlite_session.open_file

    def opened(name: str) -> object:
        made = really_open(name)
        fresh.replace(path)
        return made

    monkeypatch.setattr(sqlite_session, "open_file", opened)
    session = Session(str(path), Ungated(path, EU).confinement, is_fenced=False)
    try:
        assert not session.is_current(float("inf"))
    finally:
        session.close()


@pytest.mark.requirement("executors:target:unavailable")
def test_a_writer_that_holds_the_file_is_waited_for_and_then_told(
    shop: Shop, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_session, "BUSY_S", 0.05)
    assert shop.query("SELECT count(*) FROM customers") == [(3,)]
    writer = apsw.Connection(str(path))
    writer.execute("BEGIN EXCLUSIVE")

    assert shop.refusal({"sql": "SELECT count(*) FROM customers"}).reason is Reason.EXECUTOR_UNAVAILABLE
    writer.execute("COMMIT")
    assert shop.query("SELECT count(*) FROM customers") == [(3,)]
    writer.close()


@pytest.mark.requirement("executors:target:threads")
def test_idle_sessions_are_bounded_and_closed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "MAX_IDLE", 2)
    executor = shop.executors._executors["shop"]
    confinement = shop.executors._ready[shop.specs[0].name].confinement  # type: ignore[union-attr] - it is ready
    taken = [executor._take(str(shop.path), confinement, 0.0, is_fenced=False) for _ in range(4)]  # type: ignore[attr-defined] - SQLite's
    for session in taken:
        executor._give_back((confinement.key, False), session, executor._epoch)  # type: ignore[attr-defined] - SQLite's

    assert executor._idle_count == 2  # type: ignore[attr-defined] - SQLite's
    shop.executors.close()
    assert executor._idle_count == 0  # type: ignore[attr-defined] - SQLite's


def test_a_lease_of_another_kind_is_a_fault(path: Path) -> None:
    engine = Ungated(path, EU)

    class Other:
        digest = b""

    with pytest.raises(Fault):
        engine.executor.run(engine.plan("SELECT 1"), engine.confinement, Other(), Cancellation())


@pytest.mark.requirement("executors:target:changed")
def test_the_catalogue_holds_everything_and_its_fingerprint_tells_of_change(shop: Shop, path: Path) -> None:
    change(
        path,
        'CREATE TABLE Odd ("a b" TEXT, b AS (1), PRIMARY KEY ("a b")) WITHOUT ROWID;'
        "CREATE VIRTUAL TABLE f USING fts5 (t)",
    )
    before, now = shop.executors.catalogue("shop"), read_catalogue(shop.executors._connections["shop"])

    assert before.fingerprint != now.fingerprint
    assert [column.name for column in now.tables["odd"].columns] == ["a b", "b"]
    assert (now.tables["odd"].name, now.tables["odd"].has_rowid, now.tables["orders"].has_rowid) == ("Odd", False, True)
    assert (now.tables["words"].kind, now.tables["orders"].kind) == ("view", "table")
    assert [column.name for column in now.tables["f"].columns if column.is_hidden] == ["f", "rank"]
    assert "sqlite_schema" not in now.tables


@pytest.mark.requirement("executors:target:unavailable")
def test_a_broken_view_hides_nothing_but_itself(shop: Shop, path: Path) -> None:
    change(path, "DROP TABLE secrets")

    tables = read_catalogue(shop.executors._connections["shop"]).tables
    assert "words" not in tables
    assert "orders" in tables


@pytest.mark.requirement("executors:alone:confirm")
def test_what_the_engine_reads_differently_is_refused_under_a_rule_of_its_own(shop: Shop) -> None:
    planned = shop.plan({"sql": "SELECT id FROM orders"}, region="EU")
    other = Ungated(shop.path, EU).plan("SELECT note FROM main.orders", region="EU")
    forged = planned.__class__(traced=planned.traced, plan=other)

    with pytest.raises(Refused) as caught:
        shop.execute(forged)
    assert (caught.value.reason, caught.value.rule) == (Reason.SQL_OBJECT_FORBIDDEN, "sql/engine-disagrees")
    assert CANARY not in caught.value.message


@pytest.mark.requirement("executors:stop:cancel")
def test_an_interrupt_never_meets_another_call(path: Path) -> None:
    session = Session(str(path), Ungated(path, EU).confinement, is_fenced=False)
    session._cancellation = running = Cancellation()

    session._stop(Cancellation())
    assert not session._connection.is_interrupted
    session._stop(running)
    assert session._connection.is_interrupted
    session.close()


@pytest.mark.requirement("executors:target:changed")
def test_a_table_that_is_a_view_by_now_is_not_read(path: Path) -> None:
    rules = {"big_orders": open_table("big_orders", "id"), "words": open_table("words", "id")}
    engine = Ungated(path, rules)
    engine.confinement = replace(engine.confinement, views=frozenset({"words"}))

    with pytest.raises(PlanStale, match="big_orders"):
        engine.run("SELECT id FROM words")


@pytest.mark.requirement("executors:results:values")
@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("(1), (NULL)", "integer"),
        ("(1), (2.5)", "real"),
        ("(1), ('x')", "any"),
        ("(NULL), (NULL)", "null"),
        ("('x'), (x'00')", "any"),
    ],
)
def test_a_column_is_typed_by_its_cells(shop: Shop, rows: str, found: str) -> None:
    executed = shop.call({"sql": "WITH v (a) AS (VALUES ?) SELECT a FROM v".replace("?", rows)})

    assert executed.columns[0].type == found


@pytest.mark.requirement("executors:results:names")
def test_a_column_without_as_is_called_by_its_expression(shop: Shop) -> None:
    executed = shop.call({"sql": "SELECT cents AS Cents, count(*) FROM orders"}, region="EU")

    assert [column.name for column in executed.columns] == ["Cents", "count(*)"]
