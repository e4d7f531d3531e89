"""Who may use which RPC, and do standard tools find their way?"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import grpc
import pytest
from conftest import Service
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from sandbox.client import Client, Result
from sandbox.identity.enrolment import renew_server
from sandbox.serving import Reloader
from sandbox.v1 import execution_log_pb2 as log_pb
from sandbox.v1 import record_pb2
from sandbox.v1 import tool_execution_pb2 as pb

TOOLS = "/sandbox.v1.ToolExecutionService/"
LOG = "/sandbox.v1.ExecutionLogService/"
EVERY_UNARY = [
    *(TOOLS + name for name in ("ListTools", "GetTool", "Execute", "GetCall", "CancelCall")),
    *(LOG + name for name in ("GetCheckpoint", "ListRecords", "GetReceipt", "GetConsistencyProof", "ReadPayload")),
    "/grpc.health.v1.Health/Check",
]
EVERY_STREAM = [
    TOOLS + "ExecuteStream",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]


@pytest.mark.requirement("doors:auth:every-rpc")
@pytest.mark.parametrize("method", EVERY_UNARY + EVERY_STREAM)
def test_no_rpc_answers_without_a_token(service: Service, method: str) -> None:
    with service.channel() as channel:
        is_stream = method in EVERY_STREAM
        ask = (
            (lambda: list(channel.stream_stream(method)(iter([b""]), timeout=5)))
            if is_stream
            else (lambda: channel.unary_unary(method)(b"", timeout=5))
        )
        with pytest.raises(grpc.RpcError) as error:
            ask()
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.requirement("doors:requests:message")
@pytest.mark.parametrize("method", [*EVERY_UNARY, TOOLS + "ExecuteStream"])
def test_bytes_that_are_no_message_are_the_caller_s_fault(service: Service, method: str) -> None:
    name = "reviewer" if method.startswith(LOG) else "agent"
    metadata = service.identity(name).metadata()
    with service.channel(name) as channel:
        for broken in (b"\xff", b"\x0a\xff"):
            ask = (
                (lambda sent: list(channel.stream_stream(method)(iter([sent]), metadata=metadata, timeout=5)))
                if method.endswith("Stream")
                else (lambda sent: channel.unary_unary(method)(sent, metadata=metadata, timeout=5))
            )
            with pytest.raises(grpc.RpcError) as error:
                ask(broken)
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert error.value.details().startswith(f"the request's {len(broken)} bytes are no `")


@pytest.mark.requirement("doors:standard:reflection")
def test_health_and_reflection_answer_those_who_may(service: Service) -> None:
    metadata = service.identity().metadata()
    with service.channel() as channel:
        health = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(), metadata=metadata)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        for version in ("v1", "v1alpha"):
            reflect = channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                reflection_pb2.ServerReflectionRequest.SerializeToString,
                reflection_pb2.ServerReflectionResponse.FromString,
            )
            question = reflection_pb2.ServerReflectionRequest(list_services="")
            (answer,) = list(reflect(iter([question]), metadata=metadata))
            names = {found.name for found in answer.list_services_response.service}
            assert "sandbox.v1.ToolExecutionService" in names


@pytest.mark.requirement("doors:log:reviewer")
def test_the_log_is_for_reviewers_and_reading_a_payload_is_recorded(service: Service, client: Client) -> None:
    answer = client.call("shop.order", {"id": 1})
    assert isinstance(answer, Result)
    read = log_pb.ReadPayloadRequest(call_id=answer.call_id, role="arguments")
    for name, is_allowed in (("agent", False), ("reviewer", True)):
        metadata = service.identity(name).metadata()
        with service.channel(name) as channel:
            rpc = channel.unary_unary(
                LOG + "ReadPayload", log_pb.ReadPayloadRequest.SerializeToString, log_pb.ReadPayloadResponse.FromString
            )
            if is_allowed:
                assert json.loads(rpc(read, metadata=metadata).plaintext) == {"id": 1}
            else:
                with pytest.raises(grpc.RpcError) as error:
                    rpc(read, metadata=metadata)
                assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    kinds = [record_pb2.Record.FromString(row[2]).kind for row in service.house.log._log.store.records(0, 1000)]
    assert kinds.count(record_pb2.RECORD_KIND_ACCESS) == 1


@pytest.mark.requirement("doors:call:own-calls")
def test_receipts_are_for_their_callers_and_for_reviewers(service: Service, client: Client) -> None:
    answer = client.call("shop.order", {"id": 1})
    assert isinstance(answer, Result)
    request = log_pb.GetReceiptRequest(call_id=answer.call_id)
    for name in ("agent", "reviewer"):
        with service.channel(name) as channel:
            rpc = channel.unary_unary(
                LOG + "GetReceipt", log_pb.GetReceiptRequest.SerializeToString, log_pb.GetReceiptResponse.FromString
            )
            assert rpc(request, metadata=service.identity(name).metadata()).receipt == answer.receipt.text


@pytest.mark.requirement("doors:outside:buf-curl")
def test_a_client_that_is_not_ours(service: Service) -> None:
    buf = shutil.which("buf", path=f"{os.path.dirname(os.sys.executable)}:{os.environ['PATH']}")  # noqa: PTH120
    assert buf, "buf comes with the development requirements"
    pki = service.deployment.pki
    call = {"tool": "shop.order", "arguments_json": base64.b64encode(b'{"id":1}').decode()}
    command = [
        *(buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge"),
        *("--cacert", str(pki / "ca.pem")),
        *("--cert", str(pki / "clients/agent.pem"), "--key", str(pki / "clients/agent.key")),
        *("--header", f"authorization: Bearer {service.identity().token}", "--reflect-header", "*"),
        *("--data", json.dumps(call), f"https://{service.address}{TOOLS}Execute"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own command
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["result"]["rowCount"] == "1"
    assert base64.b64decode(answer["receipt"]).startswith(b"c2sp.org/tlog-proof@v1\n")


@pytest.mark.requirement("doors:certificates:renewal")
def test_a_renewed_certificate_is_served_without_a_restart(service: Service) -> None:
    pki = service.deployment.pki
    before = (pki / "server.pem").read_text("ascii")
    assert served_certificate(service) == ssl.PEM_cert_to_DER_cert(before)
    renewed = renew_server(service.deployment)
    assert renewed.decode() != before
    assert served_certificate(service) == ssl.PEM_cert_to_DER_cert(renewed.decode())
    with service.client() as client:
        assert isinstance(client.call("shop.order", {"id": 1}), Result)


def served_certificate(service: Service) -> bytes | None:
    pki = service.deployment.pki
    host, _, port = service.address.rpartition(":")
    agent = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    agent.load_cert_chain(pki / "clients/agent.pem", pki / "clients/agent.key")
    with socket.create_connection((host, int(port))) as plain, agent.wrap_socket(plain, server_hostname=host) as tls:
        return tls.getpeercert(binary_form=True)


@pytest.mark.requirement("app:reload:all-or-nothing")
def test_a_change_is_taken_whole_or_not_at_all(service: Service, client: Client) -> None:
    reloader = Reloader(service.house.reload, service.house.test_again)
    spec = service.deployment.toolspecs / "shop.order.yaml"
    good = spec.read_text("utf-8")
    spec.write_text(good.replace("name: shop.order", "name: shop.order2") + "nonsense: 1\n", "utf-8")
    assert reloader.changed() is False
    assert isinstance(client.call("shop.order", {"id": 1}), Result)
    spec.write_text(good.replace("name: shop.order", "name: shop.order2"), "utf-8")
    assert reloader.changed() is True
    assert isinstance(client.call("shop.order2", {"id": 1}), Result)
    names = {tool.name for tool in client.tools()}
    assert "shop.order" not in names


@pytest.mark.requirement("app:reload:all-or-nothing")
def test_a_reload_leaves_nothing_of_the_old_generation_open(service: Service, client: Client) -> None:
    def held() -> int:
        client.call("shop.order", {"id": 1})
        targets = (entry.resolve() for entry in Path("/proc/self/fd").iterdir())
        return sum(target.name == "shop.db" and target.is_relative_to(service.deployment.root) for target in targets)

    before = held()
    for _ in range(3):
        service.house.reload()
        assert held() == before


def test_lists_are_paged(service: Service) -> None:
    metadata = service.identity().metadata()
    with service.channel() as channel:
        rpc = channel.unary_unary(
            TOOLS + "ListTools", pb.ListToolsRequest.SerializeToString, pb.ListToolsResponse.FromString
        )
        first = rpc(pb.ListToolsRequest(page_size=1), metadata=metadata)
        second = rpc(pb.ListToolsRequest(page_size=1, page_token=first.next_page_token), metadata=metadata)
    assert len(first.tools) == len(second.tools) == 1
    assert first.tools[0].name < second.tools[0].name
