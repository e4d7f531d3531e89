"""Does a service end when it is told to, and go on when nobody listens to what it tells?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import grpc
import pytest
import watchfiles
from command_line import CommandLine
from conftest import POINT

from sandbox.client import Client, Identity, NotAuthenticated, Refusal
from sandbox.deployment import Deployment
from sandbox.endings import SAME_ENDING_S
from sandbox.v1 import tool_execution_pb2 as pb

TOLD_AT_ONCE = """
import signal
from sandbox.endings import Endings
endings = Endings()
print("begun", flush=True)
for _ in range(50_000):
    signal.raise_signal(signal.SIGTERM)
    endings.wait()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)  # more come while the interpreter ends, which is another matter
print("taken", flush=True)
"""

TAKEN_BY_ANOTHER = """
import signal, threading
from sandbox.endings import Endings
endings, waiting = Endings(), threading.Semaphore(0)
def take():
    for _ in range(100):
        waiting.acquire()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
threading.Thread(target=take, daemon=True).start()
for _ in range(100):
    waiting.release()
    endings.wait()
"""
"""The main thread sleeps when another thread takes the signal."""

PATIENCE_S = 30.0
GRACE_S = 60.0


@contextmanager
def served(
    deployment: Deployment, *options: str, by: Sequence[str] = (), **more: object
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*by, sys.executable, "-m", "sandbox.cli.main", "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--grace", str(GRACE_S), "--deployment", str(deployment.root), *options],
        stdout=subprocess.PIPE,
        text=True,
        **{"stderr": subprocess.PIPE, **more},  # type: ignore[call-overload]
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        yield process, ready.split("grpc=")[1].split()[0]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def held_by_a_stream(deployment: Deployment, address: str) -> Iterator[None]:
    """Keep a stream open for the block, which a service that drains waits for."""
    ending = threading.Event()

    def silent() -> Iterator[pb.ExecuteStreamRequest]:
        yield pb.ExecuteStreamRequest(call=pb.ExecuteRequest(tool="shop.order", arguments_json=b'{"id":1}'))
        ending.wait(2 * PATIENCE_S)

    agent = Identity.from_deployment(deployment.root, "agent")
    with grpc.secure_channel(address, agent.channel_credentials()) as channel:
        stream = channel.stream_stream(
            "/sandbox.v1.ToolExecutionService/ExecuteStream",
            pb.ExecuteStreamRequest.SerializeToString,
            pb.ExecuteStreamResponse.FromString,
        )
        held = stream(silent(), metadata=agent.metadata())
        assert next(held).response.HasField("result")
        try:
            yield
        finally:
            ending.set()
            held.cancel()


@pytest.mark.requirement("app:serve:ends")
def test_signals_that_come_at_any_moment_are_taken() -> None:
    with subprocess.Popen([sys.executable, "-c", TOLD_AT_ONCE], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        give_up = time.monotonic() + 2 * PATIENCE_S
        while process.poll() is None and time.monotonic() < give_up:
            process.send_signal(signal.SIGINT)
        process.kill()
        assert (process.stdout.read(), process.wait()) == ("taken\n", 0)


@pytest.mark.requirement("app:serve:ends")
def test_signals_that_another_thread_takes_wake_who_waits() -> None:
    done = subprocess.run([sys.executable, "-c", TAKEN_BY_ANOTHER], timeout=PATIENCE_S, check=False)  # noqa: S603
    assert done.returncode == 0


@pytest.mark.requirement("app:serve:ends")
def test_a_second_signal_ends_the_grace_at_once(deployment: Deployment) -> None:
    with served(deployment) as (process, address):
        with held_by_a_stream(deployment, address):
            begun = time.monotonic()
            give_up = time.monotonic() + GRACE_S / 2
            for number in (signal.SIGINT, *[signal.SIGTERM] * 1_000):
                process.send_signal(number)  # those of the first half second count as one
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
                    break
            assert process.poll() == 0
            assert time.monotonic() - begun > SAME_ENDING_S
            assert time.monotonic() < give_up
        assert process.stderr is not None
        told = [json.loads(line)["event"] for line in process.stderr]
    assert told == ["draining", "ending at once"]


@pytest.mark.requirement("client:connect:stopping")
def test_a_call_while_the_service_drains_is_told_that_it_is_stopping(
    deployment: Deployment, sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream holds it; a service that starts in this moment is not kept out by whoever looks."""
    monkeypatch.setattr("sandbox.cli.asking.STARTING_S", 0.0)
    call = ("call", "shop.order", "--args", '{"id": 1}')
    with served(deployment) as (process, address), held_by_a_stream(deployment, address):
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "draining"
        give_up = time.monotonic() + PATIENCE_S
        while deployment.address.exists() and time.monotonic() < give_up:
            assert process.poll() is None
        stopping = sandbox.run(*call)
    gone = sandbox.run(*call)
    assert (stopping.code, gone.code) == (5, 5)
    assert "is stopping, or not up yet: it takes no new calls; ask again once it serves" in stopping.err
    assert "no service runs over" in gone.err


@pytest.mark.requirement("app:reload:watched")
@pytest.mark.requirement("doors:fault:opaque")
def test_a_service_whose_stderr_nobody_reads_reloads_and_refuses_as_ever(deployment: Deployment) -> None:
    read, write = os.pipe()
    with served(deployment, stderr=write) as (_, address):
        os.close(read)
        os.close(write)
        agent = Identity.from_deployment(deployment.root, "agent")
        with Client(address, agent) as client:
            for versions in (["2.0.0"], ["broken", "3.0.0"]):
                for version in versions:
                    (deployment.toolspecs / "shop.order.yaml").write_text(POINT.replace("1.0.0", version), "utf-8")
                wait_until(deployment, lambda at=versions[-1]: at in {tool.version for tool in client.tools()})
        (deployment.policies / "no.cedar").write_text('@id("no") forbid(principal, action, resource);', "utf-8")
        with Client(address, agent) as client:
            wait_until(deployment, lambda: isinstance(client.call("shop.order", {"id": 1}), Refusal))
            answer = client.call("shop.order", {"id": 1})
            assert isinstance(answer, Refusal)
            assert answer.reason == "POLICY_DENIED"
        stranger = Identity(
            ca_pem=agent.ca_pem,
            certificate_pem=agent.certificate_pem,
            key_pem=agent.key_pem,
            token="x.y.z",
            log_verifier_key=agent.log_verifier_key,
        )
        with Client(address, stranger) as client, pytest.raises(NotAuthenticated, match="does not verify"):
            client.call("shop.order", {"id": 1})


@pytest.mark.requirement("app:serve:ends")
@pytest.mark.requirement("telemetry:stderr:never-waits")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_whose_stderr_is_full_serves_reloads_and_ends(deployment: Deployment, workers: int) -> None:
    """The attack: what callers cause fills a pipe that somebody holds and does not read; then nobody is served."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    with served(deployment, "--workers", str(workers), stderr=write) as (process, address):
        os.close(write)
        with Client(address, Identity.from_deployment(deployment.root, "agent")) as client:
            for version in ("broken", "3.0.0"):
                (deployment.toolspecs / "shop.order.yaml").write_text(POINT.replace("1.0.0", version), "utf-8")
            wait_until(deployment, lambda: "3.0.0" in {tool.version for tool in client.tools()})
            for _ in range(20):
                assert isinstance(client.call("no.such", {}), Refusal)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    os.close(read)


@pytest.mark.requirement("app:serve:ends")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_that_closes_drains_as_any_signal_does(deployment: Deployment, workers: int) -> None:
    with served(deployment, "--workers", str(workers)) as (process, _):
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert [json.loads(line)["event"] for line in process.stderr] == ["draining"]


@pytest.mark.requirement("app:serve:ends")
def test_a_service_that_nohup_started_goes_on_without_its_terminal(deployment: Deployment) -> None:
    with served(deployment, by=("nohup",)) as (process, address):
        process.send_signal(signal.SIGHUP)
        with Client(address, Identity.from_deployment(deployment.root, "agent")) as client:
            assert client.tools()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)


def wait_until(deployment: Deployment, is_so: Callable[[], bool]) -> None:
    """Wait until the service has brought it about: whatever it loads goes into its log."""
    give_up = time.monotonic() + PATIENCE_S
    for _ in watchfiles.watch(deployment.state, rust_timeout=100, yield_on_timeout=True):
        if is_so():
            return
        assert time.monotonic() < give_up, "it never came about"
