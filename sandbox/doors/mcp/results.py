"""How does MCP tell an answer? A decided call is a tool's result, a refusal too: a model reads it and mends its call.

Structured content is of results alone: it has to conform to the output schema, which is theirs. What a program wants of
a refusal is JSON in a text for people, and in `_meta`.

https://modelcontextprotocol.io/specification/2026-07-28/server/tools#error-handling
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, assert_never

from mcp_types import Annotations, CallToolResult, TextContent

from sandbox.client.answers import Refusal, refusal_of
from sandbox.client.told import (
    CALL_ID,
    NONE_RENAMED,
    pending_sentence,
    proof,
    refusal_facts,
    refusal_sentence,
    renamed_refusal,
    result_body,
    seen,
)
from sandbox.v1 import outcome_pb2
from sandbox.v1 import tool_execution_pb2 as pb
from sandbox.values import JsonObject

META: Final = "sandbox.v1/receipt"
"""The key in `_meta` under which a result names its call and its receipt."""
REFUSAL: Final = "sandbox.v1/refusal"
"""The key in `_meta` under which a refusal has its facts."""
PENDING: Final = "sandbox.v1/pending"
"""The key in `_meta` of a call that is not finished."""
_TRUNCATED: Final = {outcome_pb2.TRUNCATION_ROWS: "rows", outcome_pb2.TRUNCATION_BYTES: "bytes"}


def call_result(response: pb.ExecuteResponse, renamed: Mapping[str, str] = NONE_RENAMED) -> CallToolResult:
    """Return a decided call as a tool's result; sentences name tools as `renamed` says that the host knows them."""
    proven = proof(response.call_id, response.receipt)
    outcome = response.WhichOneof("outcome")
    match outcome:
        case "result":
            body = {**_result(response.result), **proven}
            text = TextContent(type="text", text=seen(body))
            return CallToolResult(content=[text], structured_content=body, _meta={META: proven})
        case "refusal":
            return _refused(refusal_of(response.call_id, response.refusal, None), renamed, proven)
        case "pending":
            seconds = response.pending.retry_after_ms / 1000
            facts: JsonObject = {PENDING: {"retry_after_s": seconds}}
            return _not_done(pending_sentence(seconds), facts, {CALL_ID: response.call_id})
        case "explanation" | None:
            raise ValueError(outcome)
        case _:
            assert_never(outcome)


def untold_result(
    reason: str, message: str, retry_after_s: float = 0.0, renamed: Mapping[str, str] = NONE_RENAMED
) -> CallToolResult:
    """Return what a call without a receipt is told: overload, a rate already exceeded, a request that is no call."""
    wire = outcome_pb2.Refusal(reason=reason, message=message, retry_after_ms=round(retry_after_s * 1000))
    return _refused(refusal_of("", wire, None), renamed, {})


def _refused(refusal: Refusal, renamed: Mapping[str, str], proven: JsonObject) -> CallToolResult:
    told = renamed_refusal(refusal, renamed)
    return _not_done(refusal_sentence(told), {REFUSAL: refusal_facts(told)}, proven)


def _not_done(sentence: str, facts: JsonObject, proven: JsonObject) -> CallToolResult:
    """Return what a model acts on, and the same facts for people and programs: some hosts pass no `_meta` on."""
    body: JsonObject = {**{key.rpartition("/")[2]: value for key, value in facts.items()}, **proven}
    told = TextContent(type="text", text=seen(body), annotations=Annotations(audience=["user"]))
    meta = {**facts, META: proven} if proven else {**facts}
    return CallToolResult(content=[TextContent(type="text", text=sentence), told], is_error=True, _meta=meta)


def _result(result: outcome_pb2.Result) -> JsonObject:
    omitted = {omitted.relation: omitted.count for omitted in result.omitted_columns}
    return result_body(result.columns, json.loads(result.rows_json), _TRUNCATED.get(result.truncation, ""), omitted)
