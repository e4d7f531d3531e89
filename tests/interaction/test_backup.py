"""Is a backup a deployment that serves on from where it was taken, and is it taken while calls run?"""

from __future__ import annotations

import shutil
import stat
import threading
from pathlib import Path

import apsw
import pytest
from command_line import CommandLine
from conftest import Service

from sandbox.app import House
from sandbox.audit.audit import audit_log
from sandbox.backup import back_up
from sandbox.client import Client, Result, ServiceError
from sandbox.deployment import Deployment, Misconfigured
from sandbox.serving import opened_house

requirement = pytest.mark.requirement


def audited(deployment: Deployment) -> int:
    return audit_log(deployment.log_database, (deployment.keys / "log.vkey").read_text("utf-8").strip()).tree_size


@requirement("app:backup:serves-on")
def test_a_backup_taken_under_load_holds_what_was_answered_before_and_serves_on(
    service: Service, tmp_path: Path
) -> None:
    before: list[str] = []
    enough, ending = threading.Event(), threading.Event()

    def call_on() -> None:
        with service.client() as client:
            while not ending.is_set():
                answer = client.call("shop.order", {"id": 1})
                assert isinstance(answer, Result)
                if not enough.is_set():
                    before.append(answer.call_id)
                if len(before) >= 20:
                    enough.set()

    caller = threading.Thread(target=call_on)
    caller.start()
    assert enough.wait(30)
    copy = back_up(service.deployment.root, tmp_path / "backup")
    ending.set()
    caller.join()

    assert audited(copy.deployment) == copy.records
    shutil.copytree(service.deployment.root / "data", copy.deployment.root / "data")
    with (
        opened_house(copy.deployment.root, listen="127.0.0.1:0") as (_, door),
        Client.from_deployment(copy.deployment.root, "agent", door.address) as client,
    ):
        for call_id in before:
            assert isinstance(client.get_call(call_id=call_id), Result)
        assert isinstance(client.call("shop.order", {"id": 2}), Result)
    assert audited(copy.deployment) > copy.records


@requirement("app:backup:private")
def test_what_only_the_owner_could_read_only_the_owner_can_read_in_the_copy(service: Service, tmp_path: Path) -> None:
    copy = back_up(service.deployment.root, tmp_path / "backup").deployment

    assert stat.S_IMODE(copy.root.stat().st_mode) == 0o700
    assert {path.name for path in copy.keys.iterdir()} == {path.name for path in service.deployment.keys.iterdir()}
    for path in (*copy.keys.glob("*.key"), *copy.pki.glob("**/*.key"), copy.log_database):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@requirement("app:backup:proven")
def test_a_log_that_was_changed_makes_no_backup(service: Service, sandbox: CommandLine, tmp_path: Path) -> None:
    root = tmp_path / "changed"
    shutil.copytree(back_up(service.deployment.root, tmp_path / "backup").deployment.root, root)
    with apsw.Connection(str(Deployment(root).log_database)) as log:
        log.execute("UPDATE leaves SET hash = zeroblob(32) WHERE idx = 1")

    told = sandbox.run("backup", str(tmp_path / "second"), "--deployment", str(root))

    assert (told.code, told.out) == (2, "")
    assert "the leaves do not make the tree" in told.err
    assert not (tmp_path / "second").exists()


@requirement("app:backup:serves-on")
def test_the_command_says_what_it_copied_and_overwrites_nothing(
    service: Service, sandbox: CommandLine, tmp_path: Path
) -> None:
    words = ("backup", str(tmp_path / "backup"), "--deployment", str(service.deployment.root), "--json")
    made = sandbox.run(*words).json()

    assert made["backup"] == str(tmp_path / "backup")
    assert made["records"] == audited(Deployment(tmp_path / "backup"))
    assert sandbox.run(*words).code == 2


@requirement("app:backup:proven")
def test_without_a_log_there_is_nothing_to_back_up(deployment: Deployment, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"there is no log yet; `sandbox serve` begins it$"):
        back_up(deployment.root, tmp_path / "backup")


@requirement("app:restore:in-place")
def test_a_backup_put_where_the_deployment_was_serves_on_and_its_log_grows(
    deployment: Deployment, tmp_path: Path
) -> None:
    root, damaged = deployment.root, tmp_path / "damaged"
    with (
        opened_house(root, listen="127.0.0.1:0", grace_s=0.0) as (_, door),
        Client.from_deployment(root, "agent", door.address) as client,
    ):
        before = client.call("shop.order", {"id": 1})
        copy = back_up(root, tmp_path / "backup")
        after = client.call("shop.order", {"id": 2})
    assert isinstance(before, Result)
    assert isinstance(after, Result)

    root.rename(damaged)
    shutil.copytree(copy.deployment.root, root)
    shutil.copytree(damaged / "data", root / "data")
    with (
        opened_house(root, listen="127.0.0.1:0", grace_s=0.0) as (_, door),
        Client.from_deployment(root, "agent", door.address) as client,
    ):
        assert isinstance(client.get_call(call_id=before.call_id), Result)
        with pytest.raises(ServiceError, match="there is no such call"):
            client.get_call(call_id=after.call_id)
        assert isinstance(client.call("shop.order", {"id": 2}), Result)
    assert audited(deployment) > copy.records

    shutil.copy(Deployment(damaged).checkpoint, deployment.checkpoint)
    with pytest.raises(Misconfigured, match="after a restore that was meant, move the file away"):
        House.open(root)
