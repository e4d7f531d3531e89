"""What reads bytes from outside? Each reader as a function of one case, with good inputs to break."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self, final

import grpc

from sandbox.app import House
from sandbox.audit.notes import parse_verifier_key
from sandbox.audit.verify import ProofInvalid, verify_receipt
from sandbox.bench.deployment import BENCH_TOOL, COLD_TOOL, make_bench_deployment
from sandbox.client import Client, Identity, Refusal, Result
from sandbox.deployment import Deployment, Misconfigured
from sandbox.policy import load_policies
from sandbox.problems import LintFailed
from sandbox.reasons import Refused
from sandbox.serving import opened_house
from sandbox.settings import ArgumentSettings, Settings, SqlSettings, read_settings
from sandbox.specs import read_connections
from sandbox.specs.arguments import parse_arguments
from sandbox.specs.live import Targets
from sandbox.specs.tool import Surroundings, read_tool
from sandbox.sql import Catalogue, GateInput, prove
from sandbox.stages import Credential
from sandbox.toolspec import ToolName
from sandbox.v1 import execution_log_pb2 as log_pb
from sandbox.v1 import tool_execution_pb2 as pb

QUERIES = (
    b"SELECT region, sum(cents) AS cents FROM orders WHERE id > 3 GROUP BY region ORDER BY 2 DESC LIMIT 5",
    b"WITH big AS (SELECT * FROM orders WHERE cents > 100) SELECT count(*), max(cents) FROM big AS b, orders AS o",
    b"SELECT CASE WHEN cents > 5 THEN 'a''b' ELSE NULL END, CAST(cents AS TEXT) || x'00', -id FROM orders o",
    b'SELECT "id", rank() OVER (PARTITION BY region ORDER BY cents) FROM orders WHERE id IN (SELECT id FROM orders)',
    b"SELECT json_extract('{\"a\":1}', '$.a'), date('now'), 1e3, 0x10 FROM orders UNION ALL SELECT 1, 2, 3, 4 -- end",
)
ARGUMENTS = (
    b'{"id": 7}',
    b'{"sql": "SELECT 1", "n": -1.5e3, "list": [1, {"a": null}], "yes": true, "text": "\\u00e9\\ud83d\\ude00"}',
)


HTTP_TOOL = "fuzz.http"
_CONNECTION = """
[answering]
engine = "http"
base_url = "http://127.0.0.1:PORT/api"
allow_plain = true
networks = ["127.0.0.1/32"]
ceiling = {methods = ["GET"], paths = ["/v1/*", "/**"]}
"""
_HTTP_SPEC = """\
spec: tool/v1
name: fuzz.http
version: 1.0.0
owner: fuzz@example.com
summary: Asks a target that answers anything.
kind: http
effects: read
connection: answering
input: {id: {type: string}}
request: {method: GET, path: "/v1/{id}", query: {all: true}, headers: {Accept-Language: en}}
response:
  rows: /items
  columns:
    id: {at: /id, type: integer}
    name: {at: /name, type: text, required: false}
    score: {at: /score, type: real, required: false}
    ok: {at: /ok, type: boolean, required: false}
limits: {seconds: 1, max_rows: 10, max_response_bytes: 16KiB}
"""


NO_REFUSALS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,
    }
)


class Broken(Exception):
    """A case was taken in a way that no case may be."""


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    weight: int
    """Its share of the cases: cheap readers get more."""
    seeds: Sequence[bytes]
    take: Callable[[bytes], object]
    refusals: tuple[type[BaseException], ...]


def targets(folder: Path, stack: ExitStack) -> Sequence[Target]:
    """Return every target, over a deployment in `folder` that is served until `stack` ends."""
    root = folder / "deployment"
    make_bench_deployment(root)
    answering = stack.enter_context(_Answering())
    answering.offer(root)
    house, door = stack.enter_context(opened_house(root, listen="127.0.0.1:0"))
    client = stack.enter_context(Client.from_deployment(root, "agent", door.address))
    return [
        Target("arguments", 40, ARGUMENTS, lambda case: parse_arguments(case, ArgumentSettings()), (Refused,)),
        _sql(house),
        _receipt(client, root),
        _verifier_key(client, root),
        _token(house, root),
        _certificate(house, root),
        _specs(house, root),
        _settings(folder, root),
        _connections(folder, root),
        _policies(folder, house, root),
        _answer(client, answering),
        _wire(door.address, root),
    ]


def _catalogue(house: House) -> Catalogue:
    return house.loaded.executors.catalogue("shop")


def _sql(house: House) -> Target:
    tables = house.loaded.specs.tools[ToolName(COLD_TOOL)].tables
    catalogue = _catalogue(house)

    def take(case: bytes) -> object:
        text = case.decode("utf-8", "surrogateescape")
        return prove(
            GateInput(
                dialect="sqlite",
                text=text,
                catalogue=catalogue,
                tables=tables,
                parameters=frozenset(),
                may_claim=False,
                bounds=SqlSettings(),
            )
        )

    return Target("sql", 20, QUERIES, take, (Refused,))


def _receipt(client: Client, root: Path) -> Target:
    key = _read(root / "keys" / "log.vkey")
    answers = [client.call(BENCH_TOOL, {"id": number}) for number in range(1, 6)]
    seeds = [answer.receipt.text for answer in answers if isinstance(answer, Result)]
    return Target("receipt", 20, seeds, lambda case: _verified(case, key, seeds), (ProofInvalid,))


def _verified(case: bytes, key: str, good: Sequence[bytes]) -> None:
    proven = verify_receipt(case, key).record
    if proven not in [verify_receipt(each, key).record for each in good]:
        raise Broken("a record that no receipt was given for")


def _verifier_key(client: Client, root: Path) -> Target:
    key = _read(root / "keys" / "log.vkey")
    whole = parse_verifier_key(key)
    answer = client.call(BENCH_TOOL, {"id": 1})
    if not isinstance(answer, Result):
        raise Broken("no receipt to verify")
    proof = answer.receipt.text

    def take(case: bytes) -> None:
        text = case.decode("utf-8", "surrogateescape")
        verify_receipt(proof, text)
        if parse_verifier_key(text) != whole:
            raise Broken("another key that verifies")

    return Target("verifier key", 10, [key.encode()], take, (ProofInvalid,))


def _token(house: House, root: Path) -> Target:
    certificate = (root / "pki" / "clients" / "agent.pem").read_bytes()
    good = _read(root / "tokens" / "agent.jwt")
    whole = house.guests.principal(Credential(certificate, good))

    def take(case: bytes) -> None:
        if house.guests.principal(Credential(certificate, case.decode("latin-1"))) != whole:
            raise Broken("another principal")

    return Target("token", 10, [good.encode()], take, (Refused,))


def _certificate(house: House, root: Path) -> Target:
    seeds = [path.read_bytes() for path in sorted((root / "pki" / "clients").glob("*.pem"))]
    good = _read(root / "tokens" / "agent.jwt")
    whole = house.guests.principal(Credential(seeds[0], good))

    def take(case: bytes) -> None:
        if house.guests.principal(Credential(case, good)) != whole:
            raise Broken("another principal")

    return Target("certificate", 10, seeds, take, (Refused,))


def _specs(house: House, root: Path) -> Target:
    catalogue = _catalogue(house)
    connections = house.loaded.connections
    around = Surroundings(Targets(connections, lambda _: catalogue), frozenset(connections), Settings())

    def take(case: bytes) -> None:
        read = read_tool("a.yaml", case, around)
        if read.findings.problems:
            raise LintFailed(read.findings.problems)

    return Target("spec", 2, _files(root / "toolspecs"), take, (LintFailed,))


def _settings(folder: Path, root: Path) -> Target:
    path = folder / "sandbox.toml"

    def take(case: bytes) -> object:
        path.write_bytes(case)
        return read_settings(path)

    whole = (root / "sandbox.toml").read_bytes()
    return Target("settings", 4, [whole, whole.replace(b"\n#", b"\n")], take, (Misconfigured,))


def _connections(folder: Path, root: Path) -> Target:
    deployment = Deployment(folder)

    def take(case: bytes) -> object:
        deployment.connections.write_bytes(case)
        return read_connections(deployment)

    return Target("connections", 6, [(root / "connections.toml").read_bytes()], take, (LintFailed, Misconfigured))


def _policies(folder: Path, house: House, root: Path) -> Target:
    place = folder / "policies"
    place.mkdir()
    tools = MappingProxyType(dict(house.loaded.specs.tools))

    def take(case: bytes) -> object:
        (place / "a.cedar").write_bytes(case)
        return load_policies(place, tools)

    return Target("policy", 2, _files(root / "policies"), take, (LintFailed, Misconfigured))


class _Told(Exception):
    """The service refused the request with a status of its own."""


def _wire(address: str, root: Path) -> Target:
    """Requests of every RPC, as bytes that may be no message of it."""
    identity = Identity.from_deployment(root, "agent")
    channel = grpc.secure_channel(address, identity.channel_credentials())
    execute = pb.ExecuteRequest(tool=BENCH_TOOL, arguments_json=b'{"id":7}', request_id="r", validate_only=True)
    tools, log = "/sandbox.v1.ToolExecutionService/", "/sandbox.v1.ExecutionLogService/"
    good = {
        tools + "Execute": execute,
        tools + "ListTools": pb.ListToolsRequest(page_size=3, page_token="x"),  # noqa: S106 - a page's
        tools + "GetTool": pb.GetToolRequest(name=BENCH_TOOL),
        tools + "GetCall": pb.GetCallRequest(call=pb.CallReference(call_id="x")),
        tools + "CancelCall": pb.CancelCallRequest(call=pb.CallReference(request_id="r")),
        log + "GetReceipt": log_pb.GetReceiptRequest(call_id="x"),
        log + "ListRecords": log_pb.ListRecordsRequest(page_size=3),
        log + "GetConsistencyProof": log_pb.GetConsistencyProofRequest(first_size=1, second_size=2),
    }
    methods = list(good)
    calls = [channel.unary_unary(method, None, None) for method in methods]

    def take(case: bytes) -> None:
        call = calls[case[0] % len(calls)] if case else calls[0]
        try:
            call(case[1:], metadata=identity.metadata(), timeout=20)
        except grpc.RpcError as error:
            if error.code() in NO_REFUSALS:
                raise
            raise _Told from error

    seeds = [bytes([index]) + good[method].SerializeToString() for index, method in enumerate(methods)]
    return Target("wire", 3, seeds, take, (_Told,))


@final
class _Answering:
    """A target on loopback that answers every HTTP request with the case at hand, and hangs up."""

    def __enter__(self) -> Self:
        self.case = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def offer(self, root: Path) -> None:
        """Write a tool that asks this target into a deployment."""
        with (root / "connections.toml").open("a") as connections:
            connections.write(_CONNECTION.replace("PORT", str(self._listener.getsockname()[1])))
        (root / "toolspecs" / f"{HTTP_TOOL}.yaml").write_text(_HTTP_SPEC)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                with line, suppress(OSError):
                    line.recv(65536)
                    line.sendall(self.case)


def _answer(client: Client, answering: _Answering) -> Target:
    """Answers to an HTTP tool, through the whole service."""

    def take(case: bytes) -> None:
        answering.case = case
        answer = client.call(HTTP_TOOL, {"id": "7"})
        if isinstance(answer, Refusal):
            raise _Told(answer.reason)
        if not isinstance(answer, Result):
            raise Broken("neither a result nor a refusal")

    body = b'{"items": [{"id": 1, "name": "Ada", "ok": true}, {"id": 2, "name": null, "score": 1.5}]}'
    chunks = b"%x;a=b\r\n%s\r\n5\r\n     \r\n0\r\nX: y\r\n\r\n" % (len(body), body)
    seeds = [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nContent-Encoding: identity\r\n\r\n" + body,
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ]
    return Target("http answer", 3, seeds, take, (_Told,))


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def _read(path: Path) -> str:
    return path.read_text("utf-8").strip()
