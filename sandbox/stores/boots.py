"""Which processes that may have left something undone are gone? Each locks a file of its own while it lives.

The lock is the system's: it ends with the process, however that ends. Looking takes a shared lock, so that two who look
at once do not take each other for the owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from pathlib import Path
from typing import final


@final
class Boots:
    """A folder with a locked file for each opening of the log that lives."""

    def __init__(self, folder: Path) -> None:
        """Keep the files in `folder`, made with the first of them."""
        self._folder = folder
        self._held: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def hold(self, boot: bytes) -> None:
        """Be alive from now on as `boot`, until `close`; again changes nothing."""
        with self._lock:
            if boot not in self._held:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                self._held[boot] = _locked(self._path(boot))

    def is_gone(self, boot: bytes) -> bool:
        """Whether nobody lives as `boot`."""
        try:
            descriptor = os.open(self._path(boot), os.O_RDONLY)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def sweep(self) -> None:
        """Remove the files of those that are gone."""
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                except BlockingIOError:
                    continue
                finally:
                    os.close(descriptor)

    def close(self) -> None:
        """Be gone."""
        with self._lock:
            while self._held:
                boot, descriptor = self._held.popitem()
                self._path(boot).unlink(missing_ok=True)
                os.close(descriptor)

    def _path(self, boot: bytes) -> Path:
        return self._folder / boot.hex()


def _locked(path: Path) -> int:
    """Return an open file at `path` whose lock is ours."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # WHY: somebody may have swept the file away before it was locked; the lock of a nameless file tells nobody.
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
