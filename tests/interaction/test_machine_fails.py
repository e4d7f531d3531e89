"""What if the machine fails: a disk that is full, or takes nothing, and a clock that jumps? Over the real command."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Service
from several import PATIENCE_S, Several, make_deployment, serve

from sandbox.audit.audit import audit_log
from sandbox.client import Client, Refusal, Result, Unavailable
from sandbox.deployment import Deployment


@pytest.fixture
def many(tmp_path: Path) -> Deployment:
    return make_deployment(tmp_path / "shop")


@pytest.fixture
def served(many: Deployment) -> Iterator[Several]:
    with serve(many, workers=1) as service:
        yield service


def limit_files(service: Several, most_bytes: int) -> None:
    """Let the service write no file beyond `most_bytes`: the kernel then says what it says of a full disk."""
    _, hard = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (most_bytes, hard))


def audited(deployment: Deployment) -> int:
    return audit_log(deployment.log_database, (deployment.keys / "log.vkey").read_text("utf-8")).tree_size


@pytest.mark.requirement("log:unavailable:full-disk")
def test_a_disk_that_fills_refuses_calls_until_there_is_room_and_loses_none(served: Several, many: Deployment) -> None:
    held: list[tuple[int, bytes]] = []

    def call(client: Client) -> str:
        try:
            answer = client.call("many.order", {"id": 1})
        except Unavailable as unavailable:
            return unavailable.reason
        assert isinstance(answer, Result)
        held.append((answer.receipt.verified.index, answer.receipt.verified.leaf))
        return ""

    with served.client() as client:
        assert call(client) == ""
        limit_files(served, 4096)
        assert [call(client) for _ in range(5)] == ["RECEIPT_LOG_UNAVAILABLE"] * 5
        limit_files(served, resource.RLIM_INFINITY)
        served.wait_until(lambda: call(client) == "")
        assert call(client) == ""
    assert served.process.poll() is None
    served.process.terminate()
    assert served.process.wait(PATIENCE_S) == 0
    assert audited(many) > max(index for index, _ in held)


OBEYING_MODES = ("/usr/bin/setpriv", "--bounding-set=-dac_override", "--") if os.getuid() == 0 else ()
"""Lets root be kept out by a file's mode, as everybody else is."""


@pytest.mark.requirement("log:unavailable:read-only")
@pytest.mark.parametrize(
    ("name", "told"),
    [("serve.lock", "permission denied"), ("log.db", "the log cannot be opened (PermissionError)")],
)
def test_a_state_that_cannot_be_written_keeps_the_service_from_starting(many: Deployment, name: str, told: str) -> None:
    place = many.state / name
    place.touch(0o400)
    command = [*OBEYING_MODES, sys.executable, "-m", "sandbox.cli.main", "serve", "--listen", "127.0.0.1:0"]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--deployment", str(many.root)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {many.state / name}: {told}\n"


HOUR_S = 3_600.0


@pytest.mark.requirement("app:clock:jumps")
def test_a_clock_that_jumps_an_hour_back_and_forth_stops_nothing(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, times = time.time, []
    for module in ("grpc._channel.time", "grpc._server.time"):  # its core asks the kernel, which does not jump here
        monkeypatch.setattr(module, SimpleNamespace(**vars(time)))
    for jump_s in (0.0, HOUR_S, -HOUR_S, 2 * HOUR_S, 0.0):
        monkeypatch.setattr(time, "time", lambda jump_s=jump_s: now() + jump_s)
        monkeypatch.setattr(time, "time_ns", lambda jump_s=jump_s: int((now() + jump_s) * 1e9))
        answer = client.call("shop.order", {"id": 1}, request_id=f"{jump_s}")
        again = client.call("shop.order", {"id": 1}, request_id=f"{jump_s}")
        refused = client.call("shop.query", {"sql": "DELETE FROM orders"})
        assert isinstance(answer, Result)
        assert answer == again
        assert isinstance(refused, Refusal)
        assert refused.reason == "SQL_NOT_READ_ONLY"
        times.append(answer.receipt.verified.record.wall_time_us / 1e6 - now())
    assert [round(each / HOUR_S) for each in times] == [0, 1, -1, 2, 0]
    assert audited(service.deployment) > 10
