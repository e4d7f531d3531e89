"""What has been spent, and who holds a place? Counted here, or in memory that processes share (`shared.py`)."""

from __future__ import annotations

from typing import Protocol, final

from sandbox.limits.buckets import Buckets
from sandbox.limits.places import Places
from sandbox.limits.windows import Windows
from sandbox.toolspec import ToolName


class Place(Protocol):
    """A place among the concurrent calls of a tool, given back when its block is left, or by `leave`."""

    def leave(self) -> None:
        """Give it back."""
        ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class Counts(Protocol):
    """What limits are counted in. Each `take` that is a rate returns 0.0, or the seconds until one would pass."""

    def take_call(self, subject: str, tool: ToolName, per_s: float, burst: float, now: float) -> float:
        """Charge a call of a tool to a principal."""
        ...

    def take_cold_parse(self, subject: str, per_s: float, burst: float, now: float) -> float:
        """Charge a SQL text not met before to a principal."""
        ...

    def is_first(self, subject: str, tool: str, rule: str, now: float) -> bool:
        """Whether this refusal is the first of its window, which it opens then."""
        ...

    def take_place(self, tool: ToolName, subject: str, most: int) -> Place | None:
        """Take one of `most` places of a tool; None if all are taken, or all but one by this principal alone."""
        ...


@final
class Here:
    """Counts of one process."""

    def __init__(self, window_seconds: float) -> None:
        """Begin with nothing spent and nobody there."""
        self._calls = Buckets()
        self._cold_parses = Buckets()
        self._windows = Windows(window_seconds)
        self.places: dict[ToolName, Places] = {}

    def take_call(self, subject: str, tool: ToolName, per_s: float, burst: float, now: float) -> float:
        """Charge a call."""
        return self._calls.take((subject, tool), per_s, burst, now)

    def take_cold_parse(self, subject: str, per_s: float, burst: float, now: float) -> float:
        """Charge a text."""
        return self._cold_parses.take(subject, per_s, burst, now)

    def is_first(self, subject: str, tool: str, rule: str, now: float) -> bool:
        """Ask the window of this principal, tool and rule."""
        return self._windows.is_first((subject, tool, rule), now)

    def take_place(self, tool: ToolName, subject: str, most: int) -> Place | None:
        """Take a place."""
        places = self.places.get(tool) or self.places.setdefault(tool, Places())
        return places.take(subject, most)
