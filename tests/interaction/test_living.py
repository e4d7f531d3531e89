"""How does a service live: what does it read, who finds it, and what if something fails on the way?"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable

import pytest
from conftest import Service

from sandbox import app, serving
from sandbox.app import House
from sandbox.client import Client, Result, address_of
from sandbox.deployment import Deployment, Misconfigured
from sandbox.executors import Executors, read_catalogue
from sandbox.reasons import Reason, Refused
from sandbox.serving import Reloader, opened_house
from sandbox.settings import digest_of
from sandbox.sql import Catalogue
from sandbox.toolspec import Connection


@pytest.mark.requirement("app:load:as-read")
def test_what_is_on_record_is_what_was_read(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    before = deployment.connections.read_bytes()

    def changing(connection: Connection) -> Catalogue:
        deployment.connections.write_bytes(before + b"# changed after it was read\n")
        return read_catalogue(connection)

    monkeypatch.setattr(app, "read_catalogue", changing)
    house = House.open(deployment.root)
    house.close()
    settings = deployment.settings.read_bytes()
    assert deployment.connections.read_bytes() != before
    assert house.loaded.digests["configuration", ""] == digest_of(settings, before)


@pytest.mark.requirement("app:reload:all-or-nothing")
def test_a_load_that_fails_late_leaves_no_target_open(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Executors] = []
    opened: list[Executors] = []

    def watched(*arguments: object) -> Executors:
        made = Executors(*arguments)  # type: ignore[arg-type]
        opened.append(made)
        really_close = made.close
        monkeypatch.setattr(made, "close", lambda: (closed.append(made), really_close()))
        return made

    def unwritable(*_: object) -> int:
        raise Refused(Reason.RECEIPT_LOG_UNAVAILABLE, "the log cannot be written")

    monkeypatch.setattr(app, "Executors", watched)
    monkeypatch.setattr(House, "_enroll", unwritable)
    with pytest.raises(Refused):
        House.open(deployment.root)
    assert len(opened) == 1
    assert closed == opened


@pytest.mark.requirement("app:reload:told")
def test_tools_may_be_called_like_anything_and_are_told_apart(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = (deployment.toolspecs / "shop.order.yaml").read_text("utf-8")
    for name in ("config", "policy", "policies", "configuration"):
        (deployment.toolspecs / f"{name}.yaml").write_text(point.replace("shop.order", name), "utf-8")
    told: list[tuple[str, str, bool, bool]] = []
    monkeypatch.setattr(
        app, "note", lambda _, kind, name, before, after: told.append((kind, name, bool(before), bool(after)))
    )
    house = House.open(deployment.root)
    try:
        assert len(house.loaded.digests) == 2 + len(house.loaded.specs.tools)
        (deployment.toolspecs / "config.yaml").unlink()
        (deployment.policies / "more.cedar").write_text(
            '@id("more") permit(principal, action, resource) when { false };', "utf-8"
        )
        house.reload()
    finally:
        house.close()
    assert told == [("policies", "", True, True), ("tool", "config", True, False)]


@pytest.mark.requirement("app:serve:alone")
def test_a_second_service_is_refused_in_a_sentence_and_leaves_the_first_alone(service: Service) -> None:
    with (
        pytest.raises(Misconfigured, match=f"runs over this deployment already at {service.address}"),
        opened_house(service.deployment.root, listen="127.0.0.1:0"),
    ):
        raise AssertionError("two services over one deployment")
    assert address_of(service.deployment.root) == service.address
    with Client.from_deployment(service.deployment.root, "agent") as client:
        assert isinstance(client.call("shop.order", {"id": 1}), Result)


@pytest.mark.requirement("app:serve:alone")
def test_a_service_takes_back_its_own_address_and_nobody_elses(deployment: Deployment) -> None:
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        assert address_of(deployment.root) == door.address
    assert not deployment.address.exists()
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0):
        deployment.address.write_text("127.0.0.1:1", "ascii")
    assert address_of(deployment.root) == "127.0.0.1:1"


@pytest.mark.requirement("app:serve:alone")
def test_an_address_that_cannot_be_told_leaves_nothing_open(deployment: Deployment) -> None:
    deployment.address.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"), opened_house(deployment.root, listen="127.0.0.1:0"):
        raise AssertionError("served without telling where")
    deployment.address.rmdir()
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        assert address_of(deployment.root) == door.address


@pytest.mark.requirement("app:serve:alone")
def test_the_ready_line_counts_the_tools(deployment: Deployment) -> None:
    tools = len(list(deployment.toolspecs.glob("*.yaml")))
    command = [sys.executable, "-m", "sandbox.cli.main", "serve", "--deployment", str(deployment.root)]
    process = subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        again = subprocess.run(  # noqa: S603 - our own command
            [*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()
    assert f" tools={tools} " in line
    assert again.returncode == 2
    assert "a service runs over this deployment already at 127.0.0.1:" in again.stderr


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def failing(*errors: Exception) -> tuple[Callable[[], None], list[float], Clock]:
    """A reload that fails with each error in turn and then succeeds; the moments at which it was tried."""
    clock, tried, coming = Clock(), [], iter(errors)

    def reload() -> None:
        tried.append(clock.now)
        error = next(coming, None)
        if error is not None:
            raise error

    return reload, tried, clock


@pytest.mark.requirement("app:reload:retried")
def test_a_reload_whose_cause_may_pass_is_tried_again_without_another_change(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(serving, "warn", lambda _, problem: told.append(problem))
    monkeypatch.setattr(serving, "broke", lambda _, error: told.append(type(error).__name__))
    locked = Refused(Reason.EXECUTOR_UNAVAILABLE, "the database is locked")
    vanished = Misconfigured("connections.toml: cannot be read")
    reload, tried, clock = failing(vanished, locked, locked, ValueError("unforeseen"))
    reloader = Reloader(reload, clock)
    assert reloader.changed() is False
    for tenth in range(300):
        clock.now = tenth / 10
        reloader.tick()
    assert tried == [0, 1, 3, 7, 15]
    assert told == [str(vanished), str(locked), "ValueError"]


@pytest.mark.requirement("app:reload:retried")
def test_a_change_is_taken_at_once_and_the_waiting_is_bounded() -> None:
    reload, tried, clock = failing(*[OSError("gone")] * 100)
    reloader = Reloader(reload, clock)
    reloader.changed()
    for second in range(1, 600):
        clock.now = float(second)
        reloader.tick()
    assert max(later - earlier for earlier, later in itertools.pairwise(tried)) == serving.MAX_RETRY_S
    before = len(tried)
    assert reloader.changed() is False
    clock.now += serving.FIRST_RETRY_S
    reloader.tick()
    assert len(tried) == before + 2
