"""How is a credential given back once its call is over? At once, but nobody waits for it who has no time.

# INVARIANT: a process that ends in good order has given back what it was lent, or has told that it could not.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, final

from sandbox.leases.asking import CallBounds
from sandbox.outbound.wire import Failed
from sandbox.reasons import Refused
from sandbox.telemetry.events import broke, note, warn_often

WAIT_S: Final = 1.0
"""For which an answer waits at most until its credential is void; whoever gives back more slowly does so behind it."""
SETTLE_S: Final = 6.0
"""How long a process that ends waits for what is under way: longer than any revocation may take."""
MAX_UNDER_WAY: Final = 256
"""In one process; beyond it credentials are left to their own end, and operators are told."""


@final
class _Return:
    """One credential on its way back."""

    def __init__(self, revoke: Callable[[], None], event: str, kind: str) -> None:
        self._revoke = revoke
        self.event = event
        self.kind = kind

    def go(self) -> None:
        try:
            self._revoke()
        except Failed as failed:
            self.tell(failed.trouble)
        except Refused:
            self.tell("secret unreadable")
        except Exception as error:  # noqa: BLE001 - nobody else hears of it
            broke(self.event, error, kind=self.kind)

    def tell(self, cause: str) -> None:
        warn_often(self.event, self.kind, causes=cause)


@final
class Returns:
    """All that are under way in this process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._changed = threading.Condition()
        self._under_way: set[_Return] = set()
        self._is_hurried = False

    def begin(self, revoke: Callable[[], None], event: str, kind: str, waits: CallBounds | None = None) -> None:
        """Give one back in a thread of its own; tell operators of `event` if that fails. Never raises.

        The call whose bounds `waits` are waits for it a little, so that its answer comes after its credential's end.
        """
        one = _Return(revoke, event, kind)
        with self._changed:
            is_full = len(self._under_way) >= MAX_UNDER_WAY
            if not is_full:
                self._under_way.add(one)
        if is_full:
            one.tell("too many")
            return
        woken = threading.Event()
        try:
            threading.Thread(target=self._go, args=(one, woken), name="give back", daemon=True).start()
        except RuntimeError:  # no thread can be had
            self._end(one)
            one.tell("no thread")
            return
        if waits is not None:
            waits.cancellation.on_cancel(woken.set)
            woken.wait(max(0.0, min(WAIT_S, waits.deadline - time.monotonic())))
            waits.cancellation.forget(woken.set)

    def settle(self, seconds: float = SETTLE_S) -> None:
        """Wait for what is under way, as every process does at its end; tells operators of what is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_hurried or not self._under_way, seconds)
            left = Counter((one.event, one.kind) for one in self._under_way)
        for (event, kind), times in left.items():
            note(event, kind=kind, times=times, causes="the process ended")

    def hurry(self) -> None:
        """Have a process that ends wait no longer for what is under way."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()

    def _go(self, one: _Return, woken: threading.Event) -> None:
        try:
            one.go()
        finally:
            self._end(one)
            woken.set()

    def _end(self, one: _Return) -> None:
        with self._changed:
            self._under_way.discard(one)
            self._changed.notify_all()


RETURNS: Final = Returns()
atexit.register(RETURNS.settle)
