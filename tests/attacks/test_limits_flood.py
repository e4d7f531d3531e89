"""Can a flood get more than its share, fill the memory or the disk, or lock others out?"""

from __future__ import annotations

import threading

import pytest
from limits_cast import Clock, call, limits_with, principal, refusal_of

from sandbox.reasons import Refused
from sandbox.toolspec import Rate


@pytest.mark.requirement("limits:rate:per-principal-and-tool")
def test_threads_together_get_no_more_than_one_rate() -> None:
    limits, validated = limits_with(Clock()), call(rate=(100, 60.0))
    passed: list[int] = []

    def flood() -> None:
        mine = 0
        for _ in range(500):
            mine += refusal_of(limits, validated) is None
        passed.append(mine)

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 100


@pytest.mark.requirement("limits:rate:per-principal-and-tool")
def test_a_flooding_principal_takes_nothing_from_another() -> None:
    limits = limits_with(Clock(), cold_parses_per_second=1, cold_parse_burst=1)
    limits.spend(call("mallory", rate=(1, 60.0)), is_answered=False)
    limits.spend_cold_parse(principal("mallory"))
    for _ in range(1_000):
        assert refusal_of(limits, call("mallory", rate=(1, 60.0)))
        with pytest.raises(Refused):
            limits.spend_cold_parse(principal("mallory"))
    limits.spend(call("alice", rate=(1, 60.0)), is_answered=False)
    limits.spend_cold_parse(principal("alice"))


@pytest.mark.requirement("limits:refusals:first-of-window-recorded")
def test_ten_thousand_refusals_in_a_window_leave_one_record() -> None:
    limits, validated = limits_with(Clock()), call(rate=(1, 86_400.0))
    limits.spend(validated, is_answered=False)
    recorded = 0
    for _ in range(10_000):
        with pytest.raises(Refused) as caught:
            limits.spend(validated, is_answered=False)
        recorded += caught.value.is_recorded
    assert recorded == 1


@pytest.mark.requirement("limits:rate:survives-reload")
def test_reloading_over_and_over_gives_no_calls_back() -> None:
    limits = limits_with(Clock())
    rates = [Rate(calls, 86_400.0) for calls in (5, 50, 3, 500)] * 20
    passed = 0
    for rate in rates:
        passed += refusal_of(limits, call(rate=(rate.calls, rate.seconds))) is None
    assert passed <= 5
