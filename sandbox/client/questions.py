"""What does a client ask, and what is made of the answer? Everything about an RPC but the waiting, for both clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, NoReturn, TypeVar, final

import grpc
from google.protobuf.message import DecodeError

from sandbox.client.answers import Answer, ServiceError, arguments_json, read_answer
from sandbox.client.errors import meaning_of, refusal_or_raise
from sandbox.client.tools import Tool, tool_of
from sandbox.v1 import tool_execution_pb2 as pb
from sandbox.values import JsonObject

SERVICE: Final = "/sandbox.v1.ToolExecutionService/"

Value = TypeVar("Value")


@final
@dataclass(frozen=True, slots=True)
class Question(Generic[Value]):
    """One unary RPC: what is sent, and how its end becomes a value."""

    method: str
    request: bytes
    read: Callable[[bytes], Value]
    """Of the response; see `value_of`."""
    read_error: Callable[[grpc.RpcError, str], Value]
    """Raises a `ClientError` where the error is no value; the text says what was waited for, and how long."""
    what: str = "the call"
    """What is waited for."""

    def value_of_error(self, error: grpc.RpcError, timeout_s: float) -> Value:
        """Read an error that ended the RPC, which was waited for so long."""
        return self.read_error(error, f"{self.what} within {timeout_s:g} s")

    def value_of(self, response: bytes) -> Value:
        """Read a response; raises `ReceiptInvalid`, or `ServiceError` for bytes that are no answer."""
        try:
            return self.read(response)
        except (DecodeError, ValueError, TypeError, RecursionError) as error:
            raise ServiceError(f"the service's answer cannot be read ({type(error).__name__})") from error


@final
@dataclass(frozen=True, slots=True)
class ToolPage:
    """Some tools, and how to ask for those after them."""

    tools: tuple[Tool, ...]
    next_token: str
    """Empty on the last page."""


@final
@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of a client that believes one log key."""

    log_verifier_key: str

    def execute(
        self, tool: str, arguments: JsonObject | str | bytes, request_id: str = "", *, validate_only: bool = False
    ) -> Question[Answer]:
        """Ask for a call, or with `validate_only` what it would do; raises `ServiceError` for what cannot be sent."""
        request = pb.ExecuteRequest(
            tool=_unicode("tool", tool),
            arguments_json=arguments_json(arguments),
            request_id=_unicode("request_id", request_id),
            validate_only=validate_only,
        )

        def read(response: bytes) -> Answer:
            return read_answer(pb.ExecuteResponse.FromString(response), tool, self.log_verifier_key)

        return Question(SERVICE + "Execute", request.SerializeToString(), read, refusal_or_raise)

    def get_call(self, call_id: str, request_id: str) -> Question[Answer]:
        """Ask for the answer of one of the caller's own calls."""

        def read(response: bytes) -> Answer:
            found = pb.GetCallResponse.FromString(response)
            return read_answer(found.response, found.tool, self.log_verifier_key)

        request = pb.GetCallRequest(call=_reference(call_id, request_id))
        return Question(
            SERVICE + "GetCall", request.SerializeToString(), read, raise_meaning, "the question about a call"
        )

    def cancel(self, call_id: str, request_id: str) -> Question[bool]:
        """Ask to stop one of the caller's own calls; whether it was running."""

        def read(response: bytes) -> bool:
            return pb.CancelCallResponse.FromString(response).was_running

        request = pb.CancelCallRequest(call=_reference(call_id, request_id))
        return Question(
            SERVICE + "CancelCall", request.SerializeToString(), read, raise_meaning, "the wish to cancel a call"
        )

    def tools(self, token: str) -> Question[ToolPage]:
        """Ask for a page of the tools within scope; an empty token is the first one's."""

        def read(response: bytes) -> ToolPage:
            page = pb.ListToolsResponse.FromString(response)
            return ToolPage(tuple(map(tool_of, page.tools)), page.next_page_token)

        request = pb.ListToolsRequest(page_token=token)
        return Question(
            SERVICE + "ListTools", request.SerializeToString(), read, raise_meaning, "the question for its tools"
        )


def _reference(call_id: str, request_id: str) -> pb.CallReference:
    if call_id:
        return pb.CallReference(call_id=_unicode("call_id", call_id))
    return pb.CallReference(request_id=_unicode("request_id", request_id))


def _unicode(name: str, text: str) -> str:
    """Return the text; raises `ServiceError`, as the service would, for one that has no bytes in UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        message = f"`{name}` holds half of a surrogate pair; Unicode text is accepted"
        raise ServiceError(message, "REQUEST_INVALID") from error
    return text


def raise_meaning(error: grpc.RpcError, awaited: str) -> NoReturn:
    """Raise the `ClientError` that a status means to who waited for what `awaited` says."""
    raise meaning_of(error, awaited) from None
