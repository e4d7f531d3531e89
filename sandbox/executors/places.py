"""How many statements run on one database at once? So many; whoever comes later waits for a place, within its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from sandbox.executors.ending import Over
from sandbox.stages import Cancellation


@final
class Places:
    """A number of places, each for one call at a time."""

    def __init__(self, number: int) -> None:
        """Begin with `number` free places."""
        self._free = number
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, until: float, cancellation: Cancellation) -> Iterator[None]:
        """Hold a place for the block; raises `Over` if none is free before `until` or a cancellation."""
        self._take(until, cancellation)
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify()

    def _take(self, until: float, cancellation: Cancellation) -> None:
        with self._changed:
            if self._free > 0:
                self._free -= 1
                return
        cancellation.on_cancel(self._wake)
        try:
            with self._changed:
                while self._free <= 0:
                    left = until - time.monotonic()
                    if left <= 0 or cancellation.is_cancelled:
                        raise Over
                    self._changed.wait(left)
                self._free -= 1
        finally:
            cancellation.forget(self._wake)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
