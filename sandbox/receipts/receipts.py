"""How does a call end on record? Opened before anything is looked at, sealed however the block is left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, final

from sandbox.reasons import Effect, Fault, Reason, Refused
from sandbox.receipts.answers import fault_payload
from sandbox.receipts.calls import Calls, still_running
from sandbox.receipts.drafts import Begun, Broke, CallDraft, Ending, effect_of
from sandbox.receipts.intents import Intent
from sandbox.receipts.log import ExecutionLog, unavailable
from sandbox.receipts.parts import RecordParts
from sandbox.receipts.payloads import PayloadUnreadable, SubjectKey
from sandbox.receipts.randomness import draw
from sandbox.receipts.records import Draft, Generation, new_call_id
from sandbox.receipts.requests import is_remembered, replayed, request_key
from sandbox.receipts.running import RequestKey, Running
from sandbox.receipts.sealing import Sealed, Sealing
from sandbox.stages import (
    AuthenticatedCall,
    AuthorizedCall,
    Explanation,
    ReleasedResult,
    SealedResult,
    StillRunning,
)
from sandbox.stores.log import StoreUnavailable
from sandbox.telemetry.events import broke


@final
class Receipts:
    """Opens receipts for one generation; the log outlives it."""

    def __init__(self, log: ExecutionLog, generation: Generation) -> None:
        """Write to `log` under what is in force in `generation`."""
        self.log = log
        self.calls = Calls(log)
        self.parts = RecordParts(generation, log.subjects, log.boot)
        self.generation = generation

    def open(self, authenticated: AuthenticatedCall) -> Receipt:
        """Open the record of a call, or find the earlier answer to the same `request_id`.

        Raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` or `REQUEST_INVALID`; entering raises it with `CALL_REPLAYED`.
        """
        self.log.must_be_writable()
        try:
            # A subject met for the first time gets its key now: whoever cannot be recorded does not run.
            principal_part, subject_key = self.parts.of_principal(authenticated.principal)
        except StoreUnavailable as error:
            raise unavailable() from error
        return Receipt(self, authenticated, request_key(self.log, authenticated), principal_part, subject_key)


@final
class Receipt:
    """The open record of one call."""

    __slots__ = (
        "_authenticated",
        "_authorized",
        "_decided_at",
        "_earlier",
        "_house",
        "_intent",
        "_outcome",
        "_principal_part",
        "_running",
        "_sealing",
        "_subject_key",
    )

    def __init__(
        self,
        house: Receipts,
        authenticated: AuthenticatedCall,
        key: RequestKey | None,
        principal_part: bytes,
        subject_key: SubjectKey,
    ) -> None:
        """Begin; `Receipts.open` is the way."""
        proposed = authenticated.proposed
        self._house = house
        self._authenticated = authenticated
        self._principal_part = principal_part
        self._subject_key = subject_key
        self._running = Running(
            new_call_id(), proposed.tool, authenticated.principal.subject, proposed.cancellation, key
        )
        self._decided_at = 0.0
        self._earlier: SealedResult | None = None
        self._authorized: AuthorizedCall | None = None
        self._intent: int | None = None
        self._outcome: ReleasedResult | Explanation | None = None
        self._sealing: Sealing | None = None

    @property
    def is_answered(self) -> bool:
        """Whether an earlier answer to the same request stands."""
        return self._earlier is not None

    @property
    def sealing(self) -> Sealing | Sealed:
        """The answer on its way into the log, or the earlier one."""
        if self._sealing is not None:
            return self._sealing
        if self._earlier is None:
            raise Fault("receipts: a receipt was read before its call had ended")
        return Sealed(self._earlier)

    def intend(self, authorized: AuthorizedCall) -> None:
        """Note what is about to run; of a tool with effects, durable and signed before this returns.

        Raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` otherwise.
        """
        self._authorized = authorized
        self._decided_at = time.monotonic()
        if authorized.planned.traced.validated.spec.effects != "read":
            draft = self._draft(Begun(), self._running.request)
            self._intent = Intent(self._house.log, _made(draft), self._withdrawal).wait()

    def settle(self, outcome: ReleasedResult | Explanation) -> None:
        """Note how it ended."""
        self._outcome = outcome

    def __enter__(self) -> Self:
        running, key = self._running, self._running.request
        other = self._house.log.running.begin(running)
        if key is not None:
            # WHY: looked up after the request was claimed, else a call that ends in between would run twice.
            self._earlier = self._answered(key)
            if self._earlier is not None:
                self._house.log.running.end(running)
            elif other is not None:
                if other.request is None or other.request.content != key.content:
                    raise self._counted(replayed())
                self._earlier = still_running(other)
        return self

    def _answered(self, key: RequestKey) -> SealedResult | None:
        try:
            return self._house.calls.answered(self._authenticated.principal, key)
        except BaseException as error:
            self._house.log.running.end(self._running)
            if isinstance(error, Refused):
                self._counted(error)
            if isinstance(error, StoreUnavailable):
                raise unavailable() from error
            if isinstance(error, PayloadUnreadable):
                raise Fault("receipts") from error
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            return self._leave(error)
        except (Refused, Fault):
            raise
        except StoreUnavailable as failure:
            raise unavailable() from failure
        except Exception as broken:
            raise Fault("receipts") from broken
        finally:
            if self._sealing is None:
                self._house.log.running.end(self._running)

    def _leave(self, error: BaseException | None) -> bool:
        if error is None:
            if self._earlier is None and self._outcome is not None:
                self._seal(self._outcome)
            return False
        if isinstance(error, Refused):
            return self._seal_refusal(error)
        fault = error if isinstance(error, Fault) else Fault("pipeline")
        try:
            # Waited for: a fault is told with a reference, and a reviewer who is given it finds the record.
            self._house.log.append(self._draft(Broke(fault_payload(fault, error), self._effect()), None))
        except Exception as unsealed:  # noqa: BLE001 - the fault is what happened, and is told whether on record or not
            broke("fault not on record", unsealed, reference=fault.reference)
        if isinstance(error, Exception) and fault is not error:
            raise fault from error
        return False

    def _seal(self, outcome: ReleasedResult | Explanation | Refused) -> None:
        answer = outcome.body if isinstance(outcome, ReleasedResult) else outcome
        request = self._running.request if is_remembered(answer) else None
        self._sealing = Sealing(self._house.log, self._running, answer, _made(self._draft(outcome, request)))

    def _seal_refusal(self, refused: Refused) -> bool:
        """Record a refusal, or count it; whether it has become the answer."""
        if self._earlier is not None and isinstance(self._earlier.answer, Refused | StillRunning):
            return True  # the same request was refused before, or is still running: that answer stands
        self._earlier = None
        refused.effect = self._effect(refused.effect)
        if self._intent is None and not self._may_be_recorded(refused):
            return False
        # The frames it and its causes were raised through know this receipt, which knows the refusal: a cycle.
        refused.__traceback__ = refused.__cause__ = refused.__context__ = None
        self._seal(refused)
        return True

    def _may_be_recorded(self, refused: Refused) -> bool:
        """Whether a refusal gets a record of its own; raises `Refused` beyond the bound."""
        if not refused.is_recorded:
            self._counted(refused)
            return False
        subject, book, now = self._authenticated.principal.subject, self._house.log.refusals, time.monotonic()
        if not book.may_record(subject, now):
            self._counted(refused)
            delay = book.seconds_until_recorded(subject, now)
            message = f"more refusals in a minute than are recorded one by one; wait {delay:.0f} s"
            raise Refused(
                Reason.RATE_LIMITED, message, rule="limits/refusals", retry_after_s=delay, is_recorded=False
            ) from refused
        return True

    def _effect(self, told: Effect = Effect.UNSPECIFIED) -> Effect:
        """Return what is known of the effect of a call that did not end well, if it had begun; `told` by its executor.

        # INVARIANT: never more than is known: what had its plan and does not say what became of it may have done it.
        """
        if self._intent is None:
            return Effect.UNSPECIFIED
        has_run = self._authorized is None or self._authorized.is_spent
        return (told or Effect.UNKNOWN) if has_run else Effect.NONE

    def _withdrawal(self, intent: int) -> CallDraft:
        """Return the record that nothing came of an intent that nobody waited for any longer."""
        refused = unavailable()
        refused.effect = Effect.NONE
        return self._draft(refused, None, closes=intent)

    def _draft(self, ending: Ending, request: RequestKey | None, closes: int | None = None) -> CallDraft:
        closes = self._intent if closes is None else closes
        forgets = b""
        if closes is not None:
            forgets, request = self._forgotten(ending, request), None  # the intent holds the request
        return CallDraft(
            parts=self._house.parts,
            principal_part=self._principal_part,
            subject_key=self._subject_key,
            call_id=self._running.call_id,
            authenticated=self._authenticated,
            authorized=self._authorized,
            decided_at=self._decided_at,
            ended_at=time.monotonic(),
            wall_time_us=time.time_ns() // 1000,
            request=request,
            ending=ending,
            closes=closes,
            forgets=forgets,
        )

    def _forgotten(self, ending: Ending, request: RequestKey | None) -> bytes:
        """Return the key of a request that may be asked anew: nothing began, and the answer does not stand for it."""
        asked = self._running.request
        if asked is None or request is not None or effect_of(ending) is not Effect.NONE:
            return b""
        return asked.key

    def _counted(self, refused: Refused) -> Refused:
        """Count a refusal that leaves no record of its own."""
        name = self._authenticated.proposed.tool
        tool = name if name in self._house.generation.specs and refused.reason is not Reason.TOOL_UNKNOWN else ""
        subject = self._authenticated.principal.subject
        self._house.log.refusals.tally(subject, tool, refused.reason.value, time.monotonic())
        return refused


def _made(draft: CallDraft) -> Draft:
    """Return the draft, made already where others should not wait for it."""
    return draft.entry(draw) if draft.is_large else draft
