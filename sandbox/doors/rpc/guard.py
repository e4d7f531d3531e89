"""What reaches the wire when something goes wrong? Refusals and references; never an exception's own text.

The guard is the outermost layer of every handler: without it grpc sends an uncaught exception's text to the client.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message

from sandbox.doors.rpc.status import abort_fault, abort_refused
from sandbox.reasons import Fault, Reason, Refused
from sandbox.stages import Credential
from sandbox.telemetry.events import broke, causes_of, note_often

Request = TypeVar("Request")
Sent = TypeVar("Sent", bound=Message)
Response = TypeVar("Response")
Unary = Callable[[Request, grpc.ServicerContext], Response]
Streaming = Callable[[Request, grpc.ServicerContext], Iterator[Response]]

ENDING: Final = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""What ends a process or a generator. All else is caught: a panic of an engine is no `Exception`."""

_BEARER: Final = "Bearer "


def credential_of(context: grpc.ServicerContext) -> Credential:
    """Return what the peer presented on this very request: its TLS certificate and its bearer token."""
    pem = cast("Mapping[str, Sequence[bytes]]", context.auth_context()).get("x509_pem_cert")
    return Credential(pem[0] if pem else b"", bearer_token(context.invocation_metadata()))


def bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the token of the last `authorization: Bearer …`; empty if there is none."""
    value = dict(metadata).get("authorization")
    return value[len(_BEARER) :] if isinstance(value, str) and value.startswith(_BEARER) else ""


def message_of(kind: type[Sent], data: bytes) -> Sent:
    """Read a request's message; raises `Refused` with `REQUEST_INVALID`.

    # WHY: not left to grpc, which answers INTERNAL to bytes that are no message, as if it were our fault.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        message = f"the request's {len(data)} bytes are no `{kind.__name__}` message"
        raise Refused(Reason.REQUEST_INVALID, message, rule="request/message", is_recorded=False) from error


def guarded(handler: Unary[Request, Response]) -> Unary[Request, Response]:
    """Wrap a handler so that a refusal becomes its status and anything unforeseen an opaque fault."""

    def outermost(request: Request, context: grpc.ServicerContext) -> Response:
        try:
            return handler(request, context)
        except ENDING:
            raise
        except BaseException as error:  # the one place that must catch everything
            _abort(context, error)
            raise

    return outermost


def guarded_stream(handler: Streaming[Request, Response]) -> Streaming[Request, Response]:
    """Wrap a streaming handler like `guarded`."""

    def outermost(request: Request, context: grpc.ServicerContext) -> Iterator[Response]:
        try:
            yield from handler(request, context)
        except ENDING:
            raise
        except BaseException as error:  # the one place that must catch everything
            _abort(context, error)
            raise

    return outermost


def note_refusal(refused: Refused) -> None:
    """Tell operators of a refusal that has no receipt, and why: a log that cannot be written has a cause."""
    with contextlib.suppress(Exception):  # what cannot be told is answered all the same
        note_often("refused without a receipt", refused.reason.value, causes=causes_of(refused))


def as_fault(error: BaseException, where: str) -> Fault:
    """Turn an unforeseen exception into a fault, told to operators by class and place."""
    fault = error if isinstance(error, Fault) else Fault(where)
    if fault.is_new:
        with contextlib.suppress(Exception):
            broke("fault", fault.__cause__ or error, reference=fault.reference)
    return fault


def _abort(context: grpc.ServicerContext, error: BaseException) -> None:
    if isinstance(error, Refused):
        note_refusal(error)
        abort_refused(context, error)
    abort_fault(context, as_fault(error, "grpc handler"))
