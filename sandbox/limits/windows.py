"""Is this the first refusal of its kind in its window? The first is recorded, the others are only counted."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Final, final

MAX_WINDOWS: Final = 65_536
"""Open windows remembered; beyond it a refusal counts as a later one, for refusing must not fill the disk."""


@final
class Windows:
    """The windows that are open, the oldest first."""

    def __init__(self, seconds: float) -> None:
        """Begin with none; each lasts `seconds`."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._began: dict[Hashable, float] = {}

    def __len__(self) -> int:
        """How many windows are remembered."""
        return len(self._began)

    def is_first(self, key: Hashable, now: float) -> bool:
        """Whether no window of `key` is open; opens one then."""
        with self._lock:
            while self._began:
                oldest = next(iter(self._began))
                if now < self._began[oldest] + self._seconds:
                    break
                del self._began[oldest]
            if key in self._began or len(self._began) >= MAX_WINDOWS:
                return False
            self._began[key] = now
            return True
