"""Does curl get the service's own answers? The Connect protocol, spoken with the standard library."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest
from https import EXECUTE, Https, https_service

from sandbox.audit.verify import verify_receipt
from sandbox.deployment import Deployment
from sandbox.v1 import tool_execution_pb2 as pb

requirement = pytest.mark.requirement
COUNTED = {"sql": "SELECT region, count(*) AS n FROM orders GROUP BY region"}


@pytest.fixture
def https(deployment: Deployment) -> Iterator[Https]:
    with https_service(deployment) as made:
        yield made


def call(tool: str, arguments: object) -> dict[str, str]:
    return {"tool": tool, "argumentsJson": b64encode(json.dumps(arguments).encode()).decode()}


@requirement("connect:unary:answers")
def test_a_call_is_answered_with_a_receipt_that_verifies(https: Https) -> None:
    reply = https.ask(EXECUTE, call("shop.query", COUNTED))

    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    told = reply.json
    assert json.loads(b64decode(told["result"]["rowsJson"])) == [["EU", 12]]
    key = (https.service.deployment.keys / "log.vkey").read_text().strip()
    verified = verify_receipt(b64decode(told["receipt"]), key)
    assert verified.record.door == "connect"
    assert reply.headers["cache-control"] == "no-store"


@requirement("connect:unary:answers")
def test_the_same_call_may_be_written_as_protobuf(https: Https) -> None:
    request = pb.ExecuteRequest(tool="shop.query", arguments_json=json.dumps(COUNTED).encode())
    headers = https.headers() | {"content-type": "application/proto"}

    reply = https.ask(EXECUTE, request.SerializeToString(), headers)

    assert (reply.status, reply.headers["content-type"]) == (200, "application/proto")
    assert json.loads(pb.ExecuteResponse.FromString(reply.body).result.rows_json) == [["EU", 12]]


@requirement("connect:unary:services")
def test_every_rpc_of_both_services_that_is_no_stream_is_there(https: Https) -> None:
    answered = https.ask(EXECUTE, call("shop.query", COUNTED)).json
    tools = https.ask("/sandbox.v1.ToolExecutionService/ListTools").json["tools"]
    assert [tool["name"] for tool in tools] == ["shop.order", "shop.order_by_id", "shop.query"]
    tool = https.ask("/sandbox.v1.ToolExecutionService/GetTool", {"name": "shop.query"}).json["tool"]
    assert tool == tools[-1]
    reference = {"call": {"callId": answered["callId"]}}
    found = https.ask("/sandbox.v1.ToolExecutionService/GetCall", reference).json
    assert found == {"response": answered, "tool": "shop.query"}
    assert https.ask("/sandbox.v1.ToolExecutionService/CancelCall", reference).json == {}
    for rpc, asked in (
        ("GetCheckpoint", {}),
        ("ListRecords", {"tool": "shop.query"}),
        ("GetReceipt", {"callId": answered["callId"]}),
        ("GetConsistencyProof", {"firstSize": "1"}),
        ("ReadPayload", {"callId": answered["callId"], "role": "result"}),
    ):
        reply = https.ask(f"/sandbox.v1.ExecutionLogService/{rpc}", asked, name="reviewer")
        assert reply.status == 200, (rpc, reply.body)


@requirement("connect:unary:refused")
@pytest.mark.parametrize(
    ("path", "body", "answer", "sentence"),
    [
        ("ToolExecutionService/ListTools", {"pageSise": 3}, (400, "invalid_argument"), "pageSise"),
        ("ToolExecutionService/ListTools", '{"pageSize": 1, "pageSize": 2}', (400, "invalid_argument"), "uplicate"),
        ("ToolExecutionService/ListTools", "[" * 5000, (400, "invalid_argument"), "no JSON of `ListToolsRequest`"),
        ("ToolExecutionService/ListTools", b"\xff", (400, "invalid_argument"), "no JSON of `ListToolsRequest`"),
        ("ToolExecutionService/ListTools", {"pageSize": -1}, (400, "invalid_argument"), "1 to 1000 is accepted"),
        ("ToolExecutionService/GetTool", {"name": "shop.nothing"}, (404, "not_found"), "shop.nothing"),
        ("ToolExecutionService/GetCall", {"call": {"callId": "x"}}, (404, "not_found"), ""),
        ("ToolExecutionService/Nothing", {}, (404, "unimplemented"), "there is no RPC"),
        ("ToolExecutionService/ExecuteStream", {}, (501, "unimplemented"), "streams are for gRPC"),
        ("ExecutionLogService/ListRecords", {}, (403, "permission_denied"), ""),
    ],
)
def test_what_cannot_be_answered_is_one_sentence_in_connects_form(
    path: str, body: object, answer: tuple[int, str], sentence: str, https: Https
) -> None:
    reply = https.ask(f"/sandbox.v1.{path}", body)

    assert (reply.status, reply.json["code"]) == answer
    assert sentence in reply.json["message"]
    assert "\n" not in reply.json["message"]


@requirement("connect:unary:refused")
def test_a_refusal_without_a_receipt_carries_its_reason(https: Https) -> None:
    reply = https.ask("/sandbox.v1.ToolExecutionService/GetTool", {"name": "shop.nothing"})

    detail = reply.json["details"][0]
    assert (detail["type"], detail["debug"]["reason"]) == ("google.rpc.ErrorInfo", "TOOL_UNKNOWN")


@requirement("connect:unary:headers")
@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("content_type", "text/plain", 415),
        ("content_type", "application/json; charset=utf-16", 415),
        ("content_encoding", "gzip", 415),
        ("connect_protocol_version", "2", 400),
        ("connect_timeout_ms", "soon", 400),
    ],
)
def test_a_header_that_is_not_understood_is_refused(header: str, value: str, status: int, https: Https) -> None:
    reply = https.ask(EXECUTE, call("shop.query", COUNTED), **{header: value})

    assert reply.status == status
    assert "accepted" in reply.json["message"] or "is read" in reply.json["message"]


@requirement("connect:unary:deadline")
def test_a_call_ends_at_the_callers_deadline(https: Https) -> None:
    endless = {"sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"}

    reply = https.ask(EXECUTE, call("shop.query", endless), connect_timeout_ms="300")

    assert reply.json["refusal"]["reason"] == "EXECUTION_TIMED_OUT"
