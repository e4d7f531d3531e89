"""How far has something come that takes long? Told on stderr, once it has taken some seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

PROGRESS_AFTER_S: Final = 2.0
ASKS_SERVERS: Final = "still at it; a database server that takes no connection is given up after 10 s"
"""For commands that may ask servers, and may as well take long over files, examples or HTTP."""


def told_progress() -> Callable[[int, int], None]:
    """Return what tells (done, whole) records."""
    begun = time.monotonic()

    def tell(done: int, whole: int) -> None:
        if time.monotonic() - begun > PROGRESS_AFTER_S:
            sys.stderr.write(f"\r{done} of {whole} records")
            if done >= whole:
                sys.stderr.write("\n")

    return tell


@contextmanager
def told_wait(what: str) -> Iterator[None]:
    """Tell once that the command waits, and what for, if what it does takes longer than `PROGRESS_AFTER_S`."""
    timer = threading.Timer(PROGRESS_AFTER_S, lambda: sys.stderr.write(f"{what} ...\n"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
