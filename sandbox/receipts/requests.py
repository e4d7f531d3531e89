"""Was this asked before? The keyed digests under which a `request_id` is remembered."""

from __future__ import annotations

import time
from typing import Final

from sandbox.reasons import Reason, Refused
from sandbox.receipts.log import ExecutionLog
from sandbox.receipts.running import RequestKey
from sandbox.stages import Answer, AuthenticatedCall, Principal

MAX_REQUEST_ID: Final = 128
HOUR_US: Final = 3_600_000_000

_PASSING: Final = frozenset({Reason.RATE_LIMITED, Reason.EXECUTOR_UNAVAILABLE, Reason.CALL_CANCELLED})
"""Refusals that say nothing about the request itself; asking again under the same id asks anew. Whose connection broke
has cancelled its call, and a `request_id` is there so that it may ask again."""


def request_key(log: ExecutionLog, authenticated: AuthenticatedCall) -> RequestKey | None:
    """Return the key of a call's `request_id`; None where it has none. Raises `Refused` with `REQUEST_INVALID`."""
    proposed = authenticated.proposed
    if not proposed.request_id:
        return None
    if len(proposed.request_id) > MAX_REQUEST_ID:
        message = f"`request_id` has {len(proposed.request_id)} characters; at most {MAX_REQUEST_ID} are accepted"
        raise Refused(Reason.REQUEST_INVALID, message, is_recorded=False)
    flags = b"explain" if proposed.validate_only else b"run"
    content = log.root.derive(b"request content", _bytes(proposed.tool), proposed.arguments_json, flags)
    key = lookup_key(log, authenticated.principal, proposed.request_id)
    return RequestKey(key, content, time.time_ns() // 1000 + log.settings.log.request_id_hours * HOUR_US)


def lookup_key(log: ExecutionLog, principal: Principal, request_id: str) -> bytes:
    """Return the key that a principal's `request_id` has under one token."""
    return log.root.derive(b"request", _bytes(principal.subject), principal.token_digest, _bytes(request_id))


def is_remembered(answer: Answer) -> bool:
    """Whether the answer stands for later requests with the same id."""
    return not (isinstance(answer, Refused) and answer.reason in _PASSING)


def replayed() -> Refused:
    """Return the refusal of other bytes under a `request_id` that has been used."""
    message = "this `request_id` was used with another tool or other arguments; choose a new one"
    return Refused(Reason.CALL_REPLAYED, message, is_recorded=False)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
