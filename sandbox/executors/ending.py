"""When must a call end, and how is its caller told? In the same words, whichever engine ran it."""

from __future__ import annotations

import time
from typing import Final

from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation, SqlPlan

CONNECT_S: Final = 10.0
"""Within which a server answers a question of ours, connecting included; a call's own time is shorter mostly."""
BACKSTOP_S: Final = 0.5
"""How long after its time a server stops a statement by itself, should this process not."""


class Over(Exception):
    """Time is over, or the call was cancelled."""


def end_of(plan: SqlPlan, cancellation: Cancellation) -> float:
    """Return when a call that begins now must end (`time.monotonic()` seconds); raises `Refused` if it is over."""
    now = time.monotonic()
    end = now + plan.max_seconds
    if cancellation.deadline is not None and cancellation.deadline < end:
        end = cancellation.deadline
    if cancellation.is_cancelled:
        raise Refused(Reason.CALL_CANCELLED, "the call was stopped before it ran", rule="limits/cancelled")
    if now >= end:
        raise timed_out()
    return end


def failed(word: str, sentence: str) -> Refused:
    """Return the refusal for a statement that the engine stopped; `word` is the stable class."""
    return Refused(Reason.SQL_FAILED, f"the engine stopped the statement: {sentence}", rule="sql/failed", error=word)


def timed_out() -> Refused:
    """Return the refusal for a call whose time, or whose caller's time, ran out."""
    message = "the time for this call ran out and the engine was stopped; a narrower query is accepted"
    return Refused(Reason.EXECUTION_TIMED_OUT, message, rule="limits/seconds")


def cancelled() -> Refused:
    """Return the refusal for a call that was cancelled while it ran."""
    return Refused(Reason.CALL_CANCELLED, "the call was stopped, at the engine too", rule="limits/cancelled")
