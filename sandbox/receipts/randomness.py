"""Where do keys, nonces and call ids come from? The system's random bytes, drawn some KiB at a time.

Each `os.urandom` lets every other thread in between, which costs a busy service more than the bytes themselves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final, TypeAlias, final

Draw: TypeAlias = Callable[[int], bytes]
"""Gives so many random bytes, which nobody else is given."""

DRAWN_BYTES: Final = 4 * 1024
"""Some ninety keys with their nonces."""


@final
class Randomness:
    """Random bytes for one thread."""

    __slots__ = ("_at", "_bytes")

    def __init__(self) -> None:
        """Begin with nothing drawn."""
        self._bytes = b""
        self._at = 0

    def draw(self, count: int) -> bytes:
        """Return `count` random bytes."""
        # INVARIANT: no byte is given twice; what is left and too short is thrown away.
        start = self._at
        end = self._at = start + count
        if end > len(self._bytes):
            self._bytes = os.urandom(max(DRAWN_BYTES, count))
            start, self._at = 0, count
        return self._bytes[start : self._at]


_OF_THREAD: Final = threading.local()


def draw(count: int) -> bytes:
    """Return `count` random bytes, on any thread; a process that forks off draws its own."""
    try:
        own: Randomness = _OF_THREAD.own
    except AttributeError:
        own = _OF_THREAD.own = Randomness()
    return own.draw(count)


def _forget() -> None:
    """Forget what the thread that forked had drawn, the only one of the new process."""
    _OF_THREAD.__dict__.clear()


os.register_at_fork(after_in_child=_forget)
