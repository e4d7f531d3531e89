"""What do callers of every door learn of a refusal without a receipt? The details of `google.rpc.Status` (AIP-193)."""

from __future__ import annotations

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from sandbox.reasons import Effect, Refused

DOMAIN: Final = "sandbox.v1"
"""`google.rpc.ErrorInfo.domain` of every reason of ours."""


def details_of(refused: Refused) -> list[ErrorInfo | RetryInfo]:
    """Return the refusal's reason as `ErrorInfo`, and its delay as `RetryInfo` if it has one."""
    details: list[ErrorInfo | RetryInfo] = [
        ErrorInfo(reason=refused.reason.value, domain=DOMAIN, metadata=_metadata(refused))
    ]
    if refused.retry_after_s > 0:
        delay = Duration()
        delay.FromNanoseconds(int(refused.retry_after_s * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    return details


def _metadata(refused: Refused) -> dict[str, str]:
    effect = {} if refused.effect is Effect.UNSPECIFIED else {"effect": refused.effect.name.lower()}
    return dict(refused.metadata) | ({"rule": refused.rule} if refused.rule else {}) | effect
