"""How does an agent call tools over gRPC? `sandbox.v1.ToolExecutionService`, translated to the pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, assert_never

import grpc
import orjson

from sandbox.doors.rpc.desk import Desk
from sandbox.doors.rpc.guard import credential_of
from sandbox.doors.rpc.pages import page_of
from sandbox.doors.rpc.streams import Line, StreamRoom
from sandbox.doors.rpc.wire import execute_response
from sandbox.pipeline import Sealing
from sandbox.reasons import Reason, Refused
from sandbox.stages import (
    Action,
    Cancellation,
    Credential,
    Explanation,
    ProposedCall,
    ResultBody,
    StillRunning,
)
from sandbox.toolspec import ToolSpec
from sandbox.v1 import tool_execution_pb2 as pb

DOOR: Final = "grpc"

SPARED: Final = 0.1
"""Of the time that a caller gives, what is kept for telling that it has run out."""
MOST_SPARED_S: Final = 0.25


class ToolExecutionServicer:
    """Translates each RPC of the service; holds no state but the room for streams."""

    def __init__(self, desk: Desk, streams: StreamRoom) -> None:
        """Serve what `desk` offers."""
        self._desk = desk
        self._streams = streams

    def list_tools(self, request: pb.ListToolsRequest, context: grpc.ServicerContext) -> pb.ListToolsResponse:
        """List the tools that the caller may know of."""
        principal = self._desk.guests.principal(credential_of(context))
        rules = self._desk.rules
        rules.permit_principal(principal, Action.LIST_TOOLS)
        tools = self._desk.tools
        specs = [s for s in tools.visible(principal).values() if rules.may(principal, Action.GET_TOOL, s.name)]
        page, next_token = page_of(specs, request.page_size, request.page_token)
        return pb.ListToolsResponse(tools=[self._tool(spec) for spec in page], next_page_token=next_token)

    def get_tool(self, request: pb.GetToolRequest, context: grpc.ServicerContext) -> pb.GetToolResponse:
        """Describe one tool."""
        principal = self._desk.guests.principal(credential_of(context))
        spec = self._desk.tools.find(principal, request.name)
        self._desk.rules.permit_principal(principal, Action.GET_TOOL, spec.name)
        return pb.GetToolResponse(tool=self._tool(spec))

    def execute(self, request: pb.ExecuteRequest, context: grpc.ServicerContext) -> pb.ExecuteResponse:
        """Take one call to its sealed result."""
        cancellation = Cancellation(_deadline(context))
        if not context.add_callback(cancellation.cancel):
            raise Refused(Reason.CALL_CANCELLED, "the caller hung up before the call began")
        return execute_response(self._take(request, credential_of(context), cancellation).wait())

    def execute_stream(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[pb.ExecuteStreamResponse]:
        """Take the calls of one stream, each authenticated anew; answers come as they are ready."""
        credential = credential_of(context)
        principal = self._desk.guests.principal(credential)
        hung_up = Cancellation(_deadline(context))
        context.add_callback(hung_up.cancel)

        def take(request: pb.ExecuteRequest) -> Sealing:
            cancellation = Cancellation(hung_up.deadline)
            stop = cancellation.cancel
            hung_up.on_cancel(stop)
            try:
                return self._take(request, credential, cancellation)
            finally:
                hung_up.forget(stop)

        line = Line(lambda: self._desk.guests.principal(credential), context.cancel)
        yield from self._streams.serve(principal.subject, requests, take, hung_up, line)

    def get_call(self, request: pb.GetCallRequest, context: grpc.ServicerContext) -> pb.GetCallResponse:
        """Answer for one of the caller's own calls; with what came of it only if that is still permitted."""
        principal = self._desk.guests.principal(credential_of(context))
        rules = self._desk.rules
        rules.permit_principal(principal, Action.GET_CALL)
        call_id, request_id = _reference(request.call)
        sealed = self._desk.calls.find(principal, call_id=call_id, request_id=request_id)
        match sealed.answer:
            case ResultBody():
                rules.permit_result(principal, self._desk.tools.find(principal, sealed.tool).name)
            case Explanation():
                rules.permit_principal(principal, Action.EXPLAIN, self._desk.tools.find(principal, sealed.tool).name)
            case Refused() | StillRunning():
                pass
            case _:
                assert_never(sealed.answer)
        return pb.GetCallResponse(response=execute_response(sealed), tool=sealed.tool)

    def cancel_call(self, request: pb.CancelCallRequest, context: grpc.ServicerContext) -> pb.CancelCallResponse:
        """Stop one of the caller's own calls."""
        principal = self._desk.guests.principal(credential_of(context))
        self._desk.rules.permit_principal(principal, Action.CANCEL_CALL)
        call_id, request_id = _reference(request.call)
        was_running = self._desk.calls.cancel(principal, call_id=call_id, request_id=request_id)
        return pb.CancelCallResponse(was_running=was_running)

    def _take(self, request: pb.ExecuteRequest, credential: Credential, cancellation: Cancellation) -> Sealing:
        pipeline = self._desk.pipeline
        way = pipeline.explain if request.validate_only else pipeline.run
        return way(
            ProposedCall(
                door=DOOR,
                credential=credential,
                tool=request.tool,
                arguments_json=request.arguments_json,
                request_id=request.request_id,
                validate_only=request.validate_only,
                cancellation=cancellation,
                received_at=time.monotonic(),
            )
        )

    def _tool(self, spec: ToolSpec) -> pb.Tool:
        return pb.Tool(
            name=spec.name,
            version=spec.version,
            summary=spec.summary,
            use_when=spec.use_when,
            input_schema_json=self._desk.tools.input_schema_json(spec),
            output_schema_json=self._desk.tools.output_schema_json(spec),
            effects=spec.effects,
            spec_digest=spec.digest,
            examples_json=_examples(spec),
        )


def _examples(spec: ToolSpec) -> list[str]:
    """Return the calls that must be answered, each once: a spec may make one as several callers."""
    calls = [orjson.dumps(example.call).decode() for example in spec.examples if example.expected_refusal is None]
    return list(dict.fromkeys(calls))


def _deadline(context: grpc.ServicerContext) -> float | None:
    """Return when the work must end for a refusal, with its receipt, to come before the caller's own deadline."""
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left - min(MOST_SPARED_S, left * SPARED)


def _reference(call: pb.CallReference) -> tuple[str, str]:
    if not (call.call_id or call.request_id):
        raise Refused(Reason.REQUEST_INVALID, "`call` names no call; set `call_id` or `request_id`")
    return call.call_id, call.request_id
