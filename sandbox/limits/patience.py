"""What keeps a caller from asking again at once? An answer that takes its time.

Refusing is cheap, but not free: a caller who repeats refused calls as fast as they are answered takes the CPU from
everybody else. So refusals after the first of a window are held back a little, for a bounded number of callers at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, final

HOLD_S: Final = 0.05
"""How long: a caller with one connection repeats itself at most 20 times a second."""

HELD_AT_ONCE: Final = 32
"""How many: each holds a thread, of `server.threads`; beyond it refusals are answered at once."""


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@final
class Patience:
    """Holds back answers."""

    def __init__(self, pause: Callable[[float], None] = _pause) -> None:
        """Pause with `pause`, in seconds."""
        self._pause = pause
        self._places = threading.Semaphore(HELD_AT_ONCE)

    def hold(self) -> bool:
        """Wait a little, unless too many are waiting; whether it waited."""
        if not self._places.acquire(blocking=False):
            return False
        try:
            self._pause(HOLD_S)
        finally:
            self._places.release()
        return True
