"""Where do arguments come from, and how do results leave?"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from executor_cast import EU, Shop, make_database, tool
from hypothesis import given
from hypothesis import strategies as st

from sandbox.flow.cells import encoded_rows
from sandbox.reasons import Reason, Refused
from sandbox.stages import Origin, Truncation
from sandbox.toolspec import ToolLimits
from sandbox.values import Cell, Row

CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(st.characters()), st.binary(max_size=20)
)
ROWS = st.lists(st.tuples(CELLS, CELLS), max_size=20)
ROOM = 10**6


def by_contract(cell: Cell) -> object:
    """The encoding as docs/contract.md has it, written again."""
    match cell:
        case int():
            return str(cell) if abs(cell) > 2**53 else cell
        case float() if math.isnan(cell):
            return "NaN"
        case float() if math.isinf(cell):
            return "Infinity" if cell > 0 else "-Infinity"
        case bytes():
            return base64.b64encode(cell).decode()
        case str():
            return cell.encode("utf-8", "replace").decode()
        case _:
            return cell


@pytest.mark.requirement("flow:cells:exact")
@given(ROWS)
def test_cells_are_encoded_by_the_contract(rows: list[Row]) -> None:
    encoded, kept = encoded_rows(rows, ROOM)

    assert kept == len(rows)
    assert json.loads(encoded) == [[by_contract(cell) for cell in row] for row in rows]


@pytest.mark.requirement("flow:cells:exact")
@pytest.mark.parametrize(
    ("cell", "encoded"),
    [
        (2**53, b"9007199254740992"),
        (2**53 + 1, b'"9007199254740993"'),
        (-(2**53) - 1, b'"-9007199254740993"'),
        (float("inf"), b'"Infinity"'),
        (float("-inf"), b'"-Infinity"'),
        (float("nan"), b'"NaN"'),
        (b"\x00\xff", b'"AP8="'),
        ("a\0b", b'"a\\u0000b"'),
        ("\ud800x", b'"?x"'),
        ("null", b'"null"'),
        (None, b"null"),
        (1.0, b"1.0"),
    ],
)
def test_special_cells(cell: Cell, encoded: bytes) -> None:
    assert encoded_rows([(cell,)], ROOM) == (b"[[" + encoded + b"]]", 1)


@pytest.mark.requirement("flow:cells:cut")
@given(ROWS, st.integers(2, 400))
def test_as_many_rows_as_fit_and_no_more(rows: list[Row], room: int) -> None:
    whole, _ = encoded_rows(rows, ROOM)
    try:
        encoded, kept = encoded_rows(rows, room)
    except Refused as refused:
        encoded, kept = b"", 0
        reason = refused.reason
    else:
        reason = None

    assert (reason is Reason.RESULT_TOO_LARGE) == (len(encoded_rows(rows[:1], ROOM)[0]) > room)
    if reason is not None:
        return
    assert len(encoded) <= room
    assert json.loads(encoded) == json.loads(whole)[:kept]
    assert kept == len(rows) or len(encoded_rows(rows[: kept + 1], ROOM)[0]) > room


@pytest.mark.requirement("flow:cells:cut")
def test_a_cut_is_stated(tmp_path: Path) -> None:
    shop = Shop(make_database(tmp_path / "shop.db"), (tool(tables=EU, limits=ToolLimits(max_bytes=18)),))
    body = shop.release({"sql": "SELECT id, id FROM customers ORDER BY id"}).body

    assert (body.rows_json, body.row_count, body.truncation) == (b"[[1,1],[2,2]]", 2, Truncation.BYTES)
    assert shop.release({"sql": "SELECT id FROM customers"}).body.truncation is Truncation.NONE
    shop.executors.close()


@pytest.mark.requirement("flow:cells:cut")
def test_omitted_columns_are_stated(tmp_path: Path) -> None:
    shop = Shop(make_database(tmp_path / "shop.db"), (tool(tables=EU),))
    omitted = shop.release({"sql": "SELECT * FROM customers"}).body.omitted

    assert [(one.relation, one.count) for one in omitted] == [("customers", 1)]
    shop.executors.close()


@pytest.mark.requirement("flow:origin:model")
@pytest.mark.parametrize("names", [(), ("sql",), ("a", "b")])
def test_every_argument_is_the_model_s(tmp_path: Path, names: Sequence[str]) -> None:
    shop = Shop(make_database(tmp_path / "shop.db"), (tool(tables=EU),))
    traced = shop.flow.trace(shop.validated(dict.fromkeys(names, 1), {}, "", None))

    assert dict(traced.origins) == dict.fromkeys(names, Origin.MODEL)
    shop.executors.close()


@pytest.mark.requirement("flow:cells:exact")
def test_booleans_stay_booleans_whatever_stands_beside_them() -> None:
    assert encoded_rows([(True, False, 1)], 100) == (b"[[true,false,1]]", 1)
    assert encoded_rows([(True, float("nan"), b"x", 2**60)], 100) == (b'[[true,"NaN","eA==","1152921504606846976"]]', 1)
