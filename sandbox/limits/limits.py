"""Within rates and concurrency? What is charged before a call is planned, and what a refusal tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, final

from sandbox.limits.counts import Counts, Here
from sandbox.limits.patience import Patience
from sandbox.reasons import Reason, Refused, quoted
from sandbox.settings import LimitSettings
from sandbox.stages import Principal, ValidatedCall
from sandbox.toolspec import Rate, ToolName

RATE: Final = "limits/rate"
CONCURRENCY: Final = "limits/concurrency"
COLD_PARSE: Final = "limits/cold-parse"

CONCURRENCY_RETRY_S: Final = 0.1
"""When a place among concurrent calls frees up cannot be known; this is a polite guess."""

_NOTHING_HELD: Final[AbstractContextManager[None]] = nullcontext()


@final
class Limits:
    """The rates and places of one service. They outlive reloads: new rates apply to what is already spent."""

    def __init__(
        self,
        settings: LimitSettings,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
        counts: Counts | None = None,
    ) -> None:
        """Count in `counts`, or in this process with nothing spent. `clock` is seconds, monotonic."""
        self._patience = patience or Patience()
        self._settings = settings
        self._clock = clock
        self._counts = counts or Here(settings.window_seconds)

    def spend(self, validated: ValidatedCall, *, is_answered: bool) -> AbstractContextManager[None]:
        """Take a place among the tool's concurrent calls, for the block, and charge the rate of principal and tool.

        The last place is never taken by a principal who holds all the others, so that one cannot shut out everybody.
        A call refused by either is charged nothing and holds nothing. An answered call is not charged again.
        """
        limits = validated.spec.limits
        if is_answered or (limits.rate is None and limits.concurrency is None):
            return _NOTHING_HELD
        subject, tool = validated.authenticated.principal.subject, validated.spec.name
        share = None
        if limits.concurrency is not None:
            share = self._counts.take_place(tool, subject, limits.concurrency)
            if share is None:
                message = f"{quoted(tool)} runs {_at_once(limits.concurrency)}; try again when one has ended"
                raise self._held_back(self._limited(CONCURRENCY, message, CONCURRENCY_RETRY_S, subject, tool))
        if limits.rate is not None:
            try:
                self._charge(limits.rate, subject, tool)
            except Refused as refused:
                if share is not None:
                    share.leave()
                raise self._held_back(refused) from None
        return share or _NOTHING_HELD

    def spend_cold_parse(self, principal: Principal) -> None:
        """Charge one SQL text not met before; raises `Refused` with the delay until the next is accepted."""
        per_s, burst = self._settings.cold_parses_per_second, self._settings.cold_parse_burst
        delay = self._counts.take_cold_parse(principal.subject, per_s, burst, self._clock())
        if delay > 0.0:
            message = f"over {per_s} new SQL texts a second; repeat a text met before, or wait {_shown(delay)}"
            raise self._held_back(self._limited(COLD_PARSE, message, delay, principal.subject, ""))

    def _charge(self, rate: Rate, subject: str, tool: ToolName) -> None:
        delay = self._counts.take_call(subject, tool, rate.calls / rate.seconds, rate.calls, self._clock())
        if delay > 0.0:
            message = f"{quoted(tool)} takes {rate.calls} calls in {rate.seconds:g} s; wait {_shown(delay)}"
            raise self._limited(RATE, message, delay, subject, tool)

    def _held_back(self, refused: Refused) -> Refused:
        """Return the refusal, after a while if it is not the first of its window."""
        if not refused.is_recorded:
            self._patience.hold()
        return refused

    def _limited(self, rule: str, message: str, delay: float, subject: str, tool: str) -> Refused:
        is_first = self._counts.is_first(subject, tool, rule, self._clock())
        return Refused(Reason.RATE_LIMITED, message, rule=rule, retry_after_s=delay, is_recorded=is_first)


def _at_once(most: int) -> str:
    return "1 call at once" if most == 1 else f"{most} calls at once, of one caller {most - 1}"


def _shown(delay: float) -> str:
    """Return `delay` rounded up, for who waits what is written must not be told to wait again."""
    return f"{int(delay * 1000) + 1} ms" if delay < 1.0 else f"{int(delay * 10) / 10 + 0.1:.1f} s"
