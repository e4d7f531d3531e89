"""Can names of columns carry more out, and into the log, than a tool's `max_bytes`?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from executor_cast import EU, Shop, make_database, tool

from sandbox.executors.results import MAX_HEADING_BYTES
from sandbox.reasons import Reason
from sandbox.toolspec import ToolLimits


def columns(name: str, number: int, rows: str = "") -> str:
    """Return a text whose result has `number` columns of one name, which the text holds once."""
    others = "".join(f", a AS b{n}" for n in range(number - 1))
    return f'WITH a AS (SELECT 1 AS "{name}") SELECT * FROM a{others}{rows}'  # noqa: S608 - a test


@pytest.fixture
def shop_of(tmp_path: Path) -> Iterator[Callable[[int], Shop]]:
    shops: list[Shop] = []

    def opened(max_bytes: int) -> Shop:
        limits = ToolLimits(max_bytes=max_bytes)
        shops.append(Shop(make_database(tmp_path / "shop.db"), (tool(tables=EU, limits=limits),)))
        return shops[-1]

    yield opened
    for shop in shops:
        shop.executors.close()


@pytest.mark.requirement("executors:results:heading")
@pytest.mark.parametrize(
    ("max_bytes", "name", "number"),
    [
        (1_000, "x" * 1_001, 1),
        (1_000, "x" * 51, 20),
        (1_000, "é" * 26, 20),
        (4 * 1024 * 1024, "x" * 1_025, MAX_HEADING_BYTES // 1_024),
    ],
)
def test_names_count_as_rows_do(shop_of: Callable[[int], Shop], max_bytes: int, name: str, number: int) -> None:
    shop = shop_of(max_bytes)
    sql = columns(name, number)

    for _ in range(2):  # prepared anew, and out of the session's memory
        refused = shop.refusal({"sql": sql})
        assert (refused.reason, refused.rule) == (Reason.RESULT_TOO_LARGE, "limits/max-bytes")
        assert "AS" in refused.message
    assert shop.query(columns("x" * 50, 20)) == [(1,) * 20]


@pytest.mark.requirement("executors:results:heading")
def test_names_too_long_are_refused_before_a_row_is_computed(shop_of: Callable[[int], Shop]) -> None:
    rows = ", (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)"

    assert shop_of(1_000).refusal({"sql": columns("x" * 1_001, 1, rows)}).reason is Reason.RESULT_TOO_LARGE
