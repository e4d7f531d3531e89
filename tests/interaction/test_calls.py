"""Does a call go the whole way, over mutual TLS, and come back with a receipt that verifies offline?"""

from __future__ import annotations

import asyncio
from dataclasses import fields

import grpc
import pytest
from conftest import Service

from sandbox.audit.verify import verify_receipt
from sandbox.client import (
    AsyncClient,
    Client,
    Explanation,
    NotAuthenticated,
    ReceiptInvalid,
    Refusal,
    Result,
    ServiceError,
    Tool,
)
from sandbox.client.answers import read_answer
from sandbox.v1 import record_pb2
from sandbox.v1 import tool_execution_pb2 as pb

COUNT = {"sql": "SELECT region, count(*) AS orders FROM orders GROUP BY region"}


@pytest.mark.requirement("client:receipt:verified")
def test_a_model_written_query_sees_only_the_rows_of_its_claim(service: Service, client: Client) -> None:
    answer = client.call("shop.query", COUNT)
    assert isinstance(answer, Result)
    assert [row[0] for row in answer.rows] == ["EU"]
    key = (service.deployment.keys / "log.vkey").read_text("utf-8")
    record = verify_receipt(answer.receipt.text, key).record
    assert (record.kind, record.tool, record.rows) == (record_pb2.RECORD_KIND_READ, "shop.query", 1)
    assert [descriptor.role for descriptor in record.payloads] == ["arguments", "proposed_sql", "run_sql", "result"]


def test_a_fixed_statement_runs_with_bound_parameters(client: Client) -> None:
    answer = client.call("shop.order", {"id": 1})
    assert isinstance(answer, Result)
    assert [column.name for column in answer.columns] == ["id", "region", "cents"]
    assert answer.rows[0][0] == 1


def test_a_statement_runs_again_with_other_bound_values_and_keeps_to_the_region(client: Client) -> None:
    answers = [client.call("shop.order_by_id", {"id": number}) for number in (7, 9999, 3, 7, 2)]
    assert [len(answer.rows) if isinstance(answer, Result) else answer for answer in answers] == [1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("shop.query", {"sql": "DELETE FROM orders"}, "SQL_NOT_READ_ONLY"),
        ("shop.query", {"sql": "SELECT 1; SELECT 2"}, "SQL_NOT_READ_ONLY"),
        ("shop.query", {"sql": "SELECT * FROM sqlite_schema"}, "SQL_OBJECT_FORBIDDEN"),
        ("shop.query", {"sql": "SELECT email FROM customers"}, "SQL_OBJECT_FORBIDDEN"),
        ("shop.query", {"sql": "SELEC 1"}, "SQL_UNPARSABLE"),
        ("shop.query", {"sq": "SELECT 1"}, "ARGUMENT_INVALID"),
        ("shop.order", {"id": "1"}, "ARGUMENT_INVALID"),
        ("shop.order", '{"id": 1, "id": 2}', "ARGUMENT_INVALID"),
        ("shop.nothing", {}, "TOOL_UNKNOWN"),
    ],
)
def test_a_refusal_is_a_value_with_a_verified_receipt(
    client: Client, tool: str, arguments: dict[str, object] | str, reason: str
) -> None:
    answer = client.call(tool, arguments)
    assert isinstance(answer, Refusal)
    assert answer.reason == reason
    assert answer.receipt is not None
    assert answer.receipt.verified.record.reason == reason


@pytest.mark.requirement("client:receipt:verified")
def test_a_receipt_about_another_answer_is_not_believed(service: Service) -> None:
    key = (service.deployment.keys / "log.vkey").read_text("utf-8")
    with service.channel() as channel:
        execute = channel.unary_unary(
            "/sandbox.v1.ToolExecutionService/Execute",
            pb.ExecuteRequest.SerializeToString,
            pb.ExecuteResponse.FromString,
        )
        request = pb.ExecuteRequest(tool="shop.order", arguments_json=b'{"id":1}')
        first = execute(request, metadata=service.identity().metadata())
        second = execute(request, metadata=service.identity().metadata())
    assert isinstance(read_answer(first, "shop.order", key), Result)
    first.receipt = second.receipt
    with pytest.raises(ReceiptInvalid):
        read_answer(first, "shop.order", key)


@pytest.mark.requirement("doors:call:idempotent")
def test_the_same_request_gives_the_same_answer_and_receipt(client: Client) -> None:
    first = client.call("shop.order", {"id": 1}, request_id="once")
    second = client.call("shop.order", {"id": 1}, request_id="once")
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert (second.call_id, second.rows, second.receipt.text) == (first.call_id, first.rows, first.receipt.text)
    with pytest.raises(ServiceError) as error:
        client.call("shop.order", {"id": 2}, request_id="once")
    assert error.value.reason == "CALL_REPLAYED"


@pytest.mark.requirement("doors:explain:runs-nothing")
def test_explain_tells_and_runs_nothing(client: Client) -> None:
    explained = client.explain("shop.query", COUNT)
    assert isinstance(explained, Explanation)
    assert explained.decision == "permit"
    assert explained.rule_ids
    assert explained.relations == ("orders",)
    assert explained.row_filters == {"orders": "region = claim('region')"}
    assert explained.receipt.verified.record.kind == record_pb2.RECORD_KIND_EXPLANATION


@pytest.mark.requirement("doors:explain:runs-nothing")
def test_explain_is_an_action_of_its_own(service: Service) -> None:
    policy = service.deployment.policies / "no-explain.cedar"
    policy.write_text('@id("no-explain") forbid(principal, action == Sandbox::Action::"Explain", resource);\n', "utf-8")
    service.house.reload()
    with service.client() as client:
        refusal = client.explain("shop.query", COUNT)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "POLICY_DENIED"
        assert isinstance(client.call("shop.query", COUNT), Result)


@pytest.mark.requirement("doors:call:own-calls")
def test_get_call_answers_for_own_calls_only(service: Service, client: Client) -> None:
    answer = client.call("shop.order", {"id": 1}, request_id="mine")
    assert isinstance(answer, Result)
    again = client.get_call(call_id=answer.call_id)
    assert isinstance(again, Result)
    assert (again.rows, again.receipt.text) == (answer.rows, answer.receipt.text)
    assert client.get_call(request_id="mine").call_id == answer.call_id
    assert client.cancel(call_id=answer.call_id) is False
    with service.client("reviewer") as other, pytest.raises(ServiceError) as error:
        other.get_call(call_id=answer.call_id)
    assert error.value.reason in {"CALL_UNKNOWN", "POLICY_DENIED"}


@pytest.mark.requirement("doors:call:still-permitted")
@pytest.mark.parametrize("condition", ["", ' when { context.relations.contains("orders") }'])
def test_get_call_gives_no_result_that_policy_denies_by_now(condition: str, service: Service, client: Client) -> None:
    answer = client.call("shop.order", {"id": 1}, request_id="mine")
    explained = client.explain("shop.order", {"id": 1})
    refused = client.call("shop.query", {"sql": "DELETE FROM orders"})
    assert isinstance(answer, Result)
    assert isinstance(client.get_call(call_id=explained.call_id), Explanation)
    (service.deployment.policies / "stop.cedar").write_text(
        f'@id("stop") forbid(principal, action == Sandbox::Action::"Execute:shop.order", resource){condition};\n',
        "utf-8",
    )
    service.house.reload()
    for asked in ({"call_id": answer.call_id}, {"request_id": "mine"}):
        with pytest.raises(ServiceError) as error:
            client.get_call(**asked)
        assert error.value.reason == "POLICY_DENIED"
    assert isinstance(client.get_call(call_id=explained.call_id), Explanation)
    assert isinstance(client.get_call(call_id=refused.call_id), Refusal)
    (service.deployment.policies / "stop.cedar").write_text(
        '@id("stop") forbid(principal, action == Sandbox::Action::"Explain", resource);\n', "utf-8"
    )
    service.house.reload()
    assert isinstance(client.get_call(call_id=answer.call_id), Result)
    with pytest.raises(ServiceError):
        client.get_call(call_id=explained.call_id)


@pytest.mark.requirement("doors:call:still-permitted")
def test_get_call_gives_no_result_of_a_tool_that_is_gone(service: Service, client: Client) -> None:
    answer = client.call("shop.order", {"id": 1})
    (service.deployment.toolspecs / "shop.order.yaml").unlink()
    service.house.reload()
    with pytest.raises(ServiceError) as error:
        client.get_call(call_id=answer.call_id)
    assert error.value.reason == "TOOL_UNKNOWN"


def test_the_async_client_is_the_same(service: Service, client: Client) -> None:
    async def session() -> tuple[object, ...]:
        async with AsyncClient.from_deployment(service.deployment.root, "agent", service.address) as other:
            first = await other.call("shop.order", {"id": 1}, request_id="once")
            assert isinstance(first, Result)
            return (
                first,
                await other.get_call(call_id=first.call_id),
                await other.get_call(request_id="once"),
                await other.cancel(call_id=first.call_id),
                await other.explain("shop.query", COUNT),
                await other.tools(),
            )

    first, again, by_request, was_running, explained, tools = asyncio.run(session())
    assert first == again == by_request == client.get_call(request_id="once")
    assert was_running is False
    assert isinstance(explained, Explanation)
    kept = [field.name for field in fields(Tool)]
    assert [[getattr(tool, name) for name in kept] for tool in tools] == [
        [getattr(tool, name) for name in kept] for tool in client.tools()
    ]
    assert "shop.order" in {tool.name for tool in client.tools()}


@pytest.mark.requirement("doors:stream:answers")
def test_many_calls_over_one_stream(service: Service) -> None:
    calls = [
        pb.ExecuteStreamRequest(tag=7, call=pb.ExecuteRequest(tool="shop.order", arguments_json=b'{"id":1}')),
        pb.ExecuteStreamRequest(tag=8, call=pb.ExecuteRequest(tool="shop.nothing", arguments_json=b"{}")),
        pb.ExecuteStreamRequest(
            tag=9, call=pb.ExecuteRequest(tool="shop.order", arguments_json=b"{}", request_id="x" * 200)
        ),
    ]
    with service.channel() as channel:
        stream = channel.stream_stream(
            "/sandbox.v1.ToolExecutionService/ExecuteStream",
            pb.ExecuteStreamRequest.SerializeToString,
            pb.ExecuteStreamResponse.FromString,
        )
        answers = {answer.tag: answer for answer in stream(iter(calls), metadata=service.identity().metadata())}
    assert answers[7].response.result.row_count == 1
    assert answers[8].response.refusal.reason == "TOOL_UNKNOWN"
    assert answers[9].error.reason == "REQUEST_INVALID"


@pytest.mark.requirement("doors:auth:every-rpc")
def test_strangers_are_told_apart_from_the_expired(service: Service) -> None:
    identity = service.identity()
    reviewer = service.identity("reviewer")
    stolen = type(identity)(
        ca_pem=identity.ca_pem,
        certificate_pem=reviewer.certificate_pem,
        key_pem=reviewer.key_pem,
        token=identity.token,
        log_verifier_key=identity.log_verifier_key,
    )
    with Client(service.address, stolen) as thief, pytest.raises(NotAuthenticated):
        thief.call("shop.order", {"id": 1})


def test_a_client_without_a_certificate_gets_no_connection(service: Service) -> None:
    ca = (service.deployment.pki / "ca.pem").read_bytes()
    with grpc.secure_channel(service.address, grpc.ssl_channel_credentials(ca)) as channel:
        call = channel.unary_unary("/sandbox.v1.ToolExecutionService/Execute")
        with pytest.raises(grpc.RpcError) as error:
            call(b"", timeout=5)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.requirement("doors:deadline:told")
def test_a_caller_whose_time_runs_out_is_told_so_with_a_receipt(service: Service) -> None:
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"
    with service.client() as client:
        answer = client.call("shop.query", {"sql": endless}, timeout_s=1.0)

    assert isinstance(answer, Refusal)
    assert answer.reason == "EXECUTION_TIMED_OUT"
    assert answer.receipt.verified.record.reason == answer.reason
