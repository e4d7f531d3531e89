"""How does curl call? The unary half of the Connect protocol: one POST a call, as JSON or as protobuf.

https://connectrpc.com/docs/protocol. Unknown keys are refused: a misspelt one would be dropped without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, cast, final

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import Message

from sandbox.doors.desk import Desk
from sandbox.doors.http.asked import Answered, Asked
from sandbox.doors.http.problems import JSON, Problem
from sandbox.doors.log_service import LogService
from sandbox.doors.tool_service import ToolService
from sandbox.doors.trouble import Sent, message_of
from sandbox.reasons import Reason, Refused, quoted
from sandbox.stages import Credential
from sandbox.v1 import execution_log_pb2 as log_pb
from sandbox.v1 import tool_execution_pb2 as tool_pb

DOOR: Final = "connect"
PROTO: Final = b"application/proto"
_STREAMS: Final = "/sandbox.v1.ToolExecutionService/ExecuteStream"
_EXECUTE: Final = "/sandbox.v1.ToolExecutionService/Execute"
_MAX_TIMEOUT_DIGITS: Final = 10

Answering = Callable[[Message, Credential], Message]


class _Rpc(NamedTuple):
    request: type[Message]
    answer: Answering


@final
class Connect:
    """Answers the RPCs of both services that are no streams."""

    def __init__(self, desk: Desk) -> None:
        """Serve what `desk` offers."""
        self._tools = ToolService(desk, DOOR)
        self._rpcs = _rpcs(self._tools, LogService(desk))

    async def answer(self, asked: Asked) -> Answered:
        """Answer one POST."""
        kind = _kind_of(asked.headers)
        if asked.path == _STREAMS:
            raise Problem(501, "unimplemented", "streams are for gRPC; POST each call to `Execute`")
        if asked.path == _EXECUTE:
            request = _read(tool_pb.ExecuteRequest, asked.body, kind)
            response = await asked.execute(self._tools, request, _timeout_s(asked.headers))
            return await asked.on_a_thread(partial(_written, response, kind))
        rpc = self._rpcs.get(asked.path)
        if rpc is None:
            raise Problem(404, "unimplemented", f"there is no RPC {quoted(asked.path)}; docs/http.md lists them")
        message = _read(rpc.request, asked.body, kind)
        return await asked.on_a_thread(lambda: _written(rpc.answer(message, asked.credential), kind))


def _rpcs(tools: ToolService, log: LogService) -> Mapping[str, _Rpc]:
    listed: tuple[tuple[str, type[Message], object], ...] = (
        ("ToolExecutionService/ListTools", tool_pb.ListToolsRequest, tools.list_tools),
        ("ToolExecutionService/GetTool", tool_pb.GetToolRequest, tools.get_tool),
        ("ToolExecutionService/GetCall", tool_pb.GetCallRequest, tools.get_call),
        ("ToolExecutionService/CancelCall", tool_pb.CancelCallRequest, tools.cancel_call),
        ("ExecutionLogService/GetCheckpoint", log_pb.GetCheckpointRequest, log.get_checkpoint),
        ("ExecutionLogService/ListRecords", log_pb.ListRecordsRequest, log.list_records),
        ("ExecutionLogService/GetReceipt", log_pb.GetReceiptRequest, log.get_receipt),
        ("ExecutionLogService/GetConsistencyProof", log_pb.GetConsistencyProofRequest, log.get_consistency_proof),
        ("ExecutionLogService/ReadPayload", log_pb.ReadPayloadRequest, log.read_payload),
    )
    return {f"/sandbox.v1.{name}": _Rpc(request, cast("Answering", answer)) for name, request, answer in listed}


def _kind_of(headers: Mapping[bytes, bytes]) -> bytes:
    """Return how the body is written; raises `Problem` for other ways, and for other versions of the protocol."""
    version = headers.get(b"connect-protocol-version", b"1")
    if version != b"1":
        shown = quoted(version.decode("latin-1"))
        raise Problem(400, "invalid_argument", f"`connect-protocol-version` is {shown}; `1` is accepted")
    kind, _, more = headers.get(b"content-type", b"").lower().partition(b";")
    if kind.strip() not in (JSON, PROTO) or more.strip() not in (b"", b"charset=utf-8"):
        message = "`content-type: application/json` is accepted, or `application/proto`"
        raise Problem(415, "invalid_argument", message, (b"accept-post", JSON + b", " + PROTO))
    return kind.strip()


def _timeout_s(headers: Mapping[bytes, bytes]) -> float | None:
    """Return the caller's own deadline, in seconds from now."""
    told = headers.get(b"connect-timeout-ms")
    if told is None:
        return None
    if not (told.isdigit() and len(told) <= _MAX_TIMEOUT_DIGITS):
        message = f"`connect-timeout-ms` is {quoted(told.decode('latin-1'))}; whole milliseconds are accepted"
        raise Problem(400, "invalid_argument", message)
    return int(told) / 1000


def _read(kind: type[Sent], body: bytes, written_as: bytes) -> Sent:
    if written_as == PROTO:
        return message_of(kind, body)
    try:
        return Parse(body or b"{}", kind())
    except (ParseError, UnicodeDecodeError, RecursionError, ValueError) as error:
        message = f"the body is no JSON of `{kind.__name__}`: {quoted(str(error), 200)}"
        raise Refused(Reason.REQUEST_INVALID, message, rule="request/message", is_recorded=False) from error


def _written(message: Message, kind: bytes) -> Answered:
    if kind == PROTO:
        return Answered(message.SerializeToString(), PROTO)
    return Answered(MessageToJson(message, indent=None).encode(), JSON)
