"""When may an answer be released? Once its record is in the log: nothing here gives an answer out before."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from sandbox.reasons import Refused
from sandbox.receipts.committed import Committed
from sandbox.receipts.log import ExecutionLog, untold
from sandbox.receipts.records import Draft
from sandbox.receipts.running import Running
from sandbox.stages import Answer, Moment, SealedResult


@final
class Sealing(Moment):
    """A call that has ended, on its way into the log. Satisfies `pipeline.Sealing`."""

    __slots__ = ("_answer", "_committed", "_has_begun", "_log", "_running")

    def __init__(self, log: ExecutionLog, running: Running, answer: Answer, draft: Draft) -> None:
        """Hand the draft over to `log`; raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` if it takes none."""
        super().__init__()
        self._log = log
        self._running = running
        self._answer = answer
        self._has_begun = draft.closes is not None
        try:
            self._committed: Committed = log.put(draft, self._end, self.come)
        except Refused as refused:
            raise self._told(refused) from refused.__cause__

    @property
    def is_late(self) -> bool:
        """Whether `wait` raises at once, because the log takes too long."""
        return self._committed.is_late

    def wait(self) -> SealedResult:
        """Wait until the record is in the log, and return the answer with its receipt.

        Raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` if it cannot be written or takes too long, `Fault` if it cannot
        be made; nothing is released then.
        """
        try:
            self._log.wait_for(self._committed)
        except Refused as refused:
            raise self._told(refused) from refused.__cause__
        running = self._running
        return SealedResult(
            call_id=running.call_id, tool=running.tool, answer=self._answer, receipt=self._committed.receipt
        )

    on_sealed = Moment.on_coming

    def _told(self, refused: Refused) -> Refused:
        """Return what a caller hears of a record that is not there: of a call with effects, that it has begun."""
        return untold(self._running.call_id) if self._has_begun else refused

    def _end(self) -> None:
        self._log.running.end(self._running)


@final
class Sealed:
    """An answer that needs no record of its own: the log holds it, or the call that will bring it is under way."""

    __slots__ = ("_result",)

    def __init__(self, result: SealedResult) -> None:
        """Hold the answer."""
        self._result = result

    @property
    def is_late(self) -> bool:
        """Never: it is there."""
        return False

    def wait(self) -> SealedResult:
        """Return the answer at once."""
        return self._result

    def on_sealed(self, callback: Callable[[], None]) -> None:
        """Call back at once."""
        callback()
