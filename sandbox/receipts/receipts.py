"""How does a call end on record? Opened before anything is looked at, sealed however the block is left."""

from __future__ import annotations

import time
import traceback
from types import TracebackType
from typing import Final, Self, assert_never, final

from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts.answers import explanation_payload, refusal_payload, result_payload
from sandbox.receipts.calls import Calls, Running
from sandbox.receipts.log import ExecutionLog
from sandbox.receipts.payloads import SealedPayload
from sandbox.receipts.records import Entry, Generation, base_record, call_key, new_call_id, with_payloads
from sandbox.receipts.requests import RequestKey, request_key
from sandbox.stages import (
    Answer,
    AuthenticatedCall,
    AuthorizedCall,
    Explanation,
    ReleasedResult,
    ResultBody,
    SealedResult,
    StillRunning,
    Truncation,
)
from sandbox.v1 import record_pb2

_TRUNCATION: Final = {Truncation.NONE: 0, Truncation.ROWS: 1, Truncation.BYTES: 2}
RUNNING_RETRY_S: Final = 0.2
"""When to ask again about a call that is still running."""


@final
class Receipts:
    """Opens receipts for one generation; the log and the running calls outlive it."""

    def __init__(self, log: ExecutionLog, calls: Calls, generation: Generation) -> None:
        """Write to `log` under what is in force in `generation`."""
        self.log = log
        self.calls = calls
        self.generation = generation

    def open(self, authenticated: AuthenticatedCall) -> Receipt:
        """Open the record of a call, or find the earlier answer to the same `request_id`."""
        self.log.must_be_writable()
        key = request_key(self.log, authenticated)
        earlier = self.calls.answered(authenticated, key) if key is not None else None
        return Receipt(self, authenticated, key, earlier)


@final
class Receipt:
    """The open record of one call."""

    __slots__ = (
        "_authenticated",
        "_authorized",
        "_call_id",
        "_earlier",
        "_house",
        "_key",
        "_outcome",
        "_running",
        "_sealed",
    )

    def __init__(
        self,
        house: Receipts,
        authenticated: AuthenticatedCall,
        key: RequestKey | None,
        earlier: SealedResult | None,
    ) -> None:
        """Begin; `Receipts.open` is the way."""
        self._house = house
        self._authenticated = authenticated
        self._key = key
        self._earlier = earlier
        self._call_id = new_call_id()
        self._authorized: AuthorizedCall | None = None
        self._outcome: ReleasedResult | Explanation | None = None
        self._sealed: SealedResult | None = None
        self._running: Running | None = None

    @property
    def is_answered(self) -> bool:
        """Whether an earlier answer stands."""
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

    def settle(self, outcome: ReleasedResult | Explanation) -> None:
        """Note how it ended."""
        self._outcome = outcome

    def __enter__(self) -> Self:
        if self._earlier is None:
            proposed = self._authenticated.proposed
            running = Running(
                self._call_id, proposed.tool, self._authenticated.principal.subject, proposed.cancellation
            )
            still = self._house.calls.begin(running, self._key)
            if still is None:
                self._running = running
            else:
                self._earlier = SealedResult(
                    call_id=still.call_id, tool=still.tool, answer=StillRunning(RUNNING_RETRY_S), receipt=b""
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            return self._leave(error)
        finally:
            if self._running is not None:
                self._house.calls.end(self._running, self._key)

    def _leave(self, error: BaseException | None) -> bool:
        if error is None:
            if self._outcome is not None:
                self._seal_outcome(self._outcome)
            return False
        if isinstance(error, Refused):
            return self._seal_refusal(error)
        self._seal_fault(error)
        if isinstance(error, Exception) and not isinstance(error, Fault):
            raise Fault("pipeline") from error
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
        record = self._record(record_pb2.RECORD_KIND_READ, record_pb2.RECORD_STATUS_OK)
        _describe_result(record, released)
        payloads = [self._seal("arguments", self._authenticated.proposed.arguments_json)]
        plan = released.executed.authorized.planned.plan
        if plan.proposed_sql is not None:  # an author's statement is in its spec's leaf already
            payloads.append(self._seal("proposed_sql", plan.proposed_sql.encode("utf-8", "replace")))
            payloads.append(self._seal("run_sql", plan.sql_to_run.encode("utf-8", "replace")))
        payloads.append(self._seal("result", result_payload(released.body)))
        self._commit(record, payloads, released.body)

    def _seal_explanation(self, explanation: Explanation) -> None:
        record = self._record(record_pb2.RECORD_KIND_EXPLANATION, record_pb2.RECORD_STATUS_OK)
        record.policy_rule_ids.extend(explanation.rule_ids)
        payloads = [
            self._seal("arguments", self._authenticated.proposed.arguments_json),
            self._seal("result", explanation_payload(explanation)),
        ]
        self._commit(record, payloads, explanation)

    def _seal_refusal(self, refused: Refused) -> bool:
        if self._earlier is not None and not isinstance(self._earlier.answer, ResultBody):
            return True  # the same request was refused before, or is still running: that answer stands
        self._earlier = None
        subject, tool = self._authenticated.principal.subject, self._authenticated.proposed.tool
        book, now = self._house.log.refusals, time.monotonic()
        if not refused.is_recorded:
            book.tally(subject, self._known_tool(refused, tool), refused.reason, now)
            return False
        if not book.may_record(subject, now):
            book.tally(subject, self._known_tool(refused, tool), refused.reason, now)
            delay = book.seconds_until_recorded(subject, now)
            message = f"more refusals in a minute than are recorded one by one; wait {delay:.3f} s"
            raise Refused(
                Reason.RATE_LIMITED, message, rule="limits/refusals", retry_after_s=delay, is_recorded=False
            ) from refused
        record = self._record(record_pb2.RECORD_KIND_REFUSAL, record_pb2.RECORD_STATUS_REFUSED)
        record.reason, record.rule = refused.reason.value, refused.rule
        payloads = [
            self._seal("arguments", self._authenticated.proposed.arguments_json),
            self._seal("refusal", refusal_payload(refused)),
        ]
        self._commit(record, payloads, refused)
        return True

    def _seal_fault(self, error: BaseException) -> None:
        record = self._record(record_pb2.RECORD_KIND_READ, record_pb2.RECORD_STATUS_FAULT)
        told = "".join(traceback.format_exception(error)).encode("utf-8", "replace")
        payloads = [
            self._seal("arguments", self._authenticated.proposed.arguments_json),
            self._seal("fault", told),
        ]
        self._append(record, payloads, is_remembered=False)

    def _known_tool(self, refused: Refused, tool: str) -> str:
        """Return the tool's name, or nothing where the name is only what a caller typed."""
        return "" if refused.reason is Reason.TOOL_UNKNOWN or len(tool) > 128 else tool

    def _record(self, kind: record_pb2.RecordKind, status: record_pb2.RecordStatus) -> record_pb2.Record:
        proposed, principal = self._authenticated.proposed, self._authenticated.principal
        generation = self._house.generation
        record = base_record(kind, self._call_id, generation.build)
        record.door = proposed.door
        record.status = status
        record.principal_pseudonym = self._house.log.subjects.key_of(principal.subject).pseudonym
        for actor in principal.actors:
            record.actor_pseudonyms.append(self._house.log.subjects.key_of(actor).pseudonym)
        record.token_digest = principal.token_digest
        record.certificate_digest = principal.certificate_digest
        record.tool = proposed.tool[:128]
        record.policy_digest = bytes.fromhex(generation.policy_digest)
        record.policy_indexes.extend(generation.policy_indexes)
        record.config_digest = bytes.fromhex(generation.config_digest)
        record.config_indexes.extend(generation.config_indexes)
        record.timings.decide_us = min(int((time.monotonic() - proposed.received_at) * 1e6), 2**32 - 1)
        if self._authorized is not None:
            _describe_plan(record, self._authorized, generation)
        return record

    def _seal(self, role: str, plaintext: bytes) -> SealedPayload:
        key = self._house.log.subjects.key_of(self._authenticated.principal.subject)
        return key.seal(role, plaintext, call_key(self._call_id))

    def _commit(self, record: record_pb2.Record, payloads: list[SealedPayload], answer: Answer) -> None:
        is_remembered = not (isinstance(answer, Refused) and answer.reason is Reason.RATE_LIMITED)
        receipt = self._append(record, payloads, is_remembered=is_remembered)
        self._sealed = SealedResult(
            call_id=self._call_id, tool=self._authenticated.proposed.tool, answer=answer, receipt=receipt
        )

    def _append(self, record: record_pb2.Record, payloads: list[SealedPayload], *, is_remembered: bool) -> bytes:
        request = None
        if self._key is not None and is_remembered:
            request = (self._key.key, self._key.content, self._key.expires_us)
        entry = Entry(
            record=with_payloads(record, payloads),
            call_id=call_key(self._call_id),
            token_digest=self._authenticated.principal.token_digest,
            payloads=tuple(payloads),
            request=request,
        )
        return self._house.log.append(entry).receipt()


def _describe_plan(record: record_pb2.Record, authorized: AuthorizedCall, generation: Generation) -> None:
    planned = authorized.planned
    spec, rights = planned.traced.validated.spec, planned.plan.rights
    record.tool_version = spec.version
    record.spec_digest = bytes.fromhex(spec.digest)
    record.spec_index = generation.spec_indexes[spec.digest]
    record.policy_rule_ids.extend(authorized.permit.rule_ids)
    record.connection = planned.plan.connection
    record.relations.extend(rights.relations)
    record.columns.extend([f"{table}.{column}" for table, column in rights.columns])
    record.functions.extend(rights.functions)


def _describe_result(record: record_pb2.Record, released: ReleasedResult) -> None:
    record.lease_digest = released.executed.lease_digest
    record.rows = released.body.row_count
    record.bytes = len(released.body.rows_json)
    record.truncation = _TRUNCATION[released.body.truncation]
    record.timings.execute_us = released.executed.execute_us
