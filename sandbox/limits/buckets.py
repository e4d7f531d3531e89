"""How much of a rate is left? Token buckets, one a key, in bounded memory.

A bucket holds `burst` tokens at most and gains `per_s` a second: after a pause `burst` calls pass at once, then one
every 1/`per_s` seconds. Our own few lines rather than a library: the exact delay until the next try is part of the
contract, a reload may change the rate of a bucket in use, and a bucket costs two numbers where a window of timestamps
would cost one for each call.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Final, final

MAX_BUCKETS: Final = 65_536
"""Keys remembered at once. With none of them full again, a further key has to wait."""
SWEEP_SECONDS: Final = 1.0
"""At the cap, full buckets are looked for once in so long, so that new keys cannot make us search all the time."""
_FIRST_SWEEP: Final = 1_024
_EARLY_S: Final = 1e-6
"""So much too early counts as in time, for who waits the delay that was told must not be told to wait again. What is
taken early is owed, so nobody gains."""


def one_taken(level: float, passed_s: float, per_s: float, burst: float) -> tuple[float, float]:
    """Return what a bucket holds once a token was asked of it after `passed_s` seconds, and 0.0 or the exact delay."""
    level = min(level + passed_s * per_s, burst)
    if level + _EARLY_S * per_s < 1.0:
        return level, (1.0 - level) / per_s
    return level - 1.0, 0.0


@final
class _Bucket:
    __slots__ = ("at", "burst", "level", "per_s")

    def __init__(self, level: float, at: float) -> None:
        self.level = level
        self.at = at
        self.per_s = 0.0
        self.burst = level

    def is_full(self, now: float) -> bool:
        return self.level + (now - self.at) * self.per_s >= self.burst


@final
class Buckets:
    """Token buckets that begin full."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._buckets: dict[Hashable, _Bucket] = {}
        self._now = float("-inf")
        self._sweep_at = _FIRST_SWEEP
        self._next_sweep = float("-inf")

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)

    def take(self, key: Hashable, per_s: float, burst: float, now: float) -> float:
        """Take one token; returns 0.0, or the exact seconds until one is there (then none is taken).

        A changed `per_s` or `burst` takes effect at once and gives nobody tokens back.
        """
        with self._lock:
            # INVARIANT: a clock that steps back gives nothing: time stands still until it has caught up.
            now = max(now, self._now)
            self._now = now
            bucket = self._buckets.get(key)
            if bucket is None:
                if len(self._buckets) >= self._sweep_at and not self._has_room(now):
                    return self._next_sweep - now
                bucket = self._buckets[key] = _Bucket(burst, now)
            bucket.level, delay = one_taken(bucket.level, now - bucket.at, per_s, burst)
            bucket.at, bucket.per_s, bucket.burst = now, per_s, burst
            return delay

    def _has_room(self, now: float) -> bool:
        """Forget the full buckets, which changes nothing for anybody, and say whether one more can be kept."""
        if now >= self._next_sweep or len(self._buckets) < MAX_BUCKETS:
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now)}
            self._sweep_at = min(MAX_BUCKETS, max(_FIRST_SWEEP, 2 * len(self._buckets)))
            self._next_sweep = now + SWEEP_SECONDS
        return len(self._buckets) < MAX_BUCKETS
