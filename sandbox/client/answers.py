"""What does a call give back? A result, a refusal, a pending call or an explanation: values, each with its receipt."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from sandbox.audit.verify import VerifiedReceipt, verify_receipt
from sandbox.v1 import outcome_pb2, record_pb2, tool_execution_pb2
from sandbox.values import Cell, JsonObject, Row


class ClientError(Exception):
    """The root of everything the client raises."""

    def __init__(self, message: str, reason: str = "") -> None:
        """Carry the service's sentence and its stable reason; no reason for a fault, or where nobody was reached."""
        super().__init__(message)
        self.reason = reason


class NotAuthenticated(ClientError):
    """The service does not know us: certificate or token is missing, wrong or expired."""


class Unavailable(ClientError):
    """The service cannot be reached, is overloaded, or did not answer in time; `retry_after_s` if it said so.

    Of a call with effects that has begun, and whose end is not told, `effect` is `unknown` and `call_id` names it.
    With `is_absent` there was nobody to send anything to: no service has told its address.
    """

    def __init__(  # noqa: PLR0913 - one keyword a fact
        self,
        message: str,
        reason: str = "",
        retry_after_s: float = 0.0,
        *,
        effect: str = "",
        call_id: str = "",
        is_absent: bool = False,
    ) -> None:
        """Carry the service's sentence, its reason and its delay."""
        super().__init__(message, reason)
        self.retry_after_s = retry_after_s
        self.effect = effect
        self.call_id = call_id
        self.is_absent = is_absent


class ServiceError(ClientError):
    """The service answered with an error that has no receipt; `reason` is empty for a fault."""


class ReceiptInvalid(ClientError):
    """The receipt does not prove this answer. Do not use the answer."""


@final
@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result."""

    name: str
    type: str
    declared_type: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt that verified offline, on arrival."""

    text: bytes
    """The C2SP tlog-proof; write it to a file and `sandbox log verify` checks it anywhere."""
    verified: VerifiedReceipt = field(repr=False)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The call ran."""

    call_id: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    truncated_by: str
    """`rows` or `bytes` if a limit cut the end off, else empty."""
    omitted_columns: Mapping[str, int]
    """By table, how many columns `*` did not name."""
    receipt: Receipt = field(repr=False)

    def as_dicts(self) -> list[dict[str, Cell]]:
        """Return each row by column name; of equal names the last wins."""
        return [dict(zip((c.name for c in self.columns), row, strict=True)) for row in self.rows]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The service said no, and why. `message` is written for a model to act on."""

    call_id: str
    reason: str
    message: str
    rule: str
    retry_after_s: float
    line: int
    column: int
    metadata: Mapping[str, str]
    effect: str = ""
    """What is known of the effect of a call that had begun: `none`, `done` or `unknown`; empty of all others."""
    receipt: Receipt | None = field(repr=False)
    """None only for refusals that are counted and not recorded one by one (a rate already exceeded)."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The call is known and not finished."""

    call_id: str
    retry_after_s: float
    is_unrecorded: bool = False
    """Whether it had begun and how it ended is not on record yet, rather than still running."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the call would do; nothing ran."""

    call_id: str
    decision: str
    rule_ids: tuple[str, ...]
    sql_to_run: str
    relations: tuple[str, ...]
    columns: tuple[str, ...]
    functions: tuple[str, ...]
    claims: tuple[str, ...]
    row_filters: Mapping[str, str]
    requests: tuple[str, ...]
    request_to_send: str
    """Of an HTTP tool, without the connection's secret; `sql_to_run` is empty then."""
    receipt: Receipt = field(repr=False)


Answer = Result | Refusal | Pending | Explanation

_STATUS = {
    "result": record_pb2.RECORD_STATUS_OK,
    "refusal": record_pb2.RECORD_STATUS_REFUSED,
    "explanation": record_pb2.RECORD_STATUS_OK,
}
_EFFECTS = {
    record_pb2.EFFECT_UNSPECIFIED: "",
    record_pb2.EFFECT_NONE: "none",
    record_pb2.EFFECT_DONE: "done",
    record_pb2.EFFECT_UNKNOWN: "unknown",
}
_TRUNCATED = {outcome_pb2.TRUNCATION_ROWS: "rows", outcome_pb2.TRUNCATION_BYTES: "bytes"}


def read_answer(response: tool_execution_pb2.ExecuteResponse, tool: str, verifier_key: str) -> Answer:
    """Verify the receipt, check that it is about this very answer, and return the answer as a value.

    Raises `ReceiptInvalid` if either fails.
    """
    kind = response.WhichOneof("outcome")
    if kind == "pending":
        return Pending(
            call_id=response.call_id,
            retry_after_s=response.pending.retry_after_ms / 1000,
            is_unrecorded=response.pending.cause == outcome_pb2.Pending.CAUSE_UNRECORDED,
        )
    receipt = _verified(response, tool, verifier_key)
    if kind == "result":
        return _result(response, receipt)
    if kind == "refusal":
        return refusal_of(response.call_id, response.refusal, receipt)
    return _explanation(response, receipt)


def _verified(response: tool_execution_pb2.ExecuteResponse, tool: str, verifier_key: str) -> Receipt:
    try:
        verified = verify_receipt(response.receipt, verifier_key)
    except ValueError as error:
        raise ReceiptInvalid(f"the receipt of call {response.call_id} does not verify: {error}") from error
    record = verified.record
    kind = response.WhichOneof("outcome") or ""
    facts = {
        "call id": record.call_id == response.call_id,
        # A record holds no free text: what is not shaped like a tool's name is left out of a refusal's.
        "tool": not tool or record.tool == tool or (kind == "refusal" and not record.tool),
        "outcome": record.status == _STATUS.get(kind)
        # An orphan tells no end: its caller is told so by a refusal.
        or (kind == "refusal" and record.kind == record_pb2.RECORD_KIND_ORPHAN),
        "effect": kind != "refusal" or record.effect == response.refusal.effect,
        "reason": kind != "refusal" or record.reason == response.refusal.reason,
        "row count": kind != "result" or record.rows == response.result.row_count,
        "size": kind != "result" or record.bytes == len(response.result.rows_json),
    }
    wrong = [name for name, is_equal in facts.items() if not is_equal]
    if wrong:
        raise ReceiptInvalid(
            f"the receipt of call {response.call_id} is about another answer: {', '.join(wrong)} differ"
        )
    return Receipt(text=response.receipt, verified=verified)


def _result(response: tool_execution_pb2.ExecuteResponse, receipt: Receipt) -> Result:
    result = response.result
    columns = tuple(Column(c.name, c.type, c.declared_type) for c in result.columns)
    readers = [_READERS.get(column.type, _as_is) for column in columns]
    rows = tuple(
        tuple(read(cell) for read, cell in zip(readers, row, strict=True)) for row in json.loads(result.rows_json)
    )
    return Result(
        call_id=response.call_id,
        columns=columns,
        rows=rows,
        truncated_by=_TRUNCATED.get(result.truncation, ""),
        omitted_columns={omitted.relation: omitted.count for omitted in result.omitted_columns},
        receipt=receipt,
    )


def refusal_of(call_id: str, refusal: outcome_pb2.Refusal, receipt: Receipt | None) -> Refusal:
    """Return the wire's refusal as a value."""
    return Refusal(
        call_id=call_id,
        reason=refusal.reason,
        message=refusal.message,
        rule=refusal.rule,
        retry_after_s=refusal.retry_after_ms / 1000,
        line=refusal.line,
        column=refusal.column,
        metadata=dict(refusal.metadata),
        effect=_EFFECTS.get(refusal.effect, str(refusal.effect)),
        receipt=receipt,
    )


def _explanation(response: tool_execution_pb2.ExecuteResponse, receipt: Receipt) -> Explanation:
    explanation = response.explanation
    return Explanation(
        call_id=response.call_id,
        decision=explanation.decision,
        rule_ids=tuple(explanation.rule_ids),
        sql_to_run=explanation.sql_to_run,
        relations=tuple(explanation.rights.relations),
        columns=tuple(f"{right.relation}.{right.column}" for right in explanation.rights.columns),
        functions=tuple(explanation.rights.functions),
        claims=tuple(explanation.rights.claims),
        row_filters=dict(explanation.row_filters),
        requests=tuple(explanation.rights.requests),
        request_to_send=explanation.request_to_send,
        receipt=receipt,
    )


def _as_is(cell: Cell) -> Cell:
    return cell


def _integer(cell: Cell) -> Cell:
    return int(cell) if isinstance(cell, str) else cell


def _real(cell: Cell) -> Cell:
    return float(cell) if isinstance(cell, str | int) else cell


def _blob(cell: Cell) -> Cell:
    return base64.b64decode(cell, validate=True) if isinstance(cell, str) else cell


_READERS = {"integer": _integer, "real": _real, "blob": _blob}


def arguments_json(arguments: JsonObject | str | bytes) -> bytes:
    """Return the bytes that go on the wire; text a model wrote is sent as it is, for the service to judge."""
    if isinstance(arguments, bytes):
        return arguments
    if isinstance(arguments, str):
        return arguments.encode("utf-8", "surrogatepass")
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
