"""Which exception, or which value, is a gRPC status, and what of it stays?"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from sandbox.client import (
    AsyncClient,
    Client,
    ClientError,
    NotAuthenticated,
    Refusal,
    ServiceError,
    Unavailable,
    answers,
)
from sandbox.client.answers import arguments_json
from sandbox.client.errors import meaning_of, refusal_or_raise
from sandbox.client.questions import Questions
from sandbox.v1 import outcome_pb2
from sandbox.v1 import tool_execution_pb2 as pb


class Told(grpc.RpcError):
    """An error as grpc raises it."""

    def __init__(self, code: grpc.StatusCode, reason: str = "", delay_s: int = 0, sentence: str = "a sentence") -> None:
        self._code = code
        self.sentence = sentence
        details = [AnyMessage(), AnyMessage()]
        details[0].Pack(ErrorInfo(reason=reason, domain="sandbox.v1", metadata={"rule": "some/rule"}))
        details[1].Pack(RetryInfo(retry_delay=Duration(seconds=delay_s)))
        self._status = Status(code=code.value[0], details=details if reason else ())

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self.sentence

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return (("grpc-status-details-bin", self._status.SerializeToString()),)


@pytest.mark.requirement("client:errors:reason")
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, NotAuthenticated),
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Unavailable),
        (grpc.StatusCode.NOT_FOUND, ServiceError),
        (grpc.StatusCode.INTERNAL, ServiceError),
    ],
)
def test_a_status_keeps_its_sentence_its_reason_and_its_delay(code: grpc.StatusCode, kind: type[ClientError]) -> None:
    error = meaning_of(Told(code, "SOME_REASON", 3))
    assert type(error) is kind
    assert (str(error), error.reason) == ("a sentence", "SOME_REASON")
    assert not isinstance(error, Unavailable) or error.retry_after_s == 3
    assert not meaning_of(Told(code)).reason


@pytest.mark.requirement("client:errors:reason")
def test_a_limit_is_a_refusal_and_all_else_is_raised() -> None:
    refusal = refusal_or_raise(Told(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", 3))
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.rule, refusal.retry_after_s) == ("RATE_LIMITED", "some/rule", 3)
    with pytest.raises(Unavailable) as caught:
        refusal_or_raise(Told(grpc.StatusCode.UNAVAILABLE, "RECEIPT_LOG_UNAVAILABLE"))
    assert caught.value.__suppress_context__, "who reads the traceback reads one"
    assert caught.value.reason == "RECEIPT_LOG_UNAVAILABLE"


@pytest.mark.requirement("client:errors:sentence")
@pytest.mark.parametrize(
    ("code", "grpc_says", "sentence"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "the service did not answer the call within 0.5 s"),
        (grpc.StatusCode.CANCELLED, "Cancelling all calls", "the service ended before it answered"),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", "the service ended before it answered"),
        (grpc.StatusCode.UNAVAILABLE, "recvmsg:Connection reset by peer", "the service ended before it answered"),
        (grpc.StatusCode.UNAVAILABLE, "of a proxy", "of a proxy"),
    ],
)
def test_no_answer_is_told_in_our_words(code: grpc.StatusCode, grpc_says: str, sentence: str) -> None:
    with pytest.raises(Unavailable) as caught:
        Questions("").execute("t", {}).value_of_error(Told(code, sentence=grpc_says), 0.5)
    assert str(caught.value) == sentence
    told_by_the_service = meaning_of(Told(code, "SOME_REASON", sentence=grpc_says))
    assert (str(told_by_the_service), told_by_the_service.reason) == (grpc_says, "SOME_REASON")


def test_both_clients_take_the_same_questions() -> None:
    def questions(kind: type) -> dict[str, inspect.Signature]:
        members = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(member) for name, member in members if not name.startswith("_")}

    def without_tools(kind: type) -> dict[str, inspect.Signature]:
        asked = questions(kind)
        assert list(asked.pop("tools").parameters) == ["self"]  # each lists tools of its own kind
        return asked

    assert without_tools(Client) == without_tools(AsyncClient)


def page(**facts: str) -> bytes:
    return pb.ListToolsResponse(tools=[pb.Tool(name="t", **facts)]).SerializeToString()


@pytest.mark.requirement("client:errors:malformed")
@pytest.mark.parametrize(
    "response",
    [b"\xff", page(input_schema_json="{"), page(input_schema_json="[" * 100_000)],
    ids=["wire", "json", "deep"],
)
def test_a_response_that_is_none_is_an_error_of_the_service(response: bytes) -> None:
    with pytest.raises(ServiceError, match=r"^the service's answer cannot be read \([A-Za-z]+\)$"):
        Questions("").tools("").value_of(response)


@pytest.mark.requirement("client:errors:malformed")
@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (["integer"], b"[["),
        (["integer"], b'[["x"]]'),
        (["blob"], b'[["!"]]'),
        (["text"], b"[[1,2]]"),
        (["text"], b"[5]"),
    ],
)
def test_rows_that_are_none_are_an_error_of_the_service(
    columns: list[str], rows: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_verified", lambda *_: None)
    result = outcome_pb2.Result(columns=[outcome_pb2.Column(name="a", type=each) for each in columns], rows_json=rows)
    response = pb.ExecuteResponse(result=result).SerializeToString()
    with pytest.raises(ServiceError):
        Questions("").execute("t", {}).value_of(response)


@pytest.mark.requirement("client:errors:malformed")
def test_details_that_are_none_leave_the_status() -> None:
    class Garbled(Told):
        def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
            return (("grpc-status-details-bin", b"\xff"),)

    error = meaning_of(Garbled(grpc.StatusCode.NOT_FOUND))
    assert (type(error), str(error), error.reason) == (ServiceError, "a sentence", "")


@pytest.mark.requirement("client:arguments:judged")
def test_what_a_model_wrote_goes_out_for_the_service_to_judge() -> None:
    half = "\ud800"
    assert arguments_json({"sql": half}) == arguments_json('{"sql":"\ud800"}') == b'{"sql":"\xed\xa0\x80"}'


@pytest.mark.requirement("client:arguments:judged")
@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("tool", lambda questions: questions.execute("\udcff", "{}")),
        ("request_id", lambda questions: questions.execute("shop.query", "{}", "\udcff")),
        ("call_id", lambda questions: questions.get_call("\udcff", "")),
    ],
)
def test_a_name_that_has_no_bytes_is_refused_at_once(name: str, ask: Callable[[Questions], object]) -> None:
    with pytest.raises(ServiceError, match=rf"^`{name}` holds half of a surrogate pair") as refused:
        ask(Questions(""))
    assert refused.value.reason == "REQUEST_INVALID"
