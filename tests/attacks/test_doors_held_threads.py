"""Can somebody hold the threads that others need? Found by a red team and by a review."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from sandbox.client import Client, Identity, Result
from sandbox.doors.rpc import standard
from sandbox.founding import create_deployment
from sandbox.serving import opened_house


@pytest.mark.requirement("doors:auth:before-a-thread")
def test_headers_without_a_token_hold_no_thread(tmp_path: Path) -> None:
    deployment = create_deployment(tmp_path / "shop")
    text = deployment.settings.read_text("utf-8")
    deployment.settings.write_text(text.replace("threads = 96", "threads = 4", 1), "utf-8")
    assert "threads = 4" in deployment.settings.read_text("utf-8")
    ending = threading.Event()

    def silent() -> Iterator[bytes]:
        ending.wait(30)
        yield from ()

    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        identity = Identity.from_deployment(deployment.root, "reviewer")
        with grpc.secure_channel(door.address, identity.channel_credentials()) as channel:
            method = channel.stream_unary("/sandbox.v1.ToolExecutionService/Execute")
            held = [method.future(silent(), timeout=20) for _ in range(8)]
            try:
                with Client.from_deployment(deployment.root, "agent", door.address) as client:
                    assert isinstance(client.call("shop.order_by_id", {"id": 7}, timeout_s=10), Result)
                codes = {call.code() for call in held}
            finally:
                ending.set()
    assert codes == {grpc.StatusCode.UNAUTHENTICATED}


REFLECT = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
QUESTION = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()


def silent_streams(channel: grpc.Channel, identity: Identity, ending: threading.Event) -> list[grpc.Call]:
    def silent() -> Iterator[bytes]:
        ending.wait(30)
        yield from ()

    rpc = channel.stream_stream(REFLECT)
    return [rpc(silent(), metadata=identity.metadata(), timeout=20) for _ in range(2 * standard.REFLECTING)]


@pytest.mark.requirement("doors:stream:bounded")
def test_silent_reflection_streams_end_reflection_for_nobody(tmp_path: Path) -> None:
    deployment = create_deployment(tmp_path / "shop")
    ending = threading.Event()
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        agent, reviewer = (Identity.from_deployment(deployment.root, name) for name in ("agent", "reviewer"))
        with (
            grpc.secure_channel(door.address, agent.channel_credentials()) as channel,
            grpc.secure_channel(door.address, reviewer.channel_credentials()) as other,
        ):
            held = silent_streams(channel, agent, ending)
            try:
                answers = other.stream_stream(REFLECT)(iter([QUESTION]), metadata=reviewer.metadata(), timeout=5)
                assert len(list(answers)) == 1
            finally:
                ending.set()
            assert grpc.StatusCode.RESOURCE_EXHAUSTED in {call.code() for call in held}


@pytest.mark.requirement("doors:stream:bounded")
def test_a_silent_reflection_stream_is_closed_and_its_threads_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard, "REFLECTION_IDLE_S", 0.2)
    deployment = create_deployment(tmp_path / "shop")
    ending = threading.Event()
    codes = set()
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        agent = Identity.from_deployment(deployment.root, "agent")
        with grpc.secure_channel(door.address, agent.channel_credentials()) as channel:
            try:
                for _ in range(standard.REFLECTING):
                    codes |= {call.code() for call in silent_streams(channel, agent, ending)}
                answers = channel.stream_stream(REFLECT)(iter([QUESTION]), metadata=agent.metadata(), timeout=5)
                assert len(list(answers)) == 1
            finally:
                ending.set()
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
