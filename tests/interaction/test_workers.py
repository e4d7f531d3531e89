"""Do several processes serve one deployment as one service would?"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest
from https import EXECUTE, Https
from several import FOREVER, GRACE_S, PATIENCE_S, POINT, Several, answers, make_deployment, serve, worker_of

from sandbox.audit.audit import audit_log
from sandbox.client import Client, ClientError, NotAuthenticated, Pending, Refusal, Result, Unavailable
from sandbox.deployment import Deployment
from sandbox.endings import SAME_ENDING_S
from sandbox.presence import alone
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2
from sandbox.workers.parent import FIRST_RESTART_S


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return make_deployment(tmp_path_factory.mktemp("several") / "shop")


@pytest.fixture(scope="module")
def lasting(deployment: Deployment) -> Iterator[Several]:
    """A service for tests that leave it as it was."""
    with serve(deployment) as service:
        yield service


def begun(service: Several, client: Client, tool: str, request_id: str) -> threading.Thread:
    """Start a call that ends only when it is stopped; returns once it runs."""
    answered: list[object] = []

    def run() -> None:
        with suppress(ClientError):
            answered.append(client.call(tool, FOREVER, request_id=request_id, timeout_s=PATIENCE_S))

    thread = threading.Thread(target=run)
    thread.answered = answered  # type: ignore[attr-defined]
    thread.start()
    service.wait_until(lambda: is_pending(client, request_id))
    return thread


def is_pending(client: Client, request_id: str) -> bool:
    with suppress(ClientError):
        return isinstance(client.get_call(request_id=request_id), Pending)
    return False


@pytest.mark.requirement("app:workers:ready")
def test_one_line_tells_when_all_answer_and_where(lasting: Several) -> None:
    assert lasting.ready.split() == [
        "ready",
        f"grpc={lasting.address}",
        "tools=7",
        f"pid={lasting.process.pid}",
        "workers=2",
    ]
    assert lasting.deployment.address.read_text("ascii") == lasting.address
    assert len(lasting.pids()) == 2
    assert len(lasting.clients()) == 2


@pytest.mark.requirement("doors:call:other-worker")
def test_a_call_that_runs_in_another_worker_is_pending_and_is_stopped_there(lasting: Several) -> None:
    here, there = lasting.clients()
    took_s = []
    for number in range(5):
        name = f"long {number}"
        thread = begun(lasting, here, "many.long", name)
        pending = there.get_call(request_id=name)
        assert isinstance(pending, Pending)
        assert isinstance(there.get_call(call_id=pending.call_id), Pending)
        at = monotonic()
        assert there.cancel(call_id=pending.call_id)
        thread.join(PATIENCE_S)
        took_s.append(monotonic() - at)
        (answer,) = thread.answered  # type: ignore[attr-defined]
        assert isinstance(answer, Refusal)
        assert answer.reason == "CALL_CANCELLED"
        assert there.cancel(call_id=answer.call_id) is False
    assert min(took_s) < 0.25


@pytest.mark.requirement("doors:call:other-worker")
def test_another_principal_s_call_in_another_worker_does_not_exist(lasting: Several) -> None:
    here, there = lasting.clients()
    stranger = lasting.client("reviewer")
    thread = begun(lasting, here, "many.long", "mine")
    pending = there.get_call(request_id="mine")
    assert isinstance(pending, Pending)
    for ask in (stranger.get_call, stranger.cancel):
        for reference in ({"call_id": pending.call_id}, {"request_id": "mine"}):
            with pytest.raises(ClientError) as error:
                ask(**reference)
            assert getattr(error.value, "reason", "") in {"CALL_UNKNOWN", "POLICY_DENIED"}
    assert isinstance(here.get_call(request_id="mine"), Pending)
    assert there.cancel(request_id="mine")
    thread.join(PATIENCE_S)


@pytest.mark.requirement("doors:call:worker-silent")
def test_a_worker_that_does_not_answer_is_told_of_in_time(lasting: Several) -> None:
    here, there = lasting.clients()
    known = here.call("many.order", {"id": 1})
    frozen = next(pid for pid in lasting.pids() if stops(lasting, pid, here))
    try:
        assert isinstance(there.get_call(call_id=known.call_id), Result)  # what is on record is told all the same
        with pytest.raises(Unavailable) as error:
            there.get_call(call_id="00000000-0000-7000-8000-000000000000", timeout_s=PATIENCE_S)
        assert error.value.reason == "WORKER_UNAVAILABLE"
    finally:
        os.kill(frozen, signal.SIGCONT)


def stops(service: Several, pid: int, client: Client) -> bool:
    """Freeze a process; whether it was the one that answers this caller. Thawed again if not.

    Not while it writes: who is frozen with the log's lock in hand keeps it.
    """
    service.wait_until(lambda: is_written(service.deployment))
    os.kill(pid, signal.SIGSTOP)
    with suppress(ClientError):
        client.call("many.order", {"id": 1}, timeout_s=2)
        os.kill(pid, signal.SIGCONT)
        return False
    return True


def is_written(deployment: Deployment) -> bool:
    """Whether every signature has been written back, so that nobody has anything to write."""
    log = SqliteLog(deployment.log_database, is_read_only=True)
    try:
        return not log.unsigned_checkpoints()
    finally:
        log.close()


@pytest.mark.requirement("app:workers:reload")
def test_every_worker_takes_what_has_changed(lasting: Several) -> None:
    clients = lasting.clients()
    (lasting.deployment.toolspecs / "many.order.yaml").write_text(POINT.replace("1.0.0", "2.0.0"), "utf-8")
    lasting.wait_until(
        lambda: all("2.0.0" in {tool.version for tool in client.tools()} for client in clients),
    )


@pytest.mark.requirement("identity:revocation:workers")
def test_a_revoked_token_is_refused_by_every_worker(deployment: Deployment, lasting: Several) -> None:
    made = [sys.executable, "-m", "sandbox.cli.main", "token"]
    place = ["--deployment", str(deployment.root)]
    subprocess.run([*made, "new", "leaver", "--role", "agent", "--tools", "*", *place], check=True)  # noqa: S603
    clients = lasting.clients("leaver")
    subprocess.run([*made, "revoke", "leaver", *place], check=True)  # noqa: S603
    lasting.wait_until(lambda: all(is_refused(client) for client in clients))


def is_refused(client: Client) -> bool:
    try:
        client.call("many.order", {"id": 1})
    except NotAuthenticated:
        return True
    return False


@pytest.mark.requirement("app:serve:alone")
def test_a_port_that_workers_serve_is_not_taken_by_another_service(lasting: Several, tmp_path: Path) -> None:
    other = make_deployment(tmp_path / "other")
    for workers in ("1", "2"):
        command = [sys.executable, "-m", "sandbox.cli.main", "serve", "--workers", workers]
        done = subprocess.run(  # noqa: S603 - our own command
            [*command, "--listen", lasting.address, "--deployment", str(other.root)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "cannot be taken" in done.stderr


@pytest.mark.requirement("app:workers:restarted")
@pytest.mark.requirement("log:commit:workers")
def test_a_worker_killed_under_load_leaves_every_receipt_in_a_clean_log(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "shop")
    held: list[tuple[int, bytes]] = []
    ending = threading.Event()

    def call(client: Client) -> None:
        while not ending.is_set():
            with suppress(ClientError):
                answer = client.call("many.order", {"id": 1}, timeout_s=10)
                assert isinstance(answer, Result)
                held.append((answer.receipt.verified.index, answer.receipt.verified.leaf))

    with serve(deployment) as service, ThreadPoolExecutor(8) as threads:
        both = service.clients()
        before = {worker_of(client) for client in both}
        for number in range(8):
            threads.submit(call, both[number % 2])
        service.wait_until(lambda: len(held) > 100)
        first, second = service.pids()
        os.kill(first, signal.SIGKILL)
        service.wait_until(lambda: len(pids := service.pids()) == 2 and first not in pids and second in pids)
        service.wait_until(lambda: service.is_answered_by_another(before))
        count = len(held)
        service.wait_until(lambda: len(held) > count + 100)
        ending.set()
        threads.shutdown()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE_S) == 0
        assert service.process.stderr is not None
        told = [json.loads(line) for line in service.process.stderr]
    assert [event["event"] for event in told] == ["a worker ended", "draining"]
    assert told[0]["exit_code"] == -signal.SIGKILL
    assert not deployment.address.exists()
    store = SqliteLog(deployment.log_database, is_read_only=True)
    try:
        assert [index for index, leaf in held if store.record(index) != leaf] == []
    finally:
        store.close()
    report = audit_log(deployment.log_database, (deployment.keys / "log.vkey").read_text("utf-8"))
    assert report.tree_size > len(held)


@pytest.mark.requirement("app:workers:restarted")
def test_a_worker_that_cannot_start_again_is_tried_ever_more_rarely_and_the_others_serve_on(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "shop")
    spec = deployment.toolspecs / "many.order.yaml"
    with serve(deployment) as service:
        both = dict(zip(map(worker_of, clients := service.clients()), clients, strict=True))
        spec.write_text("spec: tool/v2\n", "utf-8")
        first, _ = service.pids()
        os.kill(first, signal.SIGKILL)
        assert service.process.stderr is not None
        delays: list[float] = []
        for line in service.process.stderr:
            if line.startswith("{") and (told := json.loads(line))["event"] == "a worker ended":
                assert told["exit_code"] == (1 if delays else -signal.SIGKILL)
                delays.append(told["again_in_s"])
            if len(delays) == 3:
                break
        assert delays == [FIRST_RESTART_S, 2 * FIRST_RESTART_S, 4 * FIRST_RESTART_S]
        assert any(answers(client) for client in both.values())
        spec.write_text(POINT, "utf-8")
        service.wait_until(lambda: service.is_answered_by_another(both))


@pytest.mark.requirement("app:workers:restarted")
def test_a_worker_that_the_system_gives_no_process_for_is_tried_again_and_the_others_serve_on(tmp_path: Path) -> None:
    with serve(make_deployment(tmp_path / "shop")) as service:
        both = dict(zip(map(worker_of, clients := service.clients()), clients, strict=True))
        parent = service.process.pid
        limits = resource.prlimit(parent, resource.RLIMIT_NOFILE)
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (3, limits[1]))  # it has more, and gets no further one
        os.kill(service.pids()[0], signal.SIGKILL)
        assert service.process.stderr is not None
        told: list[tuple[str, float]] = []
        while len(told) < 3:
            event = json.loads(service.process.stderr.readline())
            told.append((event["event"], event["again_in_s"]))
        failed = "a worker cannot be started"
        assert told == [
            ("a worker ended", FIRST_RESTART_S),
            (failed, 2 * FIRST_RESTART_S),
            (failed, 4 * FIRST_RESTART_S),
        ]
        assert any(answers(client) for client in both.values())
        resource.prlimit(parent, resource.RLIMIT_NOFILE, limits)
        service.wait_until(lambda: service.is_answered_by_another(both))


@pytest.mark.requirement("app:workers:ends")
def test_a_second_signal_ends_the_grace_of_every_worker(tmp_path: Path) -> None:
    with serve(make_deployment(tmp_path / "shop")) as service:
        both = service.clients()
        threads = [begun(service, client, "many.long", f"long {i}") for i, client in enumerate(both)]
        at = monotonic()
        service.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            service.process.wait(2 * SAME_ENDING_S)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(GRACE_S / 2) == 0
        assert monotonic() - at < GRACE_S
        for thread in threads:
            thread.join(PATIENCE_S)


@pytest.mark.requirement("app:workers:orphaned")
def test_workers_end_with_their_parent_and_no_service_begins_before(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "shop")
    with serve(deployment) as service:
        lives = [os.pidfd_open(pid) for pid in service.pids()]
        service.process.kill()
        for life in lives:
            ready, _, _ = select.select([life], [], [], PATIENCE_S)
            assert ready == [life]
            os.close(life)
        with alone(deployment):
            pass


@pytest.mark.requirement("app:workers:ready")
def test_what_keeps_a_worker_from_starting_is_told_once_and_ends_the_service(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "shop")
    (deployment.toolspecs / "many.order.yaml").write_text("spec: tool/v2\n", "utf-8")
    command = [sys.executable, "-m", "sandbox.cli.main", "serve", "--workers", "3", "--listen", "127.0.0.1:0"]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--deployment", str(deployment.root)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("error: ") == 1
    assert "many.order.yaml" in done.stderr


@pytest.mark.requirement("app:workers:http")
def test_all_workers_share_the_http_door_too(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "shop")
    text = deployment.settings.read_text()
    deployment.settings.write_text(text.replace("[http]", '[http]\nlisten = "127.0.0.1:0"'))
    with serve(deployment) as service:
        https = Https(service, service.ready.split("http=")[1].split()[0])
        boots = {boot_of(https) for _ in range(60)}

    assert len(boots) == 2


def boot_of(https: Https) -> bytes:
    """Return which process answers a call by HTTP."""
    asked = {"tool": "many.order", "argumentsJson": b64encode(b'{"id": 1}').decode()}
    text = b64decode(https.ask(EXECUTE, asked).json["receipt"])
    extra = text.split(b"\n")[1].removeprefix(b"extra ")
    return record_pb2.Record.FromString(b64decode(extra)).boot_id
