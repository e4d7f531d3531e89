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
class Randomness(threading.local):
    """Random bytes, drawn for each thread apart; a process that forks off draws its own."""

    _bytes = b""
    _at = 0

    def draw(self, count: int) -> bytes:
        """Return `count` random bytes."""
        # INVARIANT: no byte is given twice; what is left and too short is thrown away.
        start, end = self._at, self._at + count
        if end > len(self._bytes):
            self._bytes = os.urandom(max(DRAWN_BYTES, count))
            start, end = 0, count
        self._at = end
        return self._bytes[start:end]

    def forget(self) -> None:
        """Throw away what this thread has drawn."""
        self._bytes, self._at = b"", 0


RANDOMNESS: Final = Randomness()
"""That of this process."""
os.register_at_fork(after_in_child=RANDOMNESS.forget)
