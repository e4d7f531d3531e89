"""How does a call end on record? Opened before anything is looked at, sealed however the block is left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self, assert_never, final

from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts.answers import abridged, explanation_payload, fault_payload, refusal_payload, result_payload
from sandbox.receipts.calls import Calls, still_running
from sandbox.receipts.log import ExecutionLog, unavailable
from sandbox.receipts.parts import RecordParts
from sandbox.receipts.payloads import PayloadUnreadable
from sandbox.receipts.records import Entry, Generation, call_key, listed, new_call_id, with_payloads
from sandbox.receipts.requests import is_remembered, replayed, request_key
from sandbox.receipts.running import RequestKey, Running
from sandbox.stages import (
    Answer,
    AuthenticatedCall,
    AuthorizedCall,
    Explanation,
    ReleasedResult,
    SealedResult,
    StillRunning,
    Truncation,
)
from sandbox.stores.log import StoreUnavailable
from sandbox.telemetry.events import broke
from sandbox.toolspec import ToolName
from sandbox.v1 import record_pb2
from sandbox.v1.record_pb2 import Record, Timings

_TRUNCATION: Final = {Truncation.NONE: 0, Truncation.ROWS: 1, Truncation.BYTES: 2}
MAX_UINT32: Final = 2**32 - 1


@final
class Receipts:
    """Opens receipts for one generation; the log outlives it."""

    def __init__(self, log: ExecutionLog, generation: Generation) -> None:
        """Write to `log` under what is in force in `generation`."""
        self.log = log
        self.calls = Calls(log)
        self.parts = RecordParts(generation, log.subjects)
        self.generation = generation

    def open(self, authenticated: AuthenticatedCall) -> Receipt:
        """Open the record of a call, or find the earlier answer to the same `request_id`.

        Raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` or `REQUEST_INVALID`; entering raises it with `CALL_REPLAYED`.
        """
        self.log.must_be_writable()
        try:
            # A subject met for the first time gets its key now: whoever cannot be recorded does not run.
            self.parts.of_principal(authenticated.principal)
        except StoreUnavailable as error:
            raise unavailable() from error
        return Receipt(self, authenticated, request_key(self.log, authenticated))


@final
class Receipt:
    """The open record of one call."""

    __slots__ = (
        "_authenticated",
        "_authorized",
        "_call_id",
        "_decide_us",
        "_earlier",
        "_house",
        "_outcome",
        "_running",
        "_sealed",
    )

    def __init__(self, house: Receipts, authenticated: AuthenticatedCall, key: RequestKey | None) -> None:
        """Begin; `Receipts.open` is the way."""
        proposed = authenticated.proposed
        self._house = house
        self._authenticated = authenticated
        self._call_id = new_call_id()
        self._running = Running(
            self._call_id, proposed.tool, authenticated.principal.subject, proposed.cancellation, key
        )
        self._decide_us = 0
        self._earlier: SealedResult | None = None
        self._authorized: AuthorizedCall | None = None
        self._outcome: ReleasedResult | Explanation | None = None
        self._sealed: SealedResult | None = None

    @property
    def is_answered(self) -> bool:
        """Whether an earlier answer to the same request stands."""
        return self._earlier is not None

    @property
    def sealed(self) -> SealedResult:
        """The sealed result."""
        sealed = self._sealed or self._earlier
        if sealed is None:
            raise Fault("receipts: a receipt was read before it was sealed")
        return sealed

    def intend(self, authorized: AuthorizedCall) -> None:
        """Note what is about to run. No tool of this version has effects, so nothing needs to be durable yet."""
        self._authorized = authorized
        self._decide_us = self._elapsed_us()

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
            self._house.log.running.end(self._running)

    def _leave(self, error: BaseException | None) -> bool:
        if error is None:
            if self._earlier is None and self._outcome is not None:
                self._seal_outcome(self._outcome)
            return False
        if isinstance(error, Refused):
            return self._seal_refusal(error)
        fault = error if isinstance(error, Fault) else Fault("pipeline")
        try:
            self._seal_fault(fault, error)
        except Exception as unsealed:  # noqa: BLE001 - the fault is what happened, and is told whether on record or not
            broke("fault not on record", unsealed, reference=fault.reference)
        if isinstance(error, Exception) and fault is not error:
            raise fault from error
        return False

    def _seal_outcome(self, outcome: ReleasedResult | Explanation) -> None:
        match outcome:
            case ReleasedResult():
                self._seal_result(outcome)
            case Explanation():
                self._seal_explanation(outcome)
            case _ as never:
                assert_never(never)

    def _seal_result(self, released: ReleasedResult) -> None:
        executed, body = released.executed, released.body
        own = Record(
            kind=record_pb2.RECORD_KIND_READ,
            status=record_pb2.RECORD_STATUS_OK,
            lease_digest=executed.lease_digest,
            rows=body.row_count,
            bytes=len(body.rows_json),
            truncation=_TRUNCATION[body.truncation],
            timings=Timings(decide_us=self._decide_us, execute_us=min(executed.execute_us, MAX_UINT32)),
        )
        contents = [("arguments", self._authenticated.proposed.arguments_json)]
        contents += _statements(executed.authorized)
        contents.append(("result", result_payload(body)))
        self._conclude(own, self._house.parts.of_plan(executed.authorized), contents, body)

    def _seal_explanation(self, explanation: Explanation) -> None:
        own = Record(
            kind=record_pb2.RECORD_KIND_EXPLANATION,
            status=record_pb2.RECORD_STATUS_OK,
            policy_rule_ids=listed(explanation.rule_ids),
            timings=Timings(decide_us=self._elapsed_us()),
        )
        contents = [
            ("arguments", self._authenticated.proposed.arguments_json),
            ("explanation", explanation_payload(explanation)),
        ]
        self._conclude(own, self._part_of_tool(is_known=True), contents, explanation)

    def _seal_refusal(self, refused: Refused) -> bool:
        """Record a refusal, or count it; whether it has become the answer."""
        if self._earlier is not None and isinstance(self._earlier.answer, Refused | StillRunning):
            return True  # the same request was refused before, or is still running: that answer stands
        self._earlier = None
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
        own = Record(
            kind=record_pb2.RECORD_KIND_REFUSAL,
            status=record_pb2.RECORD_STATUS_REFUSED,
            reason=refused.reason.value,
            rule=refused.rule,
            timings=self._timings(),
        )
        part = self._part_reached(is_known=refused.reason is not Reason.TOOL_UNKNOWN)
        self._conclude(own, part, self._abridged_with("refusal", refusal_payload(refused)), refused)
        return True

    def _seal_fault(self, fault: Fault, error: BaseException) -> None:
        own = Record(
            kind=record_pb2.RECORD_KIND_READ,
            status=record_pb2.RECORD_STATUS_FAULT,
            timings=self._timings(),
        )
        contents = self._abridged_with("fault", fault_payload(fault, error))
        self._append(own, self._part_reached(is_known=True), contents, is_remembered=False)

    def _conclude(self, own: record_pb2.Record, part: bytes, contents: list[tuple[str, bytes]], answer: Answer) -> None:
        receipt = self._append(own, part, contents, is_remembered=is_remembered(answer))
        tool = self._authenticated.proposed.tool
        self._sealed = SealedResult(call_id=self._call_id, tool=tool, answer=answer, receipt=receipt)

    def _append(
        self, own: record_pb2.Record, part: bytes, contents: list[tuple[str, bytes]], *, is_remembered: bool
    ) -> bytes:
        principal, key = self._authenticated.principal, self._running.request
        principal_part, subject_key = self._house.parts.of_principal(principal)
        call_key_ = call_key(self._call_id)
        payloads = [subject_key.seal(role, content, call_key_) for role, content in contents]
        own.call_id = self._call_id
        own.wall_time_us = time.time_ns() // 1000
        own.door = self._authenticated.proposed.door
        entry = Entry(
            record=principal_part + part + with_payloads(own, payloads),
            call_id=call_key_,
            token_digest=principal.token_digest,
            payloads=payloads,
            request=key if is_remembered else None,
        )
        return self._house.log.append(entry).receipt()

    def _abridged_with(self, role: str, content: bytes) -> list[tuple[str, bytes]]:
        """Return the contents of a call without a result: what was asked, what was to run (if known), its end."""
        statements = [] if self._authorized is None else _statements(self._authorized)
        asked = [("arguments", self._authenticated.proposed.arguments_json), *statements]
        return [*((each, abridged(text)) for each, text in asked), (role, content)]

    def _part_reached(self, *, is_known: bool) -> bytes:
        """Return the record's part about the plan where one was permitted, else about the tool."""
        return (
            self._house.parts.of_plan(self._authorized) if self._authorized else self._part_of_tool(is_known=is_known)
        )

    def _part_of_tool(self, *, is_known: bool) -> bytes:
        """Return the record's part about the tool; nothing of an unknown one, whose name is what its caller typed."""
        spec = self._house.generation.specs.get(ToolName(self._authenticated.proposed.tool)) if is_known else None
        return b"" if spec is None else self._house.parts.of_spec(spec)

    def _counted(self, refused: Refused) -> Refused:
        """Count a refusal that leaves no record of its own."""
        name = self._authenticated.proposed.tool
        tool = name if name in self._house.generation.specs and refused.reason is not Reason.TOOL_UNKNOWN else ""
        subject = self._authenticated.principal.subject
        self._house.log.refusals.tally(subject, tool, refused.reason.value, time.monotonic())
        return refused

    def _timings(self) -> Timings:
        """Return how long a call without a result took, the engine's share apart if it came so far."""
        elapsed_us = self._elapsed_us()
        if self._authorized is None:
            return Timings(decide_us=elapsed_us)
        return Timings(decide_us=self._decide_us, execute_us=elapsed_us - self._decide_us)

    def _elapsed_us(self) -> int:
        elapsed_us = (time.monotonic() - self._authenticated.proposed.received_at) * 1e6
        return min(max(int(elapsed_us), 0), MAX_UINT32)


def _statements(authorized: AuthorizedCall) -> list[tuple[str, bytes]]:
    """Return a model's statement and what was run of it; an author's is in its spec's leaf already."""
    plan = authorized.planned.plan
    if plan.proposed_sql is None:
        return []
    return [
        ("proposed_sql", plan.proposed_sql.encode("utf-8", "surrogatepass")),
        ("run_sql", plan.sql_to_run.encode("utf-8", "surrogatepass")),
    ]
