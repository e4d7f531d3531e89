"""When may an answer be released? Once its record is in the log: nothing here gives an answer out before."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from sandbox.receipts.committer import Committed
from sandbox.receipts.drafts import CallDraft
from sandbox.receipts.log import ExecutionLog
from sandbox.receipts.running import Running
from sandbox.stages import Answer, SealedResult
from sandbox.stores.log import StoreUnavailable


@final
class Sealing:
    """A call that has ended, on its way into the log. Satisfies `pipeline.Sealing`."""

    __slots__ = ("_answer", "_callbacks", "_committed", "_is_over", "_log", "_running")

    def __init__(self, log: ExecutionLog, running: Running, answer: Answer, draft: CallDraft) -> None:
        """Hand the draft over to `log`; raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` if it takes none."""
        self._log = log
        self._running = running
        self._answer = answer
        self._callbacks: list[Callable[[], None]] = []
        self._is_over = False
        self._committed: Committed = log.put(draft, self._end)

    def wait(self) -> SealedResult:
        """Wait until the record is in the log, and return the answer with its receipt.

        Raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` if it cannot be written or takes too long, `Fault` if it cannot
        be made; nothing is released then.
        """
        try:
            self._committed.wait()
        except StoreUnavailable as error:
            raise self._log.failed(error) from error
        running = self._running
        return SealedResult(
            call_id=running.call_id, tool=running.tool, answer=self._answer, receipt=self._committed.receipt
        )

    def on_sealed(self, callback: Callable[[], None]) -> None:
        """Call back once `wait` returns or raises at once; on the thread that writes the log, so only to signal."""
        self._callbacks.append(callback)
        if self._is_over:
            self._call_back()

    def _end(self) -> None:
        self._log.running.end(self._running)
        self._is_over = True
        self._call_back()

    def _call_back(self) -> None:
        # WHY: no lock. Whoever appends looks at the flag afterwards, whoever sets it looks at the list afterwards, and
        # each callback is popped by one thread only.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback()


@final
class Sealed:
    """An answer that needs no record of its own: the log holds it, or the call that will bring it is under way."""

    __slots__ = ("_result",)

    def __init__(self, result: SealedResult) -> None:
        """Hold the answer."""
        self._result = result

    def wait(self) -> SealedResult:
        """Return the answer at once."""
        return self._result

    def on_sealed(self, callback: Callable[[], None]) -> None:
        """Call back at once."""
        callback()
