"""Does an answer look the same on the wire however often it is sent, and is what is remembered bounded?"""

from __future__ import annotations

import pytest

from sandbox.doors import wire
from sandbox.stages import CallId, ResultBody, ResultColumn, SealedResult, Truncation

COLUMNS = (ResultColumn("id", "integer", "INTEGER"), ResultColumn("id", "text", ""))


def sealed(columns: tuple[ResultColumn, ...], rows_json: bytes) -> SealedResult:
    body = ResultBody(columns=columns, rows_json=rows_json, row_count=1, truncation=Truncation.NONE, omitted=())
    return SealedResult(call_id=CallId("c"), tool="t", answer=body, receipt=b"r")


@pytest.mark.requirement("doors:wire:columns")
def test_columns_sent_again_are_the_same_and_carry_nothing_of_the_last_result() -> None:
    first = wire.execute_response(sealed(COLUMNS, b'[[1,"a"]]')).result
    again = wire.execute_response(sealed(COLUMNS, b'[[2,"b"]]')).result

    assert [(c.name, c.type, c.declared_type) for c in again.columns] == [
        ("id", "integer", "INTEGER"),
        ("id", "text", ""),
    ]
    assert (first.rows_json, again.rows_json) == (b'[[1,"a"]]', b'[[2,"b"]]')


@pytest.mark.requirement("doors:wire:columns")
def test_what_is_remembered_of_columns_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: dict[int, object] = {}
    monkeypatch.setattr(wire, "_COLUMNS", remembered)
    monkeypatch.setattr(wire, "MAX_REMEMBERED", 2)

    for i in range(5):
        wire.execute_response(sealed((ResultColumn(f"c{i}", "integer", ""),), b"[[1]]"))
    wire.execute_response(sealed((ResultColumn("x" * wire.MAX_REMEMBERED_BYTES, "text", ""),), b"[[1]]"))

    assert 0 < len(remembered) <= 2
    assert all(len(columns[0].name) < 10 for columns, _ in remembered.values())
