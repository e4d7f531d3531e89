"""How is a file locked against other processes, fairly and in time? The system's own waiting has no timeout."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import final

from sandbox.stores.log import StoreUnavailable


def lock_file(descriptor: int, timeout_s: float) -> None:
    """Lock a file against other processes; raises `StoreUnavailable` if they keep it for longer than `timeout_s`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _Waiting(descriptor).take(timeout_s)


@final
class _Waiting:
    """Waits for a file lock in a thread of its own, for the system's own waiting is fair but knows no timeout."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        """The same open file, so the lock is the caller's; it outlives the caller's if that is closed meanwhile."""
        self._lock = threading.Lock()
        self._is_wanted = True
        self._taken = threading.Event()

    def take(self, timeout_s: float) -> None:
        threading.Thread(target=self._wait, name="log lock", daemon=True).start()
        if self._taken.wait(timeout_s):
            return
        with self._lock:
            self._is_wanted = self._taken.is_set()
        if not self._is_wanted:
            raise StoreUnavailable("another process holds the log for too long")

    def _wait(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._lock:
            if self._is_wanted:
                self._taken.set()
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
