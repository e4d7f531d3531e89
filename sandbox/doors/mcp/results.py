"""How does MCP tell an answer? A decided call is a tool's result, a refusal too: a model reads it and mends its call.

Structured content is of results alone: it has to conform to the output schema, which is theirs. What a program wants of
a refusal is JSON in a text for people, and in `_meta`.

https://modelcontextprotocol.io/specification/2026-07-28/server/tools#error-handling
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final, assert_never

from mcp_types import Annotations, CallToolResult, TextContent

from sandbox.doors.mcp.tools import CALL_ID, RECEIPT
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
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that no reader sees, and that turn or hide what is seen; JSON needs none of them as they are."""

_WAIT: Final = re.compile(r"\bwait \d")
"""A message that tells its own delay, as those of rates do: a second number beside it would only differ."""


_QUOTED: Final = re.compile("`([^`]*)`")
_NONE_RENAMED: Final[Mapping[str, str]] = MappingProxyType({})


def call_result(response: pb.ExecuteResponse, renamed: Mapping[str, str] = _NONE_RENAMED) -> CallToolResult:
    """Return a decided call as a tool's result; sentences name tools as `renamed` says that the host knows them."""
    proof: JsonObject = {CALL_ID: response.call_id, RECEIPT: sha256(response.receipt).hexdigest()}
    outcome = response.WhichOneof("outcome")
    match outcome:
        case "result":
            body = {**_result(response.result), **proof}
            text = TextContent(type="text", text=seen(body))
            return CallToolResult(content=[text], structured_content=body, _meta={META: proof})
        case "refusal":
            return _refused(response.refusal, renamed, proof)
        case "pending":
            seconds = response.pending.retry_after_ms / 1000
            later = f"the call is not finished; ask again in {seconds:g} s, with the same arguments"
            return _not_done(later, {PENDING: {"retry_after_s": seconds}}, {CALL_ID: response.call_id})
        case "explanation" | None:
            raise ValueError(outcome)
        case _:
            assert_never(outcome)


def untold_result(
    reason: str, message: str, retry_after_s: float = 0.0, renamed: Mapping[str, str] = _NONE_RENAMED
) -> CallToolResult:
    """Return what a call without a receipt is told: overload, a rate already exceeded, a request that is no call."""
    refusal = outcome_pb2.Refusal(reason=reason, message=message, retry_after_ms=round(retry_after_s * 1000))
    return _refused(refusal, renamed, {})


def _refused(refusal: outcome_pb2.Refusal, renamed: Mapping[str, str], proof: JsonObject) -> CallToolResult:
    told = outcome_pb2.Refusal()
    told.CopyFrom(refusal)
    told.message = _QUOTED.sub(lambda name: f"`{renamed.get(name[1], name[1])}`", refusal.message)
    return _not_done(_sentence(told), {REFUSAL: _refusal(told)}, proof)


def _not_done(sentence: str, facts: JsonObject, proof: JsonObject) -> CallToolResult:
    """Return what a model acts on, and the same facts for people and programs: some hosts pass no `_meta` on."""
    body: JsonObject = {**{key.rpartition("/")[2]: value for key, value in facts.items()}, **proof}
    told = TextContent(type="text", text=seen(body), annotations=Annotations(audience=["user"]))
    meta = {**facts, META: proof} if proof else {**facts}
    return CallToolResult(content=[TextContent(type="text", text=sentence), told], is_error=True, _meta=meta)


def seen(body: JsonObject) -> str:
    """Return JSON in which every character can be seen: what a model reads is what a person reads of it."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return _UNSEEN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _result(result: outcome_pb2.Result) -> JsonObject:
    return {
        "columns": [{"name": c.name, "type": c.type, "declared_type": c.declared_type} for c in result.columns],
        "rows": json.loads(result.rows_json),
        "row_count": result.row_count,
        "truncated_by": _TRUNCATED.get(result.truncation, ""),
        "omitted_columns": {omitted.relation: omitted.count for omitted in result.omitted_columns},
    }


def _refusal(refusal: outcome_pb2.Refusal) -> JsonObject:
    facts: JsonObject = {
        "reason": refusal.reason,
        "message": refusal.message,
        "rule": refusal.rule,
        "line": refusal.line,
        "column": refusal.column,
        "retry_after_s": refusal.retry_after_ms / 1000,
        "metadata": dict(refusal.metadata),
    }
    return {name: value for name, value in facts.items() if value}


def _sentence(refusal: outcome_pb2.Refusal) -> str:
    """Return a refusal as a sentence that a model can act on, with its reason and its place."""
    place = f" (line {refusal.line}, column {refusal.column} of the text)" if refusal.line else ""
    has_delay = refusal.retry_after_ms and not _WAIT.search(refusal.message)
    later = f"; try again in {refusal.retry_after_ms / 1000:g} s" if has_delay else ""
    return _UNSEEN.sub(_escaped, f"{refusal.reason}: {refusal.message}{place}{later}")
