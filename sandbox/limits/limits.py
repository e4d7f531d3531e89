"""Within rates and concurrency? What is charged before a call is planned, and what a refusal tells."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final, final

from sandbox.limits.buckets import MAX_BUCKETS, Buckets
from sandbox.reasons import Reason, Refused
from sandbox.settings import LimitSettings
from sandbox.stages import Principal, ValidatedCall
from sandbox.toolspec import ToolLimits, ToolName

CONCURRENCY_RETRY_S: Final = 0.1
"""When a place among concurrent calls frees up cannot be known; this is a polite guess."""

_NOTHING_HELD: Final[AbstractContextManager[None]] = nullcontext()


@final
class Limits:
    """The rates and places of one process."""

    def __init__(self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing spent. `clock` is seconds, monotonic."""
        self._settings = settings
        self._clock = clock
        self._buckets = Buckets()
        self._lock = threading.Lock()
        self._running: Counter[ToolName] = Counter()
        self._windows: dict[Hashable, float] = {}

    def spend(self, validated: ValidatedCall, *, is_answered: bool) -> AbstractContextManager[None]:
        """Charge the rate of principal and tool, and hold a place among the tool's concurrent calls for the block."""
        spec = validated.spec
        if is_answered:
            return _NOTHING_HELD
        if spec.limits.rate is not None:
            self._charge(validated.authenticated.principal.subject, spec.name, spec.limits)
        if spec.limits.concurrency is None:
            return _NOTHING_HELD
        return self._place(validated.authenticated.principal.subject, spec.name, spec.limits.concurrency)

    def spend_cold_parse(self, principal: Principal) -> None:
        """Charge one SQL text not met before; raises `Refused` with the delay until the next is accepted."""
        per_s, burst = self._settings.cold_parses_per_second, self._settings.cold_parse_burst
        delay = self._buckets.take(("cold", principal.subject), per_s, burst, self._clock())
        if delay > 0.0:
            message = f"more new SQL texts than {per_s} a second; repeat a text met before, or wait {delay:.3f} s"
            raise self._limited("limits/cold-parse", message, delay, (principal.subject, "", "cold"))

    def _charge(self, subject: str, tool: ToolName, limits: ToolLimits) -> None:
        rate = limits.rate
        if rate is None:
            return
        delay = self._buckets.take((subject, tool), rate.calls / rate.seconds, float(rate.calls), self._clock())
        if delay > 0.0:
            message = f"more than {rate.calls} calls in {rate.seconds:g} s to this tool; wait {delay:.3f} s"
            raise self._limited("limits/rate", message, delay, (subject, tool, "rate"))

    def _place(self, subject: str, tool: ToolName, most: int) -> AbstractContextManager[None]:
        with self._lock:
            if self._running[tool] < most:
                self._running[tool] += 1
                return _Place(self, tool)
        message = f"{most} calls of this tool are running; try again when one has ended"
        raise self._limited("limits/concurrency", message, CONCURRENCY_RETRY_S, (subject, tool, "concurrency"))

    def leave(self, tool: ToolName) -> None:
        """Give back a place."""
        with self._lock:
            self._running[tool] -= 1

    def _limited(self, rule: str, message: str, delay: float, key: Hashable) -> Refused:
        return Refused(
            Reason.RATE_LIMITED,
            message,
            rule=rule,
            retry_after_s=delay,
            is_recorded=self._is_first_in_window(key),
        )

    def _is_first_in_window(self, key: Hashable) -> bool:
        now = self._clock()
        with self._lock:
            if len(self._windows) > MAX_BUCKETS:
                self._windows = {k: ends for k, ends in self._windows.items() if ends > now}
            if now < self._windows.get(key, float("-inf")):
                return False
            self._windows[key] = now + self._settings.window_seconds
            return True


@final
class _Place:
    """A held place among concurrent calls."""

    __slots__ = ("_limits", "_tool")

    def __init__(self, limits: Limits, tool: ToolName) -> None:
        self._limits = limits
        self._tool = tool

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits.leave(self._tool)
