"""How does an agent call tools, at whatever door? `sandbox.v1.ToolExecutionService`, translated to the pipeline."""

from __future__ import annotations

import time
from typing import Final, assert_never, final

import orjson

from sandbox.doors.desk import Desk
from sandbox.doors.pages import page_of
from sandbox.doors.wire import execute_response
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

SPARED: Final = 0.1
"""Of the time that a caller gives, what is kept for telling that it has run out."""
MOST_SPARED_S: Final = 0.25


def deadline_in(left_s: float) -> float:
    """Return when the work must end, in monotonic seconds, for its refusal to come before the caller's own deadline."""
    return time.monotonic() + left_s - min(MOST_SPARED_S, left_s * SPARED)


@final
class ToolService:
    """Takes each RPC of the service with what the peer presented; holds no state."""

    def __init__(self, desk: Desk, door: str) -> None:
        """Serve what `desk` offers; records name the `door`."""
        self._desk = desk
        self._door = door

    def list_tools(self, request: pb.ListToolsRequest, credential: Credential) -> pb.ListToolsResponse:
        """List the tools that the caller may know of."""
        principal = self._desk.guests.principal(credential)
        rules = self._desk.rules
        rules.permit_principal(principal, Action.LIST_TOOLS)
        tools = self._desk.tools
        specs = [s for s in tools.visible(principal).values() if rules.may(principal, Action.GET_TOOL, s.name)]
        page, next_token = page_of(specs, request.page_size, request.page_token)
        return pb.ListToolsResponse(tools=[self._tool(spec) for spec in page], next_page_token=next_token)

    def get_tool(self, request: pb.GetToolRequest, credential: Credential) -> pb.GetToolResponse:
        """Describe one tool."""
        principal = self._desk.guests.principal(credential)
        spec = self._desk.tools.find(principal, request.name)
        self._desk.rules.permit_principal(principal, Action.GET_TOOL, spec.name)
        return pb.GetToolResponse(tool=self._tool(spec))

    def get_call(self, request: pb.GetCallRequest, credential: Credential) -> pb.GetCallResponse:
        """Answer for one of the caller's own calls; with what came of it only if that is still permitted."""
        principal = self._desk.guests.principal(credential)
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

    def cancel_call(self, request: pb.CancelCallRequest, credential: Credential) -> pb.CancelCallResponse:
        """Stop one of the caller's own calls."""
        principal = self._desk.guests.principal(credential)
        self._desk.rules.permit_principal(principal, Action.CANCEL_CALL)
        call_id, request_id = _reference(request.call)
        was_running = self._desk.calls.cancel(principal, call_id=call_id, request_id=request_id)
        return pb.CancelCallResponse(was_running=was_running)

    def take(self, request: pb.ExecuteRequest, credential: Credential, cancellation: Cancellation) -> Sealing:
        """Take one call to its sealed result, whose record may not be durable yet."""
        pipeline = self._desk.pipeline
        way = pipeline.explain if request.validate_only else pipeline.run
        return way(
            ProposedCall(
                door=self._door,
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


def _reference(call: pb.CallReference) -> tuple[str, str]:
    if not (call.call_id or call.request_id):
        raise Refused(Reason.REQUEST_INVALID, "`call` names no call; set `call_id` or `request_id`")
    return call.call_id, call.request_id
