"""What does a model read of a tool and of an answer? One text, whichever way it takes: MCP or a framework's own tools.

A refusal is a sentence that says what would be accepted, a result is JSON, in which every character can be seen.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Protocol, assert_never

from sandbox.client.answers import Answer, Explanation, Pending, Refusal, Result
from sandbox.values import MAX_EXACT, Cell, JsonObject, JsonValue

CALL_ID: Final = "call_id"
RECEIPT: Final = "receipt_sha256"
MAX_EXAMPLES: Final = 3
"""Of a tool's own examples, what its description shows: hosts put descriptions before every prompt."""
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Characters that no reader sees, and that turn or hide what is seen; JSON needs none of them as they are."""

_WAIT: Final = re.compile(r"\bwait \d")
"""A message that tells its own delay, as those of rates do: a second number beside it would only differ."""
_QUOTED: Final = re.compile("`([^`]*)`")
NONE_RENAMED: Final[Mapping[str, str]] = MappingProxyType({})


class TypedColumn(Protocol):
    """A column, on the wire or as a value."""

    @property
    def name(self) -> str:
        """What the statement calls it."""
        ...

    @property
    def type(self) -> str:
        """How its cells are encoded."""
        ...

    @property
    def declared_type(self) -> str:
        """What the catalogue says."""
        ...


def plain_name(name: str) -> str:
    """Return a tool's name without dots, which models and hosts take."""
    return name.replace(".", "__")


def description(summary: str, use_when: str, examples: Iterable[JsonObject]) -> str:
    """Return what a model is told of a tool beside its schema."""
    parts = [summary]
    if use_when:
        parts.append(f"Use when: {use_when}")
    shown = [json.dumps(example, ensure_ascii=False) for example in examples]
    parts += [f"Example: {example}" for example in shown[:MAX_EXAMPLES]]
    return "\n".join(parts)


def text_of(answer: Answer, renamed: Mapping[str, str] = NONE_RENAMED) -> str:
    """Return what a model reads of an answer; sentences name tools as `renamed` says that it knows them."""
    match answer:
        case Result():
            return seen(_body(answer))
        case Refusal():
            return refusal_sentence(renamed_refusal(answer, renamed))
        case Pending():
            return pending_sentence(answer.retry_after_s)
        case Explanation():
            raise ValueError("an explanation is for people")
        case _:
            assert_never(answer)


def _body(result: Result) -> JsonObject:
    rows = [[_cell(cell) for cell in row] for row in result.rows]
    body = result_body(result.columns, rows, result.truncated_by, result.omitted_columns)
    return {**body, **proof(result.call_id, result.receipt.text)}


def proof(call_id: str, receipt: bytes) -> JsonObject:
    """Return what names a call and its receipt."""
    return {CALL_ID: call_id, RECEIPT: sha256(receipt).hexdigest()}


def result_body(
    columns: Iterable[TypedColumn],
    rows: Sequence[JsonValue],
    truncated_by: str,
    omitted_columns: Mapping[str, int],
) -> JsonObject:
    """Return a result as JSON; its cells are those of the wire."""
    return {
        "columns": [{"name": c.name, "type": c.type, "declared_type": c.declared_type} for c in columns],
        "rows": rows,
        "row_count": len(rows),
        "truncated_by": truncated_by,
        "omitted_columns": dict(omitted_columns),
    }


def refusal_facts(refusal: Refusal) -> JsonObject:
    """Return what is known of a refusal, as JSON."""
    facts: JsonObject = {
        "reason": refusal.reason,
        "message": refusal.message,
        "rule": refusal.rule,
        "line": refusal.line,
        "column": refusal.column,
        "retry_after_s": refusal.retry_after_s,
        "metadata": dict(refusal.metadata),
    }
    return {name: value for name, value in facts.items() if value}


def renamed_refusal(refusal: Refusal, renamed: Mapping[str, str]) -> Refusal:
    """Return a refusal whose message names tools as its reader knows them."""
    message = _QUOTED.sub(lambda name: f"`{renamed.get(name[1], name[1])}`", refusal.message)
    return replace(refusal, message=message)


def refusal_sentence(refusal: Refusal) -> str:
    """Return a refusal as a sentence that a model can act on, with its reason and its place."""
    place = f" (line {refusal.line}, column {refusal.column} of the text)" if refusal.line else ""
    has_delay = refusal.retry_after_s and not _WAIT.search(refusal.message)
    later = f"; try again in {refusal.retry_after_s:g} s" if has_delay else ""
    return seen_text(f"{refusal.reason}: {refusal.message}{place}{later}")


def pending_sentence(retry_after_s: float) -> str:
    """Return what a model does about a call that is not finished."""
    return f"the call is not finished; ask again in {retry_after_s:g} s, with the same arguments"


def seen(body: JsonObject) -> str:
    """Return JSON in which every character can be seen: what a model reads is what a person reads of it."""
    return seen_text(json.dumps(body, ensure_ascii=False, separators=(",", ":")))


def seen_text(text: str) -> str:
    """Return the text with what no reader sees written out."""
    return _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _cell(cell: Cell) -> JsonValue:
    """Return a cell as it was on the wire (docs/contract.md, Values)."""
    match cell:
        case bytes():
            return base64.b64encode(cell).decode()
        case int() if abs(cell) > MAX_EXACT:
            return str(cell)
        case float() if not math.isfinite(cell):
            return "NaN" if math.isnan(cell) else "Infinity" if cell > 0 else "-Infinity"
        case _:
            return cell
