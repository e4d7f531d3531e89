"""Which part of a list does a request ask for?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.doors.pages import MAX_PAGE, page_of
from sandbox.reasons import Reason, Refused


@pytest.mark.requirement("doors:pages:bounded")
@given(items=st.lists(st.integers(), max_size=50), size=st.integers(1, 20))
def test_pages_in_order_give_every_item_once(items: list[int], size: int) -> None:
    seen: list[int] = []
    token = ""
    while True:
        page, token = page_of(items, size, token)
        assert len(page) <= size
        seen += page
        if not token:
            break
    assert seen == items


OUT_OF_RANGE = [(-1, ""), (MAX_PAGE + 1, ""), (0, "-1"), (0, "x"), (0, "1" * 20), (0, "¹")]


@pytest.mark.requirement("doors:pages:bounded")
@pytest.mark.parametrize(("size", "token"), OUT_OF_RANGE)
def test_what_is_out_of_range_is_refused(size: int, token: str) -> None:
    with pytest.raises(Refused) as refused:
        page_of([1, 2, 3], size, token)
    assert refused.value.reason is Reason.REQUEST_INVALID
