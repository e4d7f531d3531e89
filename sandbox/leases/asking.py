"""How does a lease ask a secret store or an authorization server? Within the call it is for, and for one small answer.

# INVARIANT: nothing of an answer leaves this package but the secret itself, in its wrapper; troubles have fixed words.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final

import jiter

from sandbox.outbound.destinations import request_bytes
from sandbox.outbound.wire import Destination, Failed, Question, exchange
from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation
from sandbox.values import JsonObject, JsonValue

MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer; a token or an entry of secrets is smaller."""


@final
@dataclass(frozen=True, slots=True)
class CallBounds:
    """When the call that a lease is for ends, and what stops it before."""

    deadline: float = float("inf")
    """`time.monotonic()` seconds."""
    cancellation: Cancellation = field(default_factory=Cancellation)

    @classmethod
    def of_call(cls, max_seconds: float, cancellation: Cancellation) -> CallBounds:
        """Return the bounds of a call that may take `max_seconds` from now, and no longer than its caller waits."""
        end = time.monotonic() + max_seconds
        return cls(min(end, cancellation.deadline or float("inf")), cancellation)

    def within(self, seconds: float) -> float:
        """Return the deadline of something that may take `seconds` of the call."""
        return min(self.deadline, time.monotonic() + seconds)

    def over(self) -> Refused | None:
        """Return the refusal if the call is over; None while it goes on."""
        if self.cancellation.is_cancelled:
            return Refused(Reason.CALL_CANCELLED, "the call was stopped before it ran", rule="limits/cancelled")
        if time.monotonic() >= self.deadline:
            message = "the time for this call ran out before it ran"
            return Refused(Reason.EXECUTION_TIMED_OUT, message, rule="limits/seconds")
        return None


@final
@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered."""

    status: int
    document: JsonObject = field(repr=False)
    """The JSON object of the body; empty if there is none."""


def ask(  # noqa: PLR0913, PLR0917 - the parts of a request, and its bounds
    to: Destination,
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    bounds: CallBounds,
    seconds: float,
) -> Reply:
    """Send a request and return the answer, whatever its status; raises `Failed`, or `Refused` if the call is over."""
    authority = f"[{to.host}]" if ":" in to.host else to.host
    own = (
        ("Host", authority if to.port == (80 if to.tls is None else 443) else f"{authority}:{to.port}"),
        ("User-Agent", "tool-sandbox"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        ("Content-Length", str(len(body))),
    )
    question = Question(request_bytes(method, target, (*own, *headers), body), lambda _: True, MAX_ANSWER)
    try:
        answer = exchange(to, question, bounds.within(seconds), bounds.cancellation)
    except Failed:
        if refused := bounds.over():
            raise refused from None
        raise
    return Reply(answer.status, _object(answer.body))


def _object(body: bytes) -> JsonObject:
    try:
        document: JsonValue = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
