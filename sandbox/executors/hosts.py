"""Which addresses has a server's host? Asked aside, so that a call waits for a resolver no longer than it may."""

from __future__ import annotations

import threading
import time

from sandbox.executors.ending import Over
from sandbox.outbound.resolver import ask_aside
from sandbox.outbound.wire import system_resolve
from sandbox.stages import Cancellation


def addresses_of(host: str, until: float, cancellation: Cancellation) -> list[str]:
    """Return the addresses of a host, none if it has none; a socket's folder is its own. Raises `Over`."""
    if host.startswith(("/", "@")):
        return [""]
    done = threading.Event()
    cancellation.on_cancel(done.set)
    try:
        found = ask_aside(lambda: system_resolve(host, 0), done, max(0.0, until - time.monotonic()))
    finally:
        cancellation.forget(done.set)
    if not found and (cancellation.is_cancelled or time.monotonic() >= until):
        raise Over
    return list(dict.fromkeys(found))
