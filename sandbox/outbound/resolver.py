"""How is the system's resolver asked within bounds? In a thread that can be left behind, and so many at once.

The resolver cannot be stopped, only left. Whoever comes while all places hang gets no answer at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

MAX_RESOLVING: Final = 256
"""Names asked for at once in one process, whoever asks. As many as calls run."""

_PLACES: Final = threading.BoundedSemaphore(MAX_RESOLVING)


def ask_aside(ask: Callable[[], Sequence[str]], done: threading.Event, seconds: float) -> Sequence[str]:
    """Return what `ask` finds in a thread of its own, which sets `done`; waits so many seconds, or until `done` is set.

    Empty where it found nothing by then, or there is no room for one more.
    """
    found: list[Sequence[str]] = []
    places = _PLACES

    def look() -> None:
        try:
            with suppress(OSError, ValueError):  # a host that is no name at all is no `OSError`
                found.append(ask())
        finally:
            places.release()
            done.set()

    if not places.acquire(blocking=False):
        return ()
    try:
        threading.Thread(target=look, name="resolver", daemon=True).start()
    except RuntimeError:  # no thread can be had
        places.release()
        return ()
    done.wait(seconds)
    return found[0] if found else ()
