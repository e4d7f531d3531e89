"""Do the limits let through what a plain token bucket in exact numbers would, and nothing else?"""

from __future__ import annotations

import os
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits_cast import Clock, call, limits_with, refusal_of

from sandbox.limits import Limits
from sandbox.limits.patience import Patience
from sandbox.limits.shared import SharedCounts, make_memory
from sandbox.reasons import Refused
from sandbox.settings import LimitSettings

KEYS = [(subject, tool) for subject in ("alice", "bob") for tool in ("shop.a", "shop.b")]
QUARTERS = st.integers(min_value=-4, max_value=40).map(lambda number: number / 4)
"""Steps of time that floats hold exactly, some of them backwards."""


class PlainBucket:
    def __init__(self, calls: int) -> None:
        self.level = Fraction(calls)
        self.at = Fraction(0)

    def delay(self, calls: int, seconds: int, now: Fraction) -> Fraction:
        per_s = Fraction(calls, seconds)
        self.level = min(Fraction(calls), self.level + (now - self.at) * per_s)
        self.at = now
        if self.level >= 1:
            self.level -= 1
            return Fraction(0)
        return (1 - self.level) / per_s


@pytest.mark.requirement("limits:rate:model")
@given(
    calls=st.integers(1, 12),
    seconds=st.sampled_from([1, 2, 16, 60]),
    steps=st.lists(st.tuples(QUARTERS, st.sampled_from(KEYS)), max_size=120),
)
def test_every_sequence_passes_as_in_the_model(
    calls: int, seconds: int, steps: list[tuple[float, tuple[str, str]]]
) -> None:
    clock = Clock(64.0)
    limits = limits_with(clock)
    model: dict[tuple[str, str], PlainBucket] = {}
    latest = Fraction(0)
    for step, key in steps:
        clock.now += step
        latest = max(latest, Fraction(clock.now))
        bucket = model.setdefault(key, PlainBucket(calls))
        bucket.at = bucket.at or latest
        expected = bucket.delay(calls, seconds, latest)
        refused = refusal_of(limits, call(*key, rate=(calls, float(seconds))))
        told = 0.0 if refused is None else refused.retry_after_s
        assert told == pytest.approx(float(expected), abs=2e-6)


@pytest.mark.requirement("limits:rate:model")
@given(
    calls=st.integers(1, 20),
    seconds=st.floats(0.5, 100.0),
    steps=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=200),
)
def test_no_span_of_time_holds_more_than_a_burst_and_its_steps(calls: int, seconds: float, steps: list[float]) -> None:
    clock = Clock()
    limits, validated = limits_with(clock), call(rate=(calls, seconds))
    passed: list[float] = []
    for step in steps:
        clock.now += step
        refused = refusal_of(limits, validated)
        if refused is None:
            passed.append(clock.now)
        else:
            assert 0.0 < refused.retry_after_s <= seconds / calls * (1 + 1e-9)
    for first, begin in enumerate(passed):
        for last, end in enumerate(passed[first:], start=first):
            assert last - first + 1 <= calls + (end - begin) * calls / seconds + 1e-3


@pytest.mark.requirement("limits:rate:model")
@given(calls=st.integers(1, 50), seconds=st.floats(0.01, 1e5), start=st.floats(0.0, 1e7), waits=st.integers(1, 20))
def test_waiting_as_told_always_passes(calls: int, seconds: float, start: float, waits: int) -> None:
    clock = Clock(start)
    limits, validated = limits_with(clock), call(rate=(calls, seconds))
    for _ in range(calls):
        limits.spend(validated, is_answered=False)
    for _ in range(waits):
        with pytest.raises(Refused) as caught:
            limits.spend(validated, is_answered=False)
        clock.now += caught.value.retry_after_s
        limits.spend(validated, is_answered=False)


@pytest.mark.requirement("limits:workers:rate")
@given(
    calls=st.integers(1, 12),
    seconds=st.sampled_from([1, 2, 16, 60]),
    steps=st.lists(st.tuples(QUARTERS.filter(lambda step: step >= 0), st.sampled_from(KEYS), st.booleans())),
)
def test_spread_over_processes_every_sequence_passes_as_in_the_model(
    calls: int, seconds: int, steps: list[tuple[float, tuple[str, str], bool]]
) -> None:
    clock, memory = Clock(64.0), make_memory()
    counts = [SharedCounts(memory, b"s" * 32, 60.0, number, 2) for number in range(2)]
    limits = [Limits(LimitSettings(), clock, Patience(pause=lambda _: None), each) for each in counts]
    model: dict[tuple[str, str], PlainBucket] = {}
    try:
        for step, key, is_other in steps:
            clock.now += step
            bucket = model.setdefault(key, PlainBucket(calls))
            expected = bucket.delay(calls, seconds, Fraction(clock.now))
            refused = refusal_of(limits[is_other], call(*key, rate=(calls, float(seconds))))
            told = 0.0 if refused is None else refused.retry_after_s
            assert told == pytest.approx(float(expected), abs=2e-6)
    finally:
        for each in counts:
            each.close()
        os.close(memory)
