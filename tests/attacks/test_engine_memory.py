"""Can one caller's prepared statements take the memory that everybody's running statements need?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from executor_cast import EU, Shop, make_database, tool

from sandbox.executors import sqlite, sqlite_session
from sandbox.reasons import Reason
from sandbox.toolspec import ToolLimits

MIB = 1024 * 1024

GREEDY = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT i, printf('%.*c', 10000, 'x') AS v FROM n ORDER BY -i"
)


def heavy(number: int, *, doublings: int = 4) -> str:
    """Return a text of 5 KB that takes a megabyte once it is prepared, with 4 doublings."""
    terms = "+".join(f"id*{k}" for k in range(400))
    tables = [f"c0 AS (SELECT {terms} AS id FROM customers WHERE id = {number})"]  # noqa: S608 - a test
    each = "c{1} AS (SELECT id FROM c{0} UNION ALL SELECT id FROM c{0})"
    tables += [each.format(k, k + 1) for k in range(doublings)]
    return f"WITH {', '.join(tables)} SELECT sum(id) FROM c{doublings}"  # noqa: S608 - a test


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[[str], Shop]]:
    shops: list[Shop] = []

    def opened(name: str) -> Shop:
        limits = ToolLimits(seconds=20.0)
        shops.append(Shop(make_database(tmp_path / f"{name}.db"), (tool(tables=EU, limits=limits),)))
        return shops[-1]

    yield opened
    for shop in shops:
        shop.executors.close()


@pytest.fixture(autouse=True)
def _is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite._PROCESS, "_next", float("-inf"))


@pytest.mark.requirement("executors:memory:idle")
def test_prepared_statements_do_not_pile_up(open_shop: Callable[[str], Shop], monkeypatch: pytest.MonkeyPatch) -> None:
    attacker, victim = open_shop("attacker"), open_shop("victim")
    assert victim.query("SELECT count(*) FROM customers") == [(3,)]
    most = apsw.memory_used() + 3 * MIB
    monkeypatch.setattr(sqlite, "MAX_IDLE_BYTES", most)
    monkeypatch.setattr(sqlite, "RELIEF_S", 0.0)

    for number in range(10):
        attacker.query(heavy(number))
        assert apsw.memory_used() < most
    assert victim.query("SELECT count(*) FROM customers") == [(3,)]


@pytest.mark.requirement("executors:memory:idle")
def test_idle_sessions_of_other_files_are_let_go_too_and_not_time_and_again(
    open_shop: Callable[[str], Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    attacker, victim = open_shop("attacker"), open_shop("victim")
    attacker.query(heavy(1))
    executors = [shop.executors._executors["shop"] for shop in (attacker, victim)]
    monkeypatch.setattr(sqlite, "MAX_IDLE_BYTES", 0)
    monkeypatch.setattr(sqlite, "RELIEF_S", 1_000.0)

    victim.query("SELECT 1")
    assert [executor._idle_count for executor in executors] == [0, 0]  # type: ignore[attr-defined] - SQLite's
    victim.query("SELECT 1")
    assert [executor._idle_count for executor in executors] == [0, 1]  # type: ignore[attr-defined] - SQLite's


@pytest.mark.requirement("executors:memory:idle")
def test_who_is_stopped_for_the_memory_of_others_is_not_stopped_again(
    open_shop: Callable[[str], Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    attacker, victim = open_shop("attacker"), open_shop("victim")
    monkeypatch.setattr(sqlite, "RELIEF_S", 1_000.0)
    monkeypatch.setattr(sqlite._PROCESS, "_next", float("inf"))
    before = apsw.memory_used()
    for number in range(6):
        attacker.query(heavy(number))
    monkeypatch.setattr(sqlite, "MAX_IDLE_BYTES", before + MIB)
    monkeypatch.setattr(sqlite_session, "MAX_ENGINE_BYTES", before + 4 * MIB)
    rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999) SELECT count(*) FROM n"

    refused = victim.refusal({"sql": rows})
    assert refused.metadata["error"] == "out_of_memory"
    assert victim.query(rows) == [(9_999,)]
    assert victim.refusal({"sql": GREEDY}).metadata["error"] == "out_of_memory"
    assert victim.query(rows) == [(9_999,)]


@pytest.mark.requirement("executors:memory:statement")
def test_no_statement_takes_much_memory_to_prepare(open_shop: Callable[[str], Shop]) -> None:
    shop = open_shop("shop")
    assert shop.query("SELECT 1") == [(1,)]
    before = apsw.memory_used()

    assert shop.query(heavy(1)) == [(16 * sum(range(400)),)]
    assert apsw.memory_used() - before < 3 * MIB
    refused = shop.refusal({"sql": heavy(1, doublings=7)})
    assert (refused.reason, refused.metadata["error"]) == (Reason.SQL_FAILED, "out_of_memory")
