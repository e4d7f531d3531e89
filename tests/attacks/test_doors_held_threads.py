"""Can somebody hold the threads that others need? Found by a red team and by a review."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from sandbox.client import Client, Identity, Result
from sandbox.deployment import Deployment
from sandbox.doors.rpc import standard
from sandbox.founding import create_deployment
from sandbox.identity.authenticator import Authenticator
from sandbox.identity.revocations import Revocations
from sandbox.reasons import Refused, Status
from sandbox.serving import opened_house
from sandbox.settings import IdentitySettings


def few_threads(root: Path) -> Deployment:
    deployment = create_deployment(root)
    text = deployment.settings.read_text("utf-8")
    few = text.replace("#threads = 256", "threads = 4", 1).replace(
        "#threads_per_principal = 96", "threads_per_principal = 3", 1
    )
    assert few.count("\nthreads") == 2
    deployment.settings.write_text(few, "utf-8")
    return deployment


def hold(deployment: Deployment, metadata: tuple[tuple[str, str], ...]) -> set[grpc.StatusCode | None]:
    """Send headers and no message, eight times, while another principal calls; return what became of the eight."""
    ending = threading.Event()

    def silent() -> Iterator[bytes]:
        ending.wait(30)
        yield from ()

    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        identity = Identity.from_deployment(deployment.root, "reviewer")
        with grpc.secure_channel(door.address, identity.channel_credentials()) as channel:
            method = channel.stream_unary("/sandbox.v1.ToolExecutionService/Execute")
            held = [method.future(silent(), timeout=20, metadata=metadata) for _ in range(8)]
            first = threading.Semaphore(0)
            for call in held:
                call.add_done_callback(lambda _: first.release())
            for _ in range(5 if metadata else 8):  # those beyond the share, or all of them
                assert first.acquire(timeout=10)
            codes = {call.code() for call in held if call.done()}
            try:
                with Client.from_deployment(deployment.root, "agent", door.address) as client:
                    assert isinstance(client.call("shop.order_by_id", {"id": 7}, timeout_s=10), Result)
            finally:
                ending.set()
    return codes


@pytest.mark.requirement("doors:auth:before-a-thread")
def test_headers_without_a_token_hold_no_thread(tmp_path: Path) -> None:
    assert hold(few_threads(tmp_path / "shop"), ()) == {grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.requirement("doors:auth:before-a-thread")
def test_one_principal_holds_no_more_threads_than_its_share(tmp_path: Path) -> None:
    deployment = few_threads(tmp_path / "shop")
    identity = Identity.from_deployment(deployment.root, "reviewer")

    assert hold(deployment, tuple(identity.metadata())) == {grpc.StatusCode.RESOURCE_EXHAUSTED}


@pytest.mark.requirement("doors:auth:before-a-thread")
@pytest.mark.parametrize("ended", ["revoked", "expired", "of another service"])
def test_a_token_that_does_not_hold_holds_no_thread(tmp_path: Path, ended: str) -> None:
    deployment = few_threads(tmp_path / "shop")
    token = (deployment.tokens / "reviewer.jwt").read_text("ascii").strip()
    assert Authenticator(deployment, IdentitySettings()).greet(token) == "reviewer"
    if ended == "revoked":
        payload = token.split(".")[1]
        token_id = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
        Revocations(deployment.revocations).revoke(token_id)
    settings = IdentitySettings(audience="other" if ended == "of another service" else "sandbox")
    now = 2_500_000_000.0 if ended == "expired" else time.time()

    with pytest.raises(Refused) as refused:
        Authenticator(deployment, settings, lambda: now).greet(token)
    assert refused.value.status is Status.UNAUTHENTICATED


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
