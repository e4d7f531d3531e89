"""Who gets as far as a thread? Only requests whose token bears our signature.

grpc gives each request a thread and waits there for its message. Without this, one certificate and no token could hold
every thread by sending headers and nothing else. Everything else about the caller is proven with the request itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, cast, final

import grpc

from sandbox.doors.desk import Guests
from sandbox.doors.rpc.guard import bearer_token, guarded_stream
from sandbox.doors.rpc.threads import CallThreads
from sandbox.doors.trouble import too_many_at_once
from sandbox.reasons import Refused

_Handler: TypeAlias = "grpc.RpcMethodHandler[object, object]"


@final
class Threshold(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Turns strangers away before a thread waits for what they may never send."""

    def __init__(self, guests: Guests, threads: CallThreads) -> None:
        """Ask `guests` about tokens, and `threads` whether there is one more for whom they belong to."""
        self._guests = guests
        self._threads = threads

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], _Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Let the request in, or answer it without reading it."""
        self._threads.expect_nobody()
        metadata = cast("Sequence[tuple[str, str | bytes]]", handler_call_details.invocation_metadata)
        try:
            subject = self._guests.greet(bearer_token(metadata))
        except Refused as refused:
            return _turned_away(refused)
        if not self._threads.expect(subject):
            return _turned_away(too_many_at_once())
        return continuation(handler_call_details)


def _turned_away(refused: Refused) -> _Handler:
    # WHY: a handler of streams is called before the first message has come; one of single messages waits for it.
    def answer(_: object, __: grpc.ServicerContext) -> Iterator[object]:
        raise Refused(refused.reason, refused.message, rule=refused.rule, retry_after_s=refused.retry_after_s)

    return cast("_Handler", grpc.stream_stream_rpc_method_handler(guarded_stream(answer)))
