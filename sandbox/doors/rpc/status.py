"""How does a refusal without a receipt, or a fault, look on the wire? One mapping to `google.rpc.Status`."""

from __future__ import annotations

from typing import Final, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from grpc_status import rpc_status

from sandbox.reasons import Effect, Fault, Refused, Status

DOMAIN: Final = "sandbox.v1"
"""`google.rpc.ErrorInfo.domain` of every reason of ours."""


def abort_refused(context: grpc.ServicerContext, refused: Refused) -> NoReturn:
    """End the RPC with the refusal's status, its reason as `ErrorInfo` and its delay as `RetryInfo`."""
    details = [_packed(ErrorInfo(reason=refused.reason.value, domain=DOMAIN, metadata=_metadata(refused)))]
    if refused.retry_after_s > 0:
        delay = Duration()
        delay.FromNanoseconds(int(refused.retry_after_s * 1e9))
        details.append(_packed(RetryInfo(retry_delay=delay)))
    status = RpcStatus(code=int(refused.status), message=refused.message, details=details)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError  # abort_with_status always raises


def abort_fault(context: grpc.ServicerContext, fault: Fault) -> NoReturn:
    """End the RPC as INTERNAL with nothing but the fault's reference."""
    status = RpcStatus(code=int(Status.INTERNAL), message=str(fault))
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError  # abort_with_status always raises


def _metadata(refused: Refused) -> dict[str, str]:
    effect = {} if refused.effect is Effect.UNSPECIFIED else {"effect": refused.effect.name.lower()}
    return dict(refused.metadata) | ({"rule": refused.rule} if refused.rule else {}) | effect


def _packed(message: ErrorInfo | RetryInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
