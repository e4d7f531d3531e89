"""What keeps a caller from asking again at once?"""

from __future__ import annotations

import threading

import pytest

from sandbox.limits import Limits
from sandbox.limits.patience import HELD_AT_ONCE, HOLD_S, Patience
from sandbox.reasons import Refused
from sandbox.settings import LimitSettings
from sandbox.stages import Principal

SOMEBODY = Principal(
    subject="alice",
    actors=(),
    roles=frozenset(),
    tools=("*",),
    claims={},
    token_id="t",
    token_digest=b"",
    certificate_digest=b"",
    expires_at=0,
)


@pytest.mark.requirement("limits:patience:held")
def test_the_first_refusal_is_told_at_once_and_its_repetitions_are_held() -> None:
    held: list[float] = []
    settings = LimitSettings(cold_parses_per_second=1, cold_parse_burst=1)
    limits = Limits(settings, lambda: 0.0, Patience(held.append))
    limits.spend_cold_parse(SOMEBODY)
    for count in (0, 1, 2):
        with pytest.raises(Refused):
            limits.spend_cold_parse(SOMEBODY)
        assert held == [HOLD_S] * count


@pytest.mark.requirement("limits:patience:held")
def test_no_more_callers_are_held_than_there_is_room_for() -> None:
    inside = threading.Semaphore(0)
    ending = threading.Event()

    def pause(_: float) -> None:
        inside.release()
        assert ending.wait(10)

    patience = Patience(pause)
    held = [threading.Thread(target=patience.hold) for _ in range(HELD_AT_ONCE)]
    for thread in held:
        thread.start()
        assert inside.acquire(timeout=10)
    assert patience.hold() is False
    ending.set()
    for thread in held:
        thread.join()
