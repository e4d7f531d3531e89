"""Was this asked before? The keyed digests under which a `request_id` is remembered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, final

from sandbox.reasons import Reason, Refused
from sandbox.receipts.log import ExecutionLog
from sandbox.stages import AuthenticatedCall, Principal

MAX_REQUEST_ID: Final = 128
HOUR_US: Final = 3_600_000_000


@final
@dataclass(frozen=True, slots=True)
class RequestKey:
    """Where a request is remembered, and what it said."""

    key: bytes
    content: bytes
    expires_us: int


def request_key(log: ExecutionLog, authenticated: AuthenticatedCall) -> RequestKey | None:
    """Return the key of a call's `request_id`; None where it has none. Raises `Refused` with `REQUEST_INVALID`."""
    proposed = authenticated.proposed
    if not proposed.request_id:
        return None
    if len(proposed.request_id) > MAX_REQUEST_ID:
        message = f"`request_id` has {len(proposed.request_id)} characters; at most {MAX_REQUEST_ID} are accepted"
        raise Refused(Reason.REQUEST_INVALID, message, is_recorded=False)
    flags = b"explain" if proposed.validate_only else b"run"
    content = log.root.derive(b"request content", proposed.tool.encode(), proposed.arguments_json, flags)
    key = lookup_key(log, authenticated.principal, proposed.request_id)
    return RequestKey(key, content, time.time_ns() // 1000 + log.settings.log.request_id_hours * HOUR_US)


def lookup_key(log: ExecutionLog, principal: Principal, request_id: str) -> bytes:
    """Return the key that a principal's `request_id` has under one token."""
    return log.root.derive(b"request", principal.subject.encode(), principal.token_digest, request_id.encode())
