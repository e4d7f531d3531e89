"""Do rates hold, to the very moment?"""

from __future__ import annotations

import pytest
from limits_cast import Clock, call, limits_with, principal

from sandbox.limits.limits import RATE
from sandbox.reasons import Reason, Refused
from sandbox.stages import ValidatedCall


def refusal(limits: object, validated: ValidatedCall) -> Refused:
    with pytest.raises(Refused) as caught:
        limits.spend(validated, is_answered=False)  # type: ignore[attr-defined]
    assert caught.value.reason is Reason.RATE_LIMITED
    return caught.value


@pytest.mark.requirement("limits:rate:burst-then-steady")
def test_a_full_rate_passes_at_once_and_then_in_steps() -> None:
    clock = Clock()
    limits, validated = limits_with(clock), call(rate=(30, 60.0))
    for _ in range(30):
        limits.spend(validated, is_answered=False)
    assert refusal(limits, validated).rule == RATE
    clock.now += 2.0
    limits.spend(validated, is_answered=False)
    refusal(limits, validated)
    clock.now += 3_600.0
    for _ in range(30):
        limits.spend(validated, is_answered=False)
    refusal(limits, validated)


@pytest.mark.requirement("limits:rate:exact-delay")
@pytest.mark.parametrize("rate", [(30, 60.0), (1, 1.0), (7, 3.0), (3, 86_400.0), (1_000, 0.7), (7, 0.011)])
@pytest.mark.parametrize("start", [0.0, 1e-3, 1_234_567.891, 1e8])
def test_the_told_delay_is_exact(rate: tuple[int, float], start: float) -> None:
    clock = Clock(start)
    limits, validated = limits_with(clock), call(rate=rate)
    for _ in range(rate[0]):
        limits.spend(validated, is_answered=False)
    clock.now += rate[1] / rate[0] / 3
    told = refusal(limits, validated).retry_after_s
    assert 0.0 < told <= rate[1] / rate[0]
    before = clock.now
    clock.now = before + told * 0.99
    refusal(limits, validated)
    clock.now = before + told
    limits.spend(validated, is_answered=False)


@pytest.mark.requirement("limits:rate:exact-delay")
def test_the_message_says_no_shorter_delay_than_the_field() -> None:
    limits, validated = limits_with(Clock()), call(rate=(1, 0.5))
    limits.spend(validated, is_answered=False)
    refused = refusal(limits, validated)
    assert refused.message == "`shop.query` takes 1 calls in 0.5 s; wait 501 ms"
    assert refused.retry_after_s == 0.5
    slow = call(rate=(1, 10.0), tool="shop.slow")
    limits.spend(slow, is_answered=False)
    assert refusal(limits, slow).message.endswith("wait 10.1 s")


@pytest.mark.requirement("limits:rate:per-principal-and-tool")
def test_principals_and_tools_have_rates_of_their_own() -> None:
    limits = limits_with(Clock())
    limits.spend(call("alice", rate=(1, 60.0)), is_answered=False)
    limits.spend(call("bob", rate=(1, 60.0)), is_answered=False)
    limits.spend(call("alice", "shop.other", rate=(1, 60.0)), is_answered=False)
    limits.spend(call("alice", "shop.unlimited"), is_answered=False)
    refusal(limits, call("alice", rate=(1, 60.0)))
    refusal(limits, call("bob", rate=(1, 60.0)))


@pytest.mark.requirement("limits:rate:clock-back")
def test_a_clock_that_steps_back_gives_nothing() -> None:
    clock = Clock()
    limits, validated = limits_with(clock), call(rate=(1, 10.0))
    limits.spend(validated, is_answered=False)
    clock.now -= 500.0
    assert refusal(limits, validated).retry_after_s == 10.0
    clock.now += 400.0
    refusal(limits, validated)
    clock.now += 109.9
    refusal(limits, validated)
    clock.now += 0.1
    limits.spend(validated, is_answered=False)


@pytest.mark.requirement("limits:rate:survives-reload")
def test_a_changed_rate_does_not_refill_what_is_spent() -> None:
    clock = Clock()
    limits = limits_with(clock)
    for _ in range(10):
        limits.spend(call(rate=(10, 60.0)), is_answered=False)
    assert refusal(limits, call(rate=(100, 60.0))).retry_after_s == pytest.approx(0.6)
    clock.now += 0.6
    limits.spend(call(rate=(100, 60.0)), is_answered=False)
    clock.now += 3_600.0
    limits.spend(call(rate=(2, 60.0)), is_answered=False)
    limits.spend(call(rate=(2, 60.0)), is_answered=False)
    refusal(limits, call(rate=(2, 60.0)))


@pytest.mark.requirement("limits:answered:not-charged")
def test_an_answered_call_is_charged_nothing() -> None:
    limits, validated = limits_with(Clock()), call(rate=(1, 60.0), concurrency=1)
    for _ in range(3):
        limits.spend(validated, is_answered=True)
    with limits.spend(validated, is_answered=False), limits.spend(validated, is_answered=True):
        pass
    assert refusal(limits, validated).rule == "limits/rate"  # the one call of the rate is spent only now


@pytest.mark.requirement("limits:cold-parse:per-principal")
def test_cold_parses_pass_in_a_burst_and_then_by_the_second() -> None:
    clock = Clock()
    limits = limits_with(clock, cold_parses_per_second=20, cold_parse_burst=40)
    for _ in range(40):
        limits.spend_cold_parse(principal())
    with pytest.raises(Refused) as caught:
        limits.spend_cold_parse(principal())
    assert (caught.value.rule, caught.value.reason) == ("limits/cold-parse", Reason.RATE_LIMITED)
    assert caught.value.retry_after_s == pytest.approx(0.05)
    limits.spend_cold_parse(principal("bob"))
    clock.now += caught.value.retry_after_s
    limits.spend_cold_parse(principal())
    with pytest.raises(Refused):
        limits.spend_cold_parse(principal())


@pytest.mark.requirement("limits:refusals:first-of-window-recorded")
def test_only_the_first_refusal_of_a_window_is_recorded() -> None:
    clock = Clock()
    limits, validated = limits_with(clock, window_seconds=60), call(rate=(1, 86_400.0))
    limits.spend(validated, is_answered=False)
    assert [refusal(limits, validated).is_recorded for _ in range(3)] == [True, False, False]
    clock.now += 59.9
    assert not refusal(limits, validated).is_recorded
    clock.now += 0.1
    assert [refusal(limits, validated).is_recorded for _ in range(3)] == [True, False, False]


@pytest.mark.requirement("limits:refusals:first-of-window-recorded")
def test_each_principal_tool_and_limit_has_a_window_of_its_own() -> None:
    limits = limits_with(Clock())
    spent = [call(who, what, rate=(1, 60.0)) for who in ("alice", "bob") for what in ("shop.a", "shop.b")]
    for validated in spent:
        limits.spend(validated, is_answered=False)
        assert refusal(limits, validated).is_recorded
        assert not refusal(limits, validated).is_recorded
    with limits.spend(call(tool="shop.a", concurrency=1), is_answered=False):
        assert refusal(limits, call(tool="shop.a", concurrency=1)).is_recorded
        assert not refusal(limits, call(tool="shop.a", concurrency=1)).is_recorded
