"""Which exception, or which value, is a gRPC status? The one translation, for both clients."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import Final, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus

from sandbox.client.answers import ClientError, NotAuthenticated, Refusal, ServiceError, Unavailable

_DETAILS = "grpc-status-details-bin"
_UNAVAILABLE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
_ENDED: Final = re.compile("Cancelling all calls|Socket closed|Connection reset|GOAWAY")
"""How gRPC says that the other side went away with the request in its hands."""


def refusal_or_raise(error: grpc.RpcError, awaited: str = "in time") -> Refusal:
    """Return the refusal that a status carries, if it is about a call; raise what else it means."""
    info, delay_s = _details(error)
    if info is not None and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        metadata = dict(info.metadata)
        return Refusal(
            call_id="",
            reason=info.reason,
            message=error.details() or "",
            rule=metadata.pop("rule", ""),
            retry_after_s=delay_s,
            line=0,
            column=0,
            metadata=metadata,
            receipt=None,
        )
    # WHY None: the sentence says all of it, and who asks without a service would read two tracebacks to find it.
    raise meaning_of(error, awaited) from None


def meaning_of(error: grpc.RpcError, awaited: str = "in time") -> ClientError:
    """Return what a status means to the caller, who waited for what `awaited` says."""
    info, delay_s = _details(error)
    message = error.details() or str(error.code())
    reason = info.reason if info is not None else ""
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return NotAuthenticated(message, reason)
    if info is None and _is_ended(error, message):
        return Unavailable("the service ended before it answered")
    if info is None and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable(f"the service did not answer {awaited}")
    if error.code() in _UNAVAILABLE:
        told = {} if info is None else info.metadata
        effect, call_id = told.get("effect", ""), told.get("call_id", "")
        return Unavailable(message, reason, delay_s, effect=effect, call_id=call_id)
    return ServiceError(message, reason)


def _is_ended(error: grpc.RpcError, message: str) -> bool:
    ends = {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
    return error.code() in ends and _ENDED.search(message) is not None


def _details(error: grpc.RpcError) -> tuple[ErrorInfo | None, float]:
    info, delay_s = None, 0.0
    trailers = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for key, value in trailers:
        if key != _DETAILS or not isinstance(value, bytes):
            continue
        with contextlib.suppress(DecodeError):  # of somebody in between; the status itself stands
            for detail in RpcStatus.FromString(value).details:
                found, retry = ErrorInfo(), RetryInfo()
                if detail.Unpack(found):
                    info = found
                elif detail.Unpack(retry):
                    delay_s = retry.retry_delay.ToNanoseconds() / 1e9
    return info, delay_s
