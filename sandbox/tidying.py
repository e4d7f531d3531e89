"""Does a process that lives long give back what it has freed? The C library keeps it, unless it is asked."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from typing import Final, final

TIDY_EVERY_S: Final = 60.0
_M_ARENA_MAX: Final = -8
"""Of `mallopt` (malloc.h of the GNU C library)."""
ARENAS: Final = 2
"""Heaps of the C library for all threads; it takes eight a core, each of which keeps what its threads freed."""


def share_heaps() -> None:
    """Have threads that are started from now on share heaps, where the C library can do that.

    In an hour's soak the heaps of a worker's threads had twice the size that they have in a young one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)


@final
class Tidying:
    """Gives memory back to the system, once a minute.

    The C library keeps what was freed between what is still used; under an hour of calls and reloads that grew by a
    third of its heap while no more was in use (docs/operating.md, Under fire).
    """

    def __init__(self, trim: Callable[[int], int] | None = None, now: Callable[[], float] = time.monotonic) -> None:
        """Trim with the C library's `malloc_trim`, where it has one, unless `trim` is given."""
        self._trim = trim or getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._now = now
        self._next = now() + TIDY_EVERY_S

    def tick(self) -> None:
        """Do it if it is time."""
        if self._now() >= self._next:
            self._next = self._now() + TIDY_EVERY_S
            gc.collect()
            if self._trim is not None:
                self._trim(0)
