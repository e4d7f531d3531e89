"""How does a refusal without a receipt, or a fault, look on the wire? One mapping to `google.rpc.Status`."""

from __future__ import annotations

from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from grpc_status import rpc_status

from sandbox.doors.details import details_of
from sandbox.reasons import Fault, Refused, Status


def abort_refused(context: grpc.ServicerContext, refused: Refused) -> NoReturn:
    """End the RPC with the refusal's status, its reason as `ErrorInfo` and its delay as `RetryInfo`."""
    details = [_packed(detail) for detail in details_of(refused)]
    status = RpcStatus(code=int(refused.status), message=refused.message, details=details)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError  # abort_with_status always raises


def abort_fault(context: grpc.ServicerContext, fault: Fault) -> NoReturn:
    """End the RPC as INTERNAL with nothing but the fault's reference."""
    status = RpcStatus(code=int(Status.INTERNAL), message=str(fault))
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError  # abort_with_status always raises


def _packed(message: ErrorInfo | RetryInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
