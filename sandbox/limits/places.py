"""Who holds which places among the concurrent calls of one tool? Counted in one process."""

from __future__ import annotations

import threading
from typing import final


@final
class Places:
    """The places among the concurrent calls of one tool, and who holds how many."""

    __slots__ = ("_lock", "_shares", "_taken")

    def __init__(self) -> None:
        """Begin with all of them free."""
        self._lock = threading.Lock()
        self._shares: dict[str, Share] = {}
        self._taken = 0

    def __len__(self) -> int:
        """How many principals hold a place."""
        return len(self._shares)

    def take(self, subject: str, most: int) -> Share | None:
        """Take one of `most` places; None if all are taken, or all but one by this principal alone."""
        with self._lock:
            if self._taken >= most:
                return None
            share = self._shares.get(subject)
            if share is None:
                share = self._shares[subject] = Share(self, subject)
            elif share.held >= most - 1:
                return None
            self._taken += 1
            share.held += 1
            return share

    def leave(self, share: Share) -> None:
        """Give back one place of a share."""
        with self._lock:
            self._taken -= 1
            share.held -= 1
            if not share.held:
                del self._shares[share.subject]


@final
class Share:
    """The places that one principal holds. One object serves them all, for places are alike."""

    __slots__ = ("_places", "held", "subject")

    def __init__(self, places: Places, subject: str) -> None:
        """Begin with none."""
        self._places = places
        self.subject = subject
        self.held = 0

    def leave(self) -> None:
        """Give back one place."""
        self._places.leave(self)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._places.leave(self)
