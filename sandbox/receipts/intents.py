"""Is it on record what a call is about to do? Nothing with effects begins before it is, durable and signed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import final

from sandbox.receipts.committed import nothing
from sandbox.receipts.log import ExecutionLog, unavailable
from sandbox.receipts.records import Draft
from sandbox.stores.log import StoreUnavailable

Withdrawal = Callable[[int], Draft]
"""Makes the record that nothing came of the intent at an index."""


@final
class Intent:
    """A record of what is about to happen, on its way into the log."""

    __slots__ = ("_committed", "_is_given_up", "_is_over", "_lock", "_log", "_withdrawal")

    def __init__(self, log: ExecutionLog, draft: Draft, withdrawal: Withdrawal) -> None:
        """Hand the draft over to `log`; raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` if it takes none."""
        self._log = log
        self._withdrawal = withdrawal
        self._lock = threading.Lock()
        self._is_given_up = self._is_over = False
        try:
            # INVARIANT: alive in the eyes of other processes before the first intent, or they would close it.
            log.store.hold_boot(log.boot)
        except StoreUnavailable as error:
            raise unavailable() from error
        self._committed = log.put(draft, nothing, self._end)

    def wait(self) -> int:
        """Return the intent's index once it is in the log.

        Raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` if it cannot be written or takes too long: the call does not
        begin then, and an intent that gets into the log later is withdrawn there.
        """
        try:
            self._log.wait_for(self._committed)
        except BaseException:  # whatever keeps the call from beginning
            with self._lock:
                self._is_given_up = True
                is_over = self._is_over
            if is_over:
                self._withdraw()
            raise
        return self._committed.index

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            is_given_up = self._is_given_up
        if is_given_up:
            self._withdraw()

    def _withdraw(self) -> None:
        if self._committed.failure is None:
            self._log.put(self._withdrawal(self._committed.index), nothing, nothing)
