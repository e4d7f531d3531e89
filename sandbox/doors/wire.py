"""How does an answer look on the wire? Translation between stage types and `sandbox.v1` messages, nothing else."""

from __future__ import annotations

from typing import Final, assert_never

from sandbox.reasons import Effect, Refused
from sandbox.stages import (
    Explanation,
    ResultBody,
    ResultColumn,
    Rights,
    SealedResult,
    StillRunning,
    Truncation,
)
from sandbox.v1 import outcome_pb2, record_pb2, tool_execution_pb2

EFFECTS: Final = {
    Effect.UNSPECIFIED: record_pb2.EFFECT_UNSPECIFIED,
    Effect.NONE: record_pb2.EFFECT_NONE,
    Effect.DONE: record_pb2.EFFECT_DONE,
    Effect.UNKNOWN: record_pb2.EFFECT_UNKNOWN,
}
_TRUNCATION = {
    Truncation.NONE: outcome_pb2.TRUNCATION_UNSPECIFIED,
    Truncation.ROWS: outcome_pb2.TRUNCATION_ROWS,
    Truncation.BYTES: outcome_pb2.TRUNCATION_BYTES,
}

MAX_REMEMBERED: Final = 1_024
"""Lists of columns whose wire form is remembered; beyond it they are forgotten and made anew."""
MAX_REMEMBERED_BYTES: Final = 4_096
"""Of one list of columns."""

_COLUMNS: Final[dict[int, tuple[tuple[ResultColumn, ...], outcome_pb2.Result]]] = {}


def execute_response(sealed: SealedResult) -> tool_execution_pb2.ExecuteResponse:
    """Return the wire form of a sealed result."""
    response = tool_execution_pb2.ExecuteResponse()
    fill_response(response, sealed)
    return response


def fill_response(response: tool_execution_pb2.ExecuteResponse, sealed: SealedResult) -> None:
    """Write a sealed result into an empty message."""
    response.call_id, response.receipt = sealed.call_id, sealed.receipt
    match sealed.answer:
        case ResultBody() as body:
            _fill_result(response.result, body)
        case Refused() as refused:
            _fill_refusal(response.refusal, refused)
        case StillRunning(retry_after_s=delay, is_unrecorded=is_unrecorded):
            causes = outcome_pb2.Pending
            response.pending.cause = causes.CAUSE_UNRECORDED if is_unrecorded else causes.CAUSE_RUNNING
            response.pending.retry_after_ms = round(delay * 1000)
        case Explanation() as explanation:
            _fill_explanation(response.explanation, explanation)
        case _ as never:
            assert_never(never)


def retry_after_ms(refused: Refused) -> int:
    """Return the delay in whole milliseconds, rounded up so that a try after it succeeds."""
    return -int(-refused.retry_after_s * 1000 // 1) if refused.retry_after_s > 0 else 0


def _fill_result(result: outcome_pb2.Result, body: ResultBody) -> None:
    result.CopyFrom(_with_columns(body.columns))
    result.rows_json = body.rows_json
    result.row_count = body.row_count
    if body.truncation is not Truncation.NONE:
        result.truncation = _TRUNCATION[body.truncation]
    for omitted in body.omitted:
        result.omitted_columns.add(relation=omitted.relation, count=omitted.count)


def _with_columns(columns: tuple[ResultColumn, ...]) -> outcome_pb2.Result:
    """Return a result that has its columns and nothing else; to be copied, never changed."""
    # WHY: by identity, for hashing columns costs more than copying them; the entry keeps them alive.
    known = _COLUMNS.get(id(columns))
    if known is None:
        result = outcome_pb2.Result()
        for column in columns:
            result.columns.add(name=column.name, type=column.type, declared_type=column.declared_type)
        if result.ByteSize() > MAX_REMEMBERED_BYTES:  # names are the caller's choice
            return result
        if len(_COLUMNS) >= MAX_REMEMBERED:
            _COLUMNS.clear()
        known = _COLUMNS[id(columns)] = (columns, result)
    return known[1]


def _fill_refusal(refusal: outcome_pb2.Refusal, refused: Refused) -> None:
    refusal.reason = refused.reason.value
    refusal.status_code = int(refused.status)
    refusal.message = refused.message
    refusal.retry_after_ms = retry_after_ms(refused)
    refusal.rule = refused.rule
    refusal.metadata.update(refused.metadata)
    refusal.line = refused.line
    refusal.column = refused.column
    if refused.effect is not Effect.UNSPECIFIED:
        refusal.effect = EFFECTS[refused.effect]


def _fill_explanation(message: outcome_pb2.Explanation, explanation: Explanation) -> None:
    message.decision = explanation.decision
    message.rule_ids.extend(explanation.rule_ids)
    message.sql_to_run = explanation.sql_to_run
    message.request_to_send = explanation.request_to_send
    _fill_rights(message.rights, explanation.rights)
    message.row_filters.update(explanation.row_filters)


def _fill_rights(message: outcome_pb2.Rights, rights: Rights) -> None:
    message.relations.extend(rights.relations)
    for relation, column in rights.columns:
        message.columns.add(relation=relation, column=column)
    message.functions.extend(rights.functions)
    message.claims.extend(rights.claims)
    message.requests.extend(rights.requests)
