"""How many requests may one principal have under way at the HTTP door? Counted before the body is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from sandbox.doors.trouble import too_many_at_once


@final
class Turns:
    """Counts on the door's own thread, and needs no lock for that."""

    def __init__(self, each: int) -> None:
        """Give each principal so many turns at once."""
        self._each = each
        self._held: dict[str, int] = {}

    @contextmanager
    def taken(self, subject: str) -> Iterator[None]:
        """Count one request for the block; raises `Refused` with `RATE_LIMITED` if that is one too many."""
        held = self._held.get(subject, 0)
        if held >= self._each:
            raise too_many_at_once()
        self._held[subject] = held + 1
        try:
            yield
        finally:
            left = self._held[subject] - 1
            if left:
                self._held[subject] = left
            else:
                del self._held[subject]
