"""What came from where, and what may go where? Every argument is the model's; results leave encoded and capped."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import final

from sandbox.flow.cells import encoded_rows
from sandbox.stages import ExecutedCall, Origin, ReleasedResult, ResultBody, TracedCall, Truncation, ValidatedCall


@functools.lru_cache(maxsize=4096)
def _all_from_model(names: tuple[str, ...]) -> Mapping[str, Origin]:
    return MappingProxyType(dict.fromkeys(names, Origin.MODEL))


@final
class Flow:
    """Stateless until sessions exist: without one, every argument's origin is the model."""

    def trace(self, validated: ValidatedCall) -> TracedCall:
        """Find the origin of every argument."""
        return TracedCall(validated=validated, origins=_all_from_model(tuple(validated.arguments)))

    def release(self, executed: ExecutedCall) -> ReleasedResult:
        """Encode the rows (docs/contract.md, Values) and cut them at a row boundary if they exceed `max_bytes`."""
        plan = executed.authorized.planned.plan
        rows_json, kept = encoded_rows(executed.rows, plan.max_bytes)
        is_cut = kept < len(executed.rows)
        body = ResultBody(
            columns=executed.columns,
            rows_json=rows_json,
            row_count=kept,
            truncation=Truncation.BYTES if is_cut else executed.truncation,
            omitted=plan.omitted,
        )
        return ReleasedResult(executed=executed, body=body)
