"""How does a waiting session learn that its call must end? A bell wakes it, from any thread."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import final


@final
class Bell:
    """Wakes a waiting session, from any thread. It only wakes: why it rang is for the waiting thread to find out."""

    __slots__ = ("_guard", "_reading", "_writing")

    def __init__(self) -> None:
        """Begin silent."""
        self._guard = threading.Lock()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    def fileno(self) -> int:
        """Return what becomes readable."""
        return self._reading

    def ring(self) -> None:
        """Wake whoever waits; returns at once."""
        with self._guard, suppress(BlockingIOError):  # INVARIANT: a late ring never reaches a descriptor used anew
            if self._writing >= 0:
                os.write(self._writing, b"!")

    def hush(self) -> None:
        """Be silent again."""
        with suppress(BlockingIOError):
            os.read(self._reading, 4096)

    def close(self) -> None:
        """Ring no more."""
        with self._guard:
            os.close(self._reading)
            os.close(self._writing)
            self._reading = self._writing = -1
