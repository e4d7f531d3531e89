"""How much of a rate is left? Token buckets, one a key, in bounded memory.

Thirty lines of our own rather than a library: the exact delay until the next try is part of the contract, and the
clock must be ours in tests.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Final, final

MAX_BUCKETS: Final = 100_000
"""Beyond this many keys the full buckets are forgotten, which changes nothing for anybody."""


@final
class Buckets:
    """Token buckets that begin full."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._levels: dict[Hashable, tuple[float, float, float, float]] = {}

    def take(self, key: Hashable, per_s: float, burst: float, now: float) -> float:
        """Take one token; returns 0.0, or the exact seconds until one is there (then none is taken)."""
        with self._lock:
            level, at, *_ = self._levels.get(key, (burst, now, per_s, burst))
            level = min(burst, level + max(0.0, now - at) * per_s)
            now = max(now, at)  # INVARIANT: a clock that steps back gives nothing and takes nothing
            if level >= 1.0:
                self._levels[key] = (level - 1.0, now, per_s, burst)
                if len(self._levels) > MAX_BUCKETS:
                    self._forget_full(now)
                return 0.0
            self._levels[key] = (level, now, per_s, burst)
            return (1.0 - level) / per_s

    def _forget_full(self, now: float) -> None:
        self._levels = {
            key: (level, at, per_s, burst)
            for key, (level, at, per_s, burst) in self._levels.items()
            if level + (now - at) * per_s < burst
        }
