"""How far has something come that takes long? Told on stderr, once it has taken some seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

PROGRESS_AFTER_S: Final = 2.0


def told_progress() -> Callable[[int, int], None]:
    """Return what tells (done, whole) records."""
    begun = time.monotonic()

    def tell(done: int, whole: int) -> None:
        if time.monotonic() - begun > PROGRESS_AFTER_S:
            sys.stderr.write(f"\r{done} of {whole} records")
            if done >= whole:
                sys.stderr.write("\n")

    return tell
