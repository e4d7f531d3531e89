"""Which calls are under way in this process? So that one `request_id` runs once, and a call can be stopped."""

from __future__ import annotations

import threading
from typing import final

from msgspec import Struct

from sandbox.stages import CallId, Cancellation


@final
class RequestKey(Struct, frozen=True):
    """Where a request is remembered, and what it said: keyed digests both."""

    key: bytes
    content: bytes
    expires_us: int


@final
class Running(Struct, frozen=True):
    """A call under way."""

    call_id: CallId
    tool: str
    subject: str
    cancellation: Cancellation
    request: RequestKey | None


@final
class RunningCalls:
    """The calls of one process that have not ended."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = threading.Lock()
        self._by_id: dict[str, Running] = {}
        self._by_request: dict[bytes, Running] = {}

    def begin(self, call: Running) -> Running | None:
        """Note that a call is under way; returns the one already running for the same `request_id`, if any."""
        if call.request is not None:
            with self._lock:
                earlier = self._by_request.setdefault(call.request.key, call)
            if earlier is not call:
                return earlier
        self._by_id[call.call_id] = call
        return None

    def end(self, call: Running) -> None:
        """Forget a call that has ended; one that never began is not there to be forgotten."""
        self._by_id.pop(call.call_id, None)
        if call.request is not None:
            with self._lock:
                if self._by_request.get(call.request.key) is call:
                    del self._by_request[call.request.key]

    def find(self, *, call_id: str = "", request_key: bytes = b"") -> Running | None:
        """Return the call of that id or of that remembered request."""
        return self._by_id.get(call_id) if call_id else self._by_request.get(request_key)
