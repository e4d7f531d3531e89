"""How does a service live: what does it read, who finds it, and what if something fails on the way?"""

from __future__ import annotations

import itertools
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import watchfiles
from conftest import POINT, Service

from sandbox import app, serving
from sandbox.app import House
from sandbox.client import Client, Result, address_of
from sandbox.deployment import Deployment, Misconfigured
from sandbox.doctor.selftest import SelfTestFailed
from sandbox.executors import Executors, read_catalogue
from sandbox.problems import LintFailed
from sandbox.reasons import Reason, Refused
from sandbox.serving import Reloader, opened_house
from sandbox.settings import digest_of
from sandbox.sql import Catalogue
from sandbox.toolspec import Connection, ToolName

PATIENCE_S = 30.0


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


@pytest.mark.requirement("app:load:begins-anew")
def test_a_first_start_that_failed_is_repaired_by_what_was_wrong_alone(deployment: Deployment) -> None:
    broken = deployment.toolspecs / "broken.yaml"
    broken.write_text("sumary: x\n")
    with pytest.raises(LintFailed):
        House.open(deployment.root)
    assert deployment.log_database.exists()  # it was begun
    broken.unlink()

    House.open(deployment.root).close()


@pytest.mark.requirement("app:reload:all-or-nothing")
def test_a_load_that_fails_late_leaves_no_target_open(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Executors] = []
    opened: list[Executors] = []

    def watched(*arguments: object, **more: object) -> Executors:
        made = Executors(*arguments, **more)  # type: ignore[arg-type]
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


@pytest.mark.requirement("postgres:session:places")
def test_a_house_of_several_workers_tells_its_executors(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def watched(*arguments: object, workers: int) -> Executors:
        told.append(workers)
        return Executors(*arguments, workers=workers)  # type: ignore[arg-type]

    monkeypatch.setattr(app, "Executors", watched)
    House.open(deployment.root).close()
    House.open(deployment.root, company=app.Company(workers=4)).close()

    assert told == [1, 4]


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
    spec = service.deployment.toolspecs / "shop.order.yaml"
    spec.write_text(spec.read_text("utf-8") + "# a second would put this on record\n", "utf-8")
    head = service.house.log._log.store.head()
    with (
        pytest.raises(Misconfigured, match=f"runs over this deployment already at {service.address}"),
        opened_house(service.deployment.root, listen="127.0.0.1:0"),
    ):
        raise AssertionError("two services over one deployment")
    assert service.house.log._log.store.head() == head, "the second wrote into the log"
    service.deployment.address.unlink()  # as while it starts or drains
    with pytest.raises(Misconfigured, match="a service starts or ends over this deployment"):
        opened_house(service.deployment.root, listen="127.0.0.1:0").__enter__()
    service.deployment.address.write_text(f"{service.address}\n", "ascii")
    assert address_of(service.deployment.root) == service.address
    with Client.from_deployment(service.deployment.root, "agent") as client:
        assert isinstance(client.call("shop.order", {"id": 1}), Result)


@pytest.mark.requirement("app:serve:alone")
def test_a_folder_that_is_no_deployment_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="make a deployment with `sandbox init DIR`"), opened_house(tmp_path):
        raise AssertionError("served nothing")
    assert not list(tmp_path.iterdir())


@pytest.mark.requirement("doors:standard:ends")
def test_a_door_that_closes_lets_go_of_its_threads(deployment: Deployment) -> None:
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, doors):
        pools = (doors.rpc.streams.holders, doors.rpc.reflections.holders)
    for pool in pools:
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(str)


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


def never() -> None:
    """Stand for the self-test where there is nothing to test again."""
    raise AssertionError


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
    monkeypatch.setattr(serving, "note", told.append)
    locked = Refused(Reason.EXECUTOR_UNAVAILABLE, "the database is locked")
    vanished = Misconfigured("connections.toml: cannot be read")
    reload, tried, clock = failing(vanished, locked, locked, ValueError("unforeseen"))
    reloader = Reloader(reload, never, clock)
    assert reloader.changed() is False
    for tenth in range(300):
        clock.now = tenth / 10
        reloader.tick()
    assert tried == [0, 1, 3, 7, 15]
    assert told == [str(vanished), str(locked), "ValueError", "reload accepted"]
    assert reloader.changed() is True
    assert told[4:] == []


@pytest.mark.requirement("doctor:selftest:told")
def test_tools_that_are_not_served_are_told_once_and_tested_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload would take what the served tools have warmed; testing again takes nothing."""
    told: list[object] = []
    monkeypatch.setattr(serving, "warn", lambda event, **facts: told.append((event, *facts.values())))
    failed = SelfTestFailed({ToolName("a"): ("one", "two")})
    test_again, tried, clock = failing(failed, failed)
    reload, reloaded, _ = failing()
    reloader = Reloader(reload, test_again, clock)

    def must_be_whole() -> None:
        raise failed

    reloader.begin(must_be_whole)
    for second in range(30):
        clock.now = float(second)
        reloader.tick()
    assert told == [("tool not served", "a", "one"), ("tool not served", "a", "two")]
    assert (tried, reloaded) == ([1, 3, 7], [])
    reloader.changed()
    assert len(reloaded) == 1


@pytest.mark.requirement("app:reload:retried")
def test_a_change_is_taken_at_once_and_the_waiting_is_bounded() -> None:
    reload, tried, clock = failing(*[OSError("gone")] * 100)
    reloader = Reloader(reload, never, clock)
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


@pytest.mark.requirement("app:reload:retried")
def test_what_cannot_be_told_is_tried_again_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(serving, "warn", raising)
    reload, tried, clock = failing(OSError("locked"))
    reloader = Reloader(reload, never, clock)
    assert reloader.changed() is False
    clock.now = serving.FIRST_RETRY_S
    reloader.tick()
    assert tried == [0, serving.FIRST_RETRY_S]


@pytest.mark.requirement("app:reload:watched")
@pytest.mark.parametrize("error", [OSError("no watch left"), RuntimeError("unforeseen")])
def test_a_watch_that_breaks_begins_anew_and_what_it_missed_is_loaded(
    error: Exception, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, reloads, told, errors = threading.Event(), [], [], [error]

    def watch(*_: object, **__: object) -> Iterator[set[tuple[watchfiles.Change, str]]]:
        if errors:
            raise errors.pop()
        yield set()
        ending.set()

    monkeypatch.setattr(serving.watchfiles, "watch", watch)
    monkeypatch.setattr(serving, "FIRST_RETRY_S", 0.0)
    monkeypatch.setattr(serving, "warn_often", lambda *facts: told.append(facts))
    loaded = SimpleNamespace(must_be_served=lambda: None)
    house = SimpleNamespace(deployment=deployment, reload=lambda: reloads.append(None), test_again=never, loaded=loaded)
    serving._reload_on_change(house, ending, serving.stamps(deployment))  # type: ignore[arg-type]

    assert told == [("watching failed", type(error).__name__)]
    assert len(reloads) == 1


@dataclass
class Watched:
    """A house under a watcher that says when it looks and when it has reloaded."""

    house: House
    looks: queue.SimpleQueue[None]
    reloads: queue.SimpleQueue[None]

    def versions(self) -> dict[str, str]:
        return {str(name): spec.version for name, spec in self.house.loaded.specs.tools.items()}

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait until a reload has brought it about."""
        while not is_so():
            self.reloads.get(timeout=PATIENCE_S)


@pytest.fixture
def meanwhile() -> Callable[[Deployment], None]:
    """What happens after the house is opened and before it is watched."""
    return lambda _: None


@pytest.fixture
def watched(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Deployment], None]
) -> Iterator[Watched]:
    looks: queue.SimpleQueue[None] = queue.SimpleQueue()
    reloads: queue.SimpleQueue[None] = queue.SimpleQueue()
    really_watch = watchfiles.watch

    def watch(*folders: Path, **options: object) -> Iterator[set[tuple[watchfiles.Change, str]]]:
        for changes in really_watch(*folders, **options):  # type: ignore[call-overload]
            looks.put(None)
            yield changes

    monkeypatch.setattr(serving.watchfiles, "watch", watch)
    monkeypatch.setattr(serving, "LOOK_EVERY_MS", 100)
    opened_at = serving.stamps(deployment)
    house, ending = House.open(deployment.root), threading.Event()
    meanwhile(deployment)
    really_reload = house.reload

    def reload() -> None:
        really_reload()
        reloads.put(None)

    monkeypatch.setattr(house, "reload", reload)
    watcher = threading.Thread(target=serving._reload_on_change, args=(house, ending, opened_at))
    watcher.start()
    looks.get(timeout=PATIENCE_S)
    yield Watched(house, looks, reloads)
    ending.set()
    watcher.join(PATIENCE_S)
    house.close()
    assert not watcher.is_alive()


def of_version(version: str) -> str:
    return POINT.replace("version: 1.0.0", f"version: {version}")


@pytest.mark.requirement("app:reload:watched")
def test_what_changes_is_loaded(watched: Watched) -> None:
    deployment, before = watched.house.deployment, watched.house.rules.digest
    (deployment.toolspecs / "shop.order.yaml").write_text(of_version("2.0.0"), "utf-8")
    watched.wait_for(lambda: watched.versions()["shop.order"] == "2.0.0")
    (deployment.policies / "more.cedar").write_text('@id("more") permit(principal, action, resource);', "utf-8")
    watched.wait_for(lambda: watched.house.rules.digest != before)
    (deployment.toolspecs / "shop.order.yaml").write_text("spec: tool/v1\n", "utf-8")
    connections = deployment.connections.with_name("fresh")
    connections.write_bytes(deployment.connections.read_bytes() + b"# changed\n")
    connections.replace(deployment.connections)
    (deployment.toolspecs / "shop.order.yaml").write_text(of_version("3.0.0"), "utf-8")
    changed = digest_of(deployment.settings.read_bytes(), deployment.connections.read_bytes())
    watched.wait_for(lambda: watched.house.loaded.digests["configuration", ""] == changed)
    watched.wait_for(lambda: watched.versions()["shop.order"] == "3.0.0")


@pytest.mark.requirement("app:reload:watched")
def test_a_folder_that_is_swapped_for_another_is_loaded_and_watched_on(watched: Watched) -> None:
    deployment = watched.house.deployment
    for round_ in (2, 3):
        fresh, stale = deployment.root / f"fresh-{round_}", deployment.root / f"stale-{round_}"
        shutil.copytree(deployment.toolspecs, fresh)
        (fresh / "shop.order.yaml").write_text(of_version(f"{round_}.0.0"), "utf-8")
        deployment.toolspecs.rename(stale)
        fresh.rename(deployment.toolspecs)
        watched.wait_for(lambda at=f"{round_}.0.0": watched.versions()["shop.order"] == at)
        (deployment.toolspecs / "shop.order.yaml").write_text(of_version(f"{round_}.1.0"), "utf-8")
        watched.wait_for(lambda at=f"{round_}.1.0": watched.versions()["shop.order"] == at)


@pytest.mark.requirement("app:reload:watched")
@pytest.mark.parametrize(
    "meanwhile", [lambda deployment: (deployment.toolspecs / "shop.order.yaml").write_text(of_version("2.0.0"))]
)
def test_what_changed_before_the_watch_began_is_loaded(watched: Watched) -> None:
    watched.wait_for(lambda: watched.versions()["shop.order"] == "2.0.0")


@pytest.mark.requirement("app:reload:watched")
def test_what_did_not_change_is_not_loaded_again(watched: Watched) -> None:
    for _ in range(2):
        watched.looks.get(timeout=PATIENCE_S)

    assert watched.reloads.empty()
