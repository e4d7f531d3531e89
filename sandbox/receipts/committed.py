"""Where is one record on its way into the log? Its draft, its place, and whoever waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, final

from sandbox.reasons import Fault, Refused
from sandbox.receipts.proof import proof_text
from sandbox.receipts.randomness import Draw
from sandbox.receipts.records import Draft, Entry
from sandbox.stores.log import StoreUnavailable

MAX_WAIT_S: Final = 10.0
"""A call waits no longer for its record; it is then refused, and so are all others until a batch succeeds."""


def nothing() -> None:
    """Do nothing when a record has found its place."""


@final
class Committed:
    """A record that has found its place, or the reason why it has none."""

    __slots__ = (
        "_draft", "_ended", "_late_at", "_told", "_waiting", "entry", "failure", "index", "receipt", "record",
    )  # fmt: skip

    def __init__(self, draft: Draft, ended: Callable[[], None] = nothing, told: Callable[[], None] = nothing) -> None:
        """Begin to wait. On the committer's thread `ended` is called before whoever waits goes on, `told` after."""
        self._draft = draft
        self._ended = ended
        self._told = told
        self._late_at = time.monotonic() + MAX_WAIT_S
        self.index = -1
        self.record = b""
        self.receipt = b""
        self.failure: StoreUnavailable | Fault | Refused | None = None
        self._waiting = threading.Lock()
        self._waiting.acquire()

    @property
    def is_late(self) -> bool:
        """Whether nobody waits for it any longer."""
        return time.monotonic() >= self._late_at

    def wait(self) -> None:
        """Block until the batch is durable and signed.

        Raises `StoreUnavailable` if it is not, or not in time, `Fault` if the entry cannot be made, and `Refused` if
        another process has begun the same request.
        """
        if not self._waiting.acquire(timeout=max(0.0, self._late_at - time.monotonic())):
            raise StoreUnavailable("the log takes too long")
        self._waiting.release()
        if self.failure is not None:
            raise self.failure

    def make(self, draw: Draw) -> bool:
        """Make the entry; one that cannot be made fails alone, and False is returned."""
        try:
            self.entry: Entry = self._draft.entry(draw)
        except BaseException as error:  # noqa: BLE001 - one call's contents must not take the batch with them
            fault = error if isinstance(error, Fault) else Fault("receipts")
            fault.__cause__ = None if fault is error else error
            self.fail(fault)
            return False
        return True

    def place(self, index: int, record: bytes) -> None:
        """Note the place; the batch is not yet durable."""
        self.index, self.record = index, record

    def settle(self, path: bytes, note: bytes) -> None:
        """Write the receipt; `release` lets it go."""
        self.receipt = proof_text(self.record, self.index, path, note)

    def fail(self, failure: StoreUnavailable | Fault | Refused) -> None:
        """Release whoever waits, without a place."""
        self.failure = failure
        self.release()

    def release(self) -> None:
        """Let whoever waits go on."""
        # INVARIANT: nothing keeps itself alive: a call waits for no collector of cycles to be freed.
        ended, told = self._ended, self._told
        self._ended = self._told = nothing
        del self._draft
        _call(ended)
        self._waiting.release()
        _call(told)


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - the thread that writes the log must outlive whatever is told of it
        return
