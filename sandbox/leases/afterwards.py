"""How is a credential given back once its call is over? At once, but nobody waits for it who was told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from sandbox.outbound.wire import Failed
from sandbox.reasons import Refused
from sandbox.stages import Cancellation
from sandbox.telemetry.events import note_often

WAIT_S: Final = 1.0
"""For which an answer waits until its credential is void; whoever gives back more slowly does so behind it."""
MAX_UNDER_WAY: Final = 256
"""In one process; beyond it credentials are left to their own end, and operators are told."""

_PLACES: Final = threading.BoundedSemaphore(MAX_UNDER_WAY)


def give_back(revoke: Callable[[], None], event: str, kind: str, cancellation: Cancellation) -> None:
    """Do it in a thread of its own; tell operators of `event` if that fails. Never raises."""
    done = threading.Event()

    def work() -> None:
        try:
            revoke()
        except Failed as failed:
            note_often(event, kind, causes=failed.trouble)
        except Refused:
            note_often(event, kind, causes="secret unreadable")
        finally:
            _PLACES.release()
            done.set()

    if not _PLACES.acquire(blocking=False):
        note_often(event, kind, causes="too many")
        return
    try:
        threading.Thread(target=work, name="give back", daemon=True).start()
    except RuntimeError:  # no thread can be had
        _PLACES.release()
        note_often(event, kind, causes="no thread")
        return
    cancellation.on_cancel(done.set)
    done.wait(WAIT_S)
    cancellation.forget(done.set)
