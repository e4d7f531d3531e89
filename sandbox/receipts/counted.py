"""How is refusing kept from filling the disk? Refusals beyond a bound are counted, one record a window."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final, final

from sandbox.settings import LimitSettings

MINUTE_S: Final = 60.0
MAX_KEYS: Final = 10_000
"""Tallies held at once; beyond it they are written early, for memory is bounded too."""

_Key = tuple[str, str, str]


@final
class RefusalBook:
    """Tallies by principal, tool and reason, and how many refusals each principal still has recorded one by one."""

    def __init__(self, settings: LimitSettings) -> None:
        """Begin empty."""
        self._settings = settings
        self._lock = threading.Lock()
        self._tallies: dict[_Key, int] = {}
        self._ends: dict[_Key, float] = {}
        self._recorded: dict[str, tuple[float, int]] = {}

    def may_record(self, subject: str, now: float) -> bool:
        """Count one recorded refusal of the principal; whether it is within the bound of this minute."""
        with self._lock:
            ends, count = self._recorded.get(subject, (0.0, 0))
            if now >= ends:
                if len(self._recorded) > MAX_KEYS:
                    self._recorded = {s: (e, c) for s, (e, c) in self._recorded.items() if e > now}
                ends, count = now + MINUTE_S, 0
            self._recorded[subject] = (ends, count + 1)
            return count < self._settings.recorded_refusals_per_minute

    def seconds_until_recorded(self, subject: str, now: float) -> float:
        """Return the rest of the principal's minute."""
        with self._lock:
            return max(0.0, self._recorded.get(subject, (now, 0))[0] - now)

    def tally(self, subject: str, tool: str, reason: str, now: float) -> None:
        """Count a refusal that has no record of its own."""
        key = (subject, tool, reason)
        with self._lock:
            self._tallies[key] = self._tallies.get(key, 0) + 1
            self._ends.setdefault(key, now + self._settings.window_seconds)

    def put_back(self, tallies: Iterable[tuple[str, str, str, int]], now: float) -> None:
        """Take back tallies that could not be written."""
        with self._lock:
            for subject, tool, reason, count in tallies:
                key = (subject, tool, reason)
                self._tallies[key] = self._tallies.get(key, 0) + count
                self._ends.setdefault(key, now)

    def due(self, now: float, *, is_everything: bool) -> list[tuple[str, str, str, int]]:
        """Take out the tallies whose window has ended, or all."""
        if not self._tallies:
            return []
        with self._lock:
            is_full = is_everything or len(self._tallies) > MAX_KEYS
            ended = [key for key, ends in self._ends.items() if is_full or now >= ends]
            for key in ended:
                del self._ends[key]
            return [(*key, self._tallies.pop(key)) for key in ended]
