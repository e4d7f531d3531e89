"""What reaches the wire when something goes wrong? Refusals and references; never an exception's own text.

The guard is the outermost layer of every handler: without it grpc sends an uncaught exception's text to the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar, cast

import grpc

from sandbox.doors.rpc.status import abort_fault, abort_refused
from sandbox.doors.trouble import BEARER, as_fault, note_refusal
from sandbox.reasons import Refused
from sandbox.stages import Credential

Request = TypeVar("Request")
Response = TypeVar("Response")
Unary = Callable[[Request, grpc.ServicerContext], Response]
Streaming = Callable[[Request, grpc.ServicerContext], Iterator[Response]]

ENDING: Final = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""What ends a process or a generator. All else is caught: a panic of an engine is no `Exception`."""


def credential_of(context: grpc.ServicerContext) -> Credential:
    """Return what the peer presented on this very request: its TLS certificate and its bearer token."""
    pem = cast("Mapping[str, Sequence[bytes]]", context.auth_context()).get("x509_pem_cert")
    return Credential(pem[0] if pem else b"", bearer_token(context.invocation_metadata()))


def bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the token of the last `authorization: Bearer …`; empty if there is none."""
    value = dict(metadata).get("authorization")
    return value[len(BEARER) :] if isinstance(value, str) and value.startswith(BEARER) else ""


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


def _abort(context: grpc.ServicerContext, error: BaseException) -> None:
    if isinstance(error, Refused):
        note_refusal(error)
        abort_refused(context, error)
    abort_fault(context, as_fault(error, "grpc handler"))
