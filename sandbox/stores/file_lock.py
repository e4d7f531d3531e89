"""How is a file locked against other processes, fairly and in time? The system's own waiting has no timeout."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from sandbox.stores.log import StoreUnavailable


@final
class FileLock:
    """An open file's lock against other processes, taken by one thread at a time."""

    def __init__(self, descriptor: int) -> None:
        """Lock the file behind `descriptor`, which stays the caller's."""
        self._descriptor = descriptor
        self._state = threading.Condition()
        self._is_waiting = False
        """A thread of its own waits in the system: fair, and without a timeout. There is never more than one."""
        self._is_wanted = False

    def take(self, timeout_s: float) -> None:
        """Take the lock; raises `StoreUnavailable` if other processes keep it for longer than `timeout_s`."""
        with self._state:
            if not self._is_waiting:
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    # The same open file, so the lock is the caller's; it outlives the caller's if that is closed.
                    again = os.dup(self._descriptor)
                    self._is_waiting = True
                    threading.Thread(target=self._wait, args=(again,), name="log lock", daemon=True).start()
                else:
                    return
            self._is_wanted = True
            is_taken = self._state.wait_for(lambda: not self._is_waiting, timeout_s)
            self._is_wanted = False
        if not is_taken:
            raise StoreUnavailable("another process holds the log for too long")

    def give_back(self) -> None:
        """Let other processes at the file."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _wait(self, descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with self._state:
            if not self._is_wanted:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
            self._is_waiting = False
            self._state.notify_all()


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of the file for the block, unless somebody else does; whether it is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
