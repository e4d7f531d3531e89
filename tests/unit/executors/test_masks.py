"""Does a mask give a cell for every cell, and hide what it should?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.executors.masks import MASKS
from sandbox.toolspec import MaskName
from sandbox.values import Cell

CELLS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(), st.binary())


@pytest.mark.requirement("executors:masks:total")
@pytest.mark.parametrize(
    ("mask", "cell", "shown"),
    [
        ("null", "x", None),
        ("initials", "Ada  King Lovelace", "A.K.L."),
        ("initials", "", ""),
        ("last4", "4111111111111111", "************1111"),
        ("last4", "1234", "****"),
        ("last4", 123456, "**3456"),
        ("year", "1815-12-10", "1815"),
        ("year", "December", None),
        ("year", "18", None),
        ("domain", "ada@example.com", "example.com"),
        ("domain", "ada", None),
        ("domain", "a@b@example.com", "example.com"),
    ],
)
def test_what_each_mask_shows(mask: MaskName, cell: Cell, shown: Cell) -> None:
    assert MASKS[mask](cell) == shown


@pytest.mark.requirement("executors:masks:total")
@given(CELLS)
def test_every_cell_has_a_mask_and_null_stays_null(cell: Cell) -> None:
    for mask in MASKS.values():
        assert isinstance(mask(cell), str | None)
        assert mask(None) is None


@pytest.mark.requirement("executors:masks:total")
@given(st.text(min_size=5))
def test_last4_hides_all_but_four_characters(text: str) -> None:
    shown = MASKS["last4"](text)

    assert shown == "*" * (len(text) - 4) + text[-4:]
