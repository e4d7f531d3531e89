"""Can somebody without a token hold the threads that calls need? Found by a red team."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sandbox.client import Client, Identity, Result
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
