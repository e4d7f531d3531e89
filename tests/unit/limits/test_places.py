"""Do only so many calls of a tool run at once?"""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from limits_cast import Clock, call, limits_with

from sandbox.limits.limits import CONCURRENCY, CONCURRENCY_RETRY_S
from sandbox.reasons import Reason, Refused


@pytest.mark.requirement("limits:concurrency:held-for-the-block")
def test_places_are_held_over_all_principals_and_freed_in_any_order() -> None:
    limits = limits_with(Clock())
    with ExitStack() as held:
        held.enter_context(limits.spend(call("alice", concurrency=2), is_answered=False))
        with limits.spend(call("bob", concurrency=2), is_answered=False):
            with pytest.raises(Refused) as caught:
                limits.spend(call("carol", concurrency=2), is_answered=False)
            assert (caught.value.reason, caught.value.rule) == (Reason.RATE_LIMITED, CONCURRENCY)
            assert caught.value.retry_after_s == CONCURRENCY_RETRY_S
            limits.spend(call("carol", "shop.other", concurrency=2), is_answered=False)
        held.enter_context(limits.spend(call("carol", concurrency=2), is_answered=False))
    for who in ("dave", "erin"):
        limits.spend(call(who, concurrency=2), is_answered=False)


@pytest.mark.requirement("limits:concurrency:held-for-the-block")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Refused])
def test_a_place_is_freed_however_its_call_ends(error: type[BaseException]) -> None:
    limits, validated = limits_with(Clock()), call(concurrency=1)
    raised = Refused(Reason.SQL_FAILED, "") if error is Refused else error()
    for _ in range(3):
        with pytest.raises(error), limits.spend(validated, is_answered=False):
            raise raised
    with limits.spend(validated, is_answered=False):
        pass


@pytest.mark.requirement("limits:concurrency:held-for-the-block")
def test_a_smaller_number_counts_the_places_already_taken() -> None:
    limits = limits_with(Clock())
    with (
        limits.spend(call("alice", concurrency=3), is_answered=False),
        limits.spend(call("bob", concurrency=3), is_answered=False),
    ):
        with pytest.raises(Refused):
            limits.spend(call("carol", concurrency=2), is_answered=False)
        with limits.spend(call("carol", concurrency=3), is_answered=False):
            pass


@pytest.mark.requirement("limits:concurrency:refused-costs-nothing")
def test_a_call_refused_for_concurrency_is_not_charged() -> None:
    limits, validated = limits_with(Clock()), call(rate=(2, 60.0), concurrency=1)
    with limits.spend(validated, is_answered=False):
        for _ in range(5):
            with pytest.raises(Refused, match="at once"):
                limits.spend(validated, is_answered=False)
    with limits.spend(validated, is_answered=False):
        pass
    with pytest.raises(Refused, match="calls in"):
        limits.spend(validated, is_answered=False)


@pytest.mark.requirement("limits:concurrency:refused-costs-nothing")
def test_a_call_refused_by_rate_holds_no_place() -> None:
    clock = Clock()
    limits, validated = limits_with(clock), call(rate=(1, 60.0), concurrency=1)
    with limits.spend(validated, is_answered=False):
        pass
    for _ in range(5):
        with pytest.raises(Refused, match="calls in"):
            limits.spend(validated, is_answered=False)
    with limits.spend(call("bob", rate=(1, 60.0), concurrency=1), is_answered=False):
        pass


@pytest.mark.requirement("limits:concurrency:held-for-the-block")
def test_threads_never_hold_more_places_than_there_are() -> None:
    limits = limits_with(Clock())
    inside, most, lock = 0, 0, threading.Lock()

    def work(subject: str) -> None:
        nonlocal inside, most
        validated = call(subject, concurrency=3)
        for _ in range(300):
            try:
                with limits.spend(validated, is_answered=False):
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    with lock:
                        inside -= 1
            except Refused:
                continue

    threads = [threading.Thread(target=work, args=(f"caller {number // 2}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3
    with ExitStack() as held:
        for subject in ("alice", "bob", "carol"):
            held.enter_context(limits.spend(call(subject, concurrency=3), is_answered=False))
