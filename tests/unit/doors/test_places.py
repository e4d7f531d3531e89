"""Are places given to each principal, given back, and forgotten?"""

from __future__ import annotations

import pytest

from sandbox.doors.rpc.places import Places
from sandbox.reasons import Reason, Refused

requirement = pytest.mark.requirement


@requirement("doors:streams:places")
def test_one_more_than_each_may_hold_is_refused_and_others_are_not() -> None:
    places = Places(2, "streams")

    with places.take("alice"), places.take("alice"):
        with pytest.raises(Refused, match="2 streams are open") as refused, places.take("alice"):
            pytest.fail("a third place was given")
        with places.take("bob"):
            assert len(places) == 2
    assert refused.value.reason is Reason.RATE_LIMITED

    with places.take("alice"), places.take("alice"):
        assert len(places) == 1


@requirement("doors:streams:places")
def test_who_holds_no_place_leaves_nothing_behind() -> None:
    places = Places(1, "streams")
    for i in range(100):
        with places.take(f"principal {i}"):
            assert len(places) == 1

    assert len(places) == 0
