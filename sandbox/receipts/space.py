"""Is there room for the log? Operators are told before there is none, and calls are refused before they run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from sandbox.settings import LogSettings
from sandbox.telemetry.events import note, warn

LOOK_EVERY_S: Final = 1.0
TELL_EVERY_S: Final = 60.0
MIB: Final = 1024 * 1024


def free_bytes(folder: Path) -> int:
    """Return what the file system of a folder has left for whoever is not root (statvfs(3))."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


@final
class Space:
    """The room that is left for the log, looked at once a second by the thread that writes it."""

    def __init__(self, folder: Path, settings: LogSettings, measure: Callable[[Path], int] = free_bytes) -> None:
        """Look at the file system of `folder`, now and with each `look`."""
        self._folder = folder
        self._settings = settings
        self._measure = measure
        self._look_at = self._tell_at = float("-inf")
        self._is_low = False
        self.is_short = False
        """Whether less is left than `log.least_free_mib`: nothing may run whose record might find no room."""

    def look(self, now: float) -> None:
        """Measure if it is time, and tell operators once a minute while there is less than `log.alarm_free_mib`."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        try:
            free_mib = self._measure(self._folder) // MIB
        except OSError:  # writing will find out
            return
        self.is_short = free_mib < self._settings.least_free_mib
        was_low, self._is_low = self._is_low, self.is_short or free_mib < self._settings.alarm_free_mib
        if self._is_low and (now >= self._tell_at or not was_low):
            self._tell_at = now + TELL_EVERY_S
            warn("log space low", free_mib=free_mib, refused_below_mib=self._settings.least_free_mib)
        elif was_low and not self._is_low:
            note("log space enough", free_mib=free_mib)
