"""Can one principal take all places of a tool, so that nobody else is ever served?"""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from limits_cast import Clock, call, limits_with, refusal_of

from sandbox.limits.counts import Here
from sandbox.limits.limits import CONCURRENCY
from sandbox.reasons import Reason


@pytest.mark.requirement("limits:concurrency:one-principal")
@pytest.mark.parametrize("places", [2, 3, 8])
def test_one_principal_holds_all_places_but_one(places: int) -> None:
    limits = limits_with(Clock())
    with ExitStack() as held:
        for _ in range(places - 1):
            held.enter_context(limits.spend(call("mallory", concurrency=places), is_answered=False))
        refused = refusal_of(limits, call("mallory", concurrency=places))
        assert refused is not None
        assert (refused.reason, refused.rule) == (Reason.RATE_LIMITED, CONCURRENCY)

        held.enter_context(limits.spend(call("bob", concurrency=places), is_answered=False))
        assert refusal_of(limits, call("carol", concurrency=places)) is not None
    assert refusal_of(limits, call("mallory", concurrency=places)) is None


@pytest.mark.requirement("limits:concurrency:one-principal")
def test_a_single_place_is_anybody_s() -> None:
    limits = limits_with(Clock())
    for _ in range(2):
        with limits.spend(call("mallory", concurrency=1), is_answered=False):
            assert refusal_of(limits, call("bob", concurrency=1)) is not None


@pytest.mark.requirement("limits:concurrency:one-principal")
def test_who_holds_nothing_is_not_remembered() -> None:
    limits = limits_with(Clock())
    for number in range(100):
        with limits.spend(call(f"caller {number}", rate=(1, 60.0), concurrency=2), is_answered=False):
            pass
        assert refusal_of(limits, call(f"caller {number}", rate=(1, 60.0), concurrency=2)) is not None

    assert isinstance(limits._counts, Here)
    assert [len(places) for places in limits._counts.places.values()] == [0]
