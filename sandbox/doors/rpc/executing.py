"""How long does a call of gRPC live? As its caller: hung up, it is cancelled; out of time, refused in time to tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import grpc

from sandbox.doors.desk import Guests
from sandbox.doors.rpc.guard import credential_of
from sandbox.doors.rpc.streams import Line, StreamRoom
from sandbox.doors.tool_service import ToolService, deadline_in
from sandbox.doors.wire import execute_response
from sandbox.pipeline import Sealing
from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation
from sandbox.v1 import tool_execution_pb2 as pb


@final
class Executing:
    """Takes calls, one by one or as a stream."""

    def __init__(self, service: ToolService, guests: Guests, streams: StreamRoom) -> None:
        """Take calls to `service`; streams have their own room."""
        self._service = service
        self._guests = guests
        self._streams = streams

    def execute(self, request: pb.ExecuteRequest, context: grpc.ServicerContext) -> pb.ExecuteResponse:
        """Take one call to its sealed result."""
        cancellation = Cancellation(_deadline(context))
        if not context.add_callback(cancellation.cancel):
            raise Refused(Reason.CALL_CANCELLED, "the caller hung up before the call began")
        return execute_response(self._service.take(request, credential_of(context), cancellation).wait())

    def execute_stream(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[pb.ExecuteStreamResponse]:
        """Take the calls of one stream, each authenticated anew; answers come as they are ready."""
        credential = credential_of(context)
        principal = self._guests.principal(credential)
        hung_up = Cancellation(_deadline(context))
        context.add_callback(hung_up.cancel)

        def take(request: pb.ExecuteRequest) -> Sealing:
            cancellation = Cancellation(hung_up.deadline)
            stop = cancellation.cancel
            hung_up.on_cancel(stop)
            try:
                return self._service.take(request, credential, cancellation)
            finally:
                hung_up.forget(stop)

        line = Line(lambda: self._guests.principal(credential), context.cancel)
        yield from self._streams.serve(principal.subject, requests, take, hung_up, line)


def _deadline(context: grpc.ServicerContext) -> float | None:
    """Return when the work must end for a refusal, with its receipt, to come before the caller's own deadline."""
    left = context.time_remaining()
    return None if left is None else deadline_in(left)
