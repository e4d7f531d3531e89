"""When is that, in words?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def told_time(moment: float, now: float) -> str:
    """Return a moment (seconds since 1970 UTC) as RFC 3339 and how far it is from `now`, in its largest unit.

    A hundredth is made up: 30 days that began a moment ago are 30 days, not 29.
    """
    try:
        stamp = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "beyond reckoning"
    distance = int(abs(moment - now))
    unit, seconds = next((each for each in _UNITS if distance + each[1] // 100 >= each[1]), _UNITS[-1])
    count = (distance + seconds // 100) // seconds
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{stamp} (in {words})" if moment > now else f"{stamp} ({words} ago)"
