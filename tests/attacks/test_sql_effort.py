"""Can one text of a few kilobytes keep the gate, and with it every other call, at looking names up?"""

from __future__ import annotations

import sys
from types import FrameType

import pytest
from sql_shop import ask

from sandbox.reasons import Reason, Refused
from sandbox.sql import effort, names, parse, resolve

OFF = 10**12
MODULES = {module.__file__ for module in (effort, names, parse, resolve)}


def wide(columns: int) -> str:
    """Begin a text with a table of so many columns."""
    return f"WITH a AS (SELECT {', '.join(f'1 AS c{number}' for number in range(columns))}) "


def nested(levels: int, columns: int) -> str:
    """Return a text whose innermost names are looked for among 64 tables at each of so many levels."""
    level = "SELECT 1 FROM customers" + ", customers" * 63 + " WHERE 1 + ("
    return level * levels + " + ".join(['"zz"'] * columns) + ")" * levels


ATTACKS = [
    ("sql/effort", wide(128) + "SELECT 1 FROM a" + " NATURAL JOIN a" * 63),
    ("sql/sources", nested(14, 1_200)),
    ("sql/width", wide(200) + "SELECT *" + ", *" * 300 + " FROM a" + ", a" * 15),
]


def lines_of(sql: str) -> tuple[int, Refused | None]:
    """Return how many lines of the gate's own code a text makes run, and how it was refused."""
    lines = 0

    def count(frame: FrameType, event: str, _: object) -> object:
        nonlocal lines
        if event == "call":
            return count if frame.f_code.co_filename in MODULES else None
        lines += 1
        return count

    refusal: Refused | None = None
    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        ask(sql)
    except Refused as refused:
        refusal = refused
    finally:
        sys.settrace(before)
    return lines, refusal


@pytest.mark.requirement("sql:attacks:effort")
@pytest.mark.parametrize(("rule", "sql"), ATTACKS, ids=[rule for rule, _ in ATTACKS])
def test_a_small_text_cannot_make_much_work(rule: str, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded, refusal = lines_of(sql)
    with monkeypatch.context() as patch:
        for bound in ("MAX_STEPS", "MAX_SOURCES", "MAX_COLUMNS"):
            patch.setattr(effort, bound, OFF)
        unbounded, permitted = lines_of(sql)

    assert len(sql) < 20_000
    assert refusal is not None
    assert (refusal.reason, refusal.rule) == (Reason.SQL_UNPARSABLE, rule)
    assert permitted is None, "nothing else stops it"
    assert bounded < 10 * effort.MAX_STEPS
    assert unbounded > 4 * bounded
    assert unbounded > 2_000_000
