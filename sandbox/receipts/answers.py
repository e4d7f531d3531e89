"""How does an answer rest in a payload, and how does it come back? JSON, for a reviewer reads it too."""

from __future__ import annotations

import hashlib
import re
import traceback
from typing import Final, NoReturn

import orjson

from sandbox.reasons import Effect, Fault, Reason, Refused
from sandbox.stages import (
    Explanation,
    OmittedColumns,
    ResultBody,
    ResultColumn,
    Rights,
    Truncation,
)
from sandbox.values import JsonObject

MAX_REFUSED_BYTES: Final = 16 * 1024
"""Of a refused call's arguments; beyond it the record keeps their beginning, length and digest, for refusing must not
fill the disk."""

MAX_TRACE_BYTES: Final = 64 * 1024
"""Of a fault's traceback; its end tells most."""

_REFERENCE: Final = re.compile(rb"reference ([0-9a-f]{16})\n")


def abridged(text: bytes) -> bytes:
    """Return what a refused call asked, as it is recorded."""
    if len(text) <= MAX_REFUSED_BYTES:
        return text
    return orjson.dumps(
        {
            "abridged": True,
            "bytes": len(text),
            "sha256": hashlib.sha256(text).hexdigest(),
            "beginning": text[:1024].decode("utf-8", "replace"),
        }
    )


def result_payload(body: ResultBody) -> bytes:
    """Return a result as bytes; the rows are put in as they are."""
    head = orjson.dumps(
        {
            "columns": body.columns,
            "row_count": body.row_count,
            "truncation": body.truncation.value,
            "omitted": [(omitted.relation, omitted.count) for omitted in body.omitted],
        }
    )
    return head[:-1] + b',"rows":' + body.rows_json + b"}"


def read_result(payload: bytes) -> ResultBody:
    """Return what `result_payload` wrote."""
    head, _, rows = payload.partition(b',"rows":')
    document = orjson.loads(head + b"}")
    return ResultBody(
        columns=tuple(  # logs of earlier builds hold lists
            ResultColumn(**column) if isinstance(column, dict) else ResultColumn(*column)
            for column in document["columns"]
        ),
        rows_json=rows[:-1],
        row_count=document["row_count"],
        truncation=Truncation(document["truncation"]),
        omitted=tuple(OmittedColumns(*omitted) for omitted in document["omitted"]),
    )


def refusal_payload(refused: Refused) -> bytes:
    """Return a refusal as bytes: its sentence and metadata may quote the caller, so they are contents."""
    return orjson.dumps(
        {
            "reason": refused.reason.value,
            "message": refused.message,
            "rule": refused.rule,
            "retry_after_s": refused.retry_after_s,
            "line": refused.line,
            "column": refused.column,
            "metadata": dict(refused.metadata),
            "effect": refused.effect.name.lower(),
        }
    )


def read_refusal(payload: bytes) -> Refused:
    """Return what `refusal_payload` wrote."""
    document = orjson.loads(payload)
    return Refused(
        Reason(document["reason"]),
        document["message"],
        rule=document["rule"],
        retry_after_s=document["retry_after_s"],
        line=document["line"],
        column=document["column"],
        effect=Effect[document.get("effect", "unspecified").upper()],  # logs of earlier builds have none
        **document["metadata"],
    )


def explanation_payload(explanation: Explanation) -> bytes:
    """Return an explanation as bytes."""
    rights = explanation.rights
    document: JsonObject = {
        "decision": explanation.decision,
        "rule_ids": explanation.rule_ids,
        "sql_to_run": explanation.sql_to_run,
        "request_to_send": explanation.request_to_send,
        "requests": rights.requests,
        "relations": rights.relations,
        "columns": rights.columns,
        "functions": rights.functions,
        "claims": rights.claims,
        "row_filters": dict(explanation.row_filters),
    }
    return orjson.dumps(document)


def read_explanation(payload: bytes) -> Explanation:
    """Return what `explanation_payload` wrote."""
    document = orjson.loads(payload)
    return Explanation(
        decision=document["decision"],
        rule_ids=tuple(document["rule_ids"]),
        sql_to_run=document["sql_to_run"],
        request_to_send=document.get("request_to_send", ""),  # logs of earlier builds have none
        rights=Rights(
            relations=tuple(document["relations"]),
            columns=tuple((table, column) for table, column in document["columns"]),
            functions=tuple(document["functions"]),
            claims=tuple(document["claims"]),
            requests=tuple(document.get("requests", ())),
        ),
        row_filters=document["row_filters"],
    )


def fault_payload(fault: Fault, error: BaseException) -> bytes:
    """Return a fault as bytes: its reference, and where it came from with the error's own words."""
    trace = "".join(traceback.format_exception(error)).encode("utf-8", "surrogatepass")
    return f"reference {fault.reference}\n".encode() + trace[-MAX_TRACE_BYTES:]


def raise_fault(payload: bytes) -> NoReturn:
    """Raise the fault that `fault_payload` wrote, under its own reference and without its cause."""
    reference = _REFERENCE.match(payload)
    raise Fault("a call that ended with a fault", earlier=reference[1].decode() if reference else "")
