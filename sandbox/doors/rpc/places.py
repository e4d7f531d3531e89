"""How many streams may one principal hold open? So many places each, given back when a stream ends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from sandbox.reasons import Reason, Refused

RETRY_S = 1.0
"""When a place may have become free."""


@final
class Places:
    """The places of one kind of stream."""

    def __init__(self, each: int, what: str) -> None:
        """Give each principal `each` places; `what` they are for, in the plural, is told to whom there is none left."""
        self._each = each
        self._what = what
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many principals hold a place."""
        return len(self._taken)

    @contextmanager
    def take(self, subject: str) -> Iterator[None]:
        """Hold a place of a principal for the block; raises `Refused` with `RATE_LIMITED` where all are taken."""
        with self._lock:
            if self._taken[subject] >= self._each:
                message = f"{self._each} {self._what} are open for this principal; close one first"
                raise Refused(Reason.RATE_LIMITED, message, rule="limits/streams", retry_after_s=RETRY_S)
            self._taken[subject] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[subject] -= 1
                self._taken += Counter()  # who holds none is forgotten
