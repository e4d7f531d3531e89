"""Can one principal fill the memory with answers that it never reads? Found by a red team, over raw HTTP/2."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from pathlib import Path

import grpc
import pytest

from sandbox.client import Client, Identity, Refusal, Result
from sandbox.deployment import Deployment
from sandbox.doors.rpc.threads import CallThreads
from sandbox.founding import create_deployment
from sandbox.receipts.running import Running, RunningCalls
from sandbox.serving import opened_house
from sandbox.v1 import tool_execution_pb2 as pb

EXECUTE = "/sandbox.v1.ToolExecutionService/Execute"
CALL = pb.ExecuteRequest(tool="shop.order_by_id", arguments_json=b'{"id": 7}').SerializeToString()
SHARE = 3


def a_small_share(root: Path) -> Deployment:
    deployment = create_deployment(root)
    text = deployment.settings.read_text("utf-8")
    small = text.replace("#threads_per_principal = 96", f"threads_per_principal = {SHARE}", 1)
    assert small != text
    deployment.settings.write_text(small, "utf-8")
    return deployment


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: str, value: str) -> bytes:
    """A literal header without indexing (RFC 7541, section 6.2.2)."""

    def text(content: bytes) -> bytes:
        if len(content) < 127:
            return bytes([len(content)]) + content
        rest, size = len(content) - 127, b"\x7f"
        while rest >= 128:
            size += bytes([rest % 128 | 128])
            rest //= 128
        return size + bytes([rest]) + content

    return b"\0" + text(name.encode()) + text(value.encode())


def ask_without_reading(
    deployment: Deployment, address: str, calls: int, path: str = EXECUTE, content: bytes = CALL
) -> ssl.SSLSocket:
    """Make calls over a connection that lets no byte of an answer through: its window is empty."""
    context = ssl.create_default_context(cafile=str(deployment.pki / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(deployment.pki / "clients" / "agent.pem", deployment.pki / "clients" / "agent.key")
    context.set_alpn_protocols(["h2"])
    host, port = address.rsplit(":", 1)
    connection = context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host)
    headers = {
        ":method": "POST", ":scheme": "https", ":path": path, ":authority": address,
        "content-type": "application/grpc", "te": "trailers",
        **dict(Identity.from_deployment(deployment.root, "agent").metadata()),
    }  # fmt: skip
    block = b"".join(header(name, value) for name, value in headers.items())
    message = b"\0" + struct.pack(">I", len(content)) + content
    initial_window_size_0 = struct.pack(">HI", 4, 0)
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, initial_window_size_0) + frame(4, 1, 0, b"")
    )
    for call in range(calls):
        connection.sendall(frame(1, 4, 1 + 2 * call, block) + frame(0, 1, 1 + 2 * call, message))
    return connection


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released for each call that has its answer, read or not."""
    told = threading.Semaphore(0)
    real = RunningCalls.end

    def end(calls: RunningCalls, call: Running) -> None:
        real(calls, call)
        told.release()

    monkeypatch.setattr(RunningCalls, "end", end)
    return told


@pytest.mark.requirement("doors:answers:unread")
@pytest.mark.parametrize("is_on", [True, False])
def test_answers_that_nobody_reads_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answered: threading.Semaphore, *, is_on: bool
) -> None:
    if not is_on:
        monkeypatch.setattr(CallThreads, "keep", lambda *_: None)
    deployment = a_small_share(tmp_path / "shop")
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        unread = ask_without_reading(deployment, door.address, SHARE)
        assert all(answered.acquire(timeout=10) for _ in range(SHARE))
        with Client.from_deployment(deployment.root, "agent", door.address) as client:
            served = any(is_served(client) for _ in range(20))
            unread.close()
            give_up = time.monotonic() + 20
            is_back = False
            while not is_back and time.monotonic() < give_up:
                is_back = is_served(client)
            assert is_back, "a place was kept for a caller that had gone"
    assert served is not is_on


@pytest.mark.requirement("doors:stream:unread")
def test_a_stream_that_nobody_reads_gives_its_place_back(tmp_path: Path, answered: threading.Semaphore) -> None:
    deployment = create_deployment(tmp_path / "shop")
    text = deployment.settings.read_text("utf-8")
    one = text.replace("#streams_per_principal = 8", "streams_per_principal = 1", 1)
    one = one.replace("#stream_idle_seconds = 60", "stream_idle_seconds = 1", 1)
    assert one.count("\nstream") == 2
    deployment.settings.write_text(one, "utf-8")
    call = pb.ExecuteStreamRequest(tag=1, call=pb.ExecuteRequest.FromString(CALL))
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        unread = ask_without_reading(deployment, door.address, 1, EXECUTE + "Stream", call.SerializeToString())
        assert answered.acquire(timeout=10)  # so it is this stream that holds the only place
        identity = Identity.from_deployment(deployment.root, "agent")
        with grpc.secure_channel(door.address, identity.channel_credentials()) as channel:
            method = channel.stream_stream(EXECUTE + "Stream", None, pb.ExecuteStreamResponse.FromString)
            codes = []
            give_up = time.monotonic() + 20
            while time.monotonic() < give_up:
                stream = method(iter([call.SerializeToString()]), metadata=identity.metadata(), timeout=10)
                with contextlib.suppress(grpc.RpcError):
                    assert [answer.tag for answer in stream] == [1]
                codes.append(stream.code())
                if codes[-1] is grpc.StatusCode.OK and grpc.StatusCode.RESOURCE_EXHAUSTED in codes:
                    break
        unread.close()
    assert codes[-1] is grpc.StatusCode.OK
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes


def is_served(client: Client) -> bool:
    answer = client.call("shop.order_by_id", {"id": 7})
    if isinstance(answer, Refusal):
        assert answer.rule == "limits/threads"
        return False
    return isinstance(answer, Result)
