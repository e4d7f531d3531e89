"""Does the memory of limits stay within its bounds?"""

from __future__ import annotations

import pytest
from limits_cast import Clock, call, limits_with

from sandbox.limits import buckets, windows
from sandbox.limits.buckets import Buckets
from sandbox.limits.windows import Windows
from sandbox.reasons import Refused

pytestmark = pytest.mark.requirement("limits:memory:bounded")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "MAX_BUCKETS", 2_000)
    monkeypatch.setattr(windows, "MAX_WINDOWS", 100)


def test_full_buckets_are_forgotten() -> None:
    found = Buckets()
    for number in range(50_000):
        assert found.take(number, 1.0, 1.0, float(number)) == 0.0
        assert len(found) <= 1_100


def test_spent_buckets_are_kept_while_full_ones_go() -> None:
    found = Buckets()
    assert found.take("spent", 1e-6, 1.0, 0.0) == 0.0
    for number in range(5_000):
        found.take(number, 1.0, 1.0, float(number))
    assert found.take("spent", 1e-6, 1.0, 5_000.0) > 0.0


def test_at_the_cap_a_new_key_waits_and_an_old_one_is_not_refilled() -> None:
    found = Buckets()
    for number in range(2_000):
        assert found.take(number, 0.01, 1.0, 0.0) == 0.0
    delay = found.take("new", 0.01, 1.0, 0.0)
    assert 0.0 < delay <= buckets.SWEEP_SECONDS
    assert len(found) == 2_000
    assert found.take(7, 0.01, 1.0, 0.0) == pytest.approx(100.0)
    assert found.take("new", 0.01, 1.0, delay) > 0.0
    assert found.take("new", 0.01, 1.0, 100.0) == 0.0


def test_windows_that_ended_are_forgotten_and_beyond_the_cap_nothing_is_first() -> None:
    found = Windows(60.0)
    assert all(found.is_first(number, 0.0) for number in range(100))
    assert not found.is_first("new", 59.0)
    assert len(found) == 100
    assert found.is_first("new", 60.0)
    assert len(found) == 1


def test_refusing_many_principals_records_no_more_than_the_cap() -> None:
    limits = limits_with(Clock())
    recorded = 0
    for number in range(500):
        validated = call(f"agent-{number}", rate=(1, 60.0))
        limits.spend(validated, is_answered=False)
        with pytest.raises(Refused) as caught:
            limits.spend(validated, is_answered=False)
        recorded += caught.value.is_recorded
    assert recorded == 100
