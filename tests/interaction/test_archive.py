"""Do the commands around archives work beside a running service, and say what they did?"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import CommandLine
from conftest import Service

from sandbox.client import Client, Result

requirement = pytest.mark.requirement


@requirement("log:archive:command")
def test_archive_prune_audit_and_show_beside_a_service(
    service: Service, client: Client, sandbox: CommandLine, tmp_path: Path
) -> None:
    answer = client.call("shop.order", {"id": 1})
    assert isinstance(answer, Result)
    place, key = tmp_path / "archive", str(service.deployment.keys / "log.vkey")

    made = sandbox.run("log", "archive", str(place), "--prune", "--json")
    again = sandbox.run("log", "archive", str(place))
    archive = sandbox.run("log", "audit", "--archive", str(place), "--key", key, "--json")
    live = sandbox.run("log", "audit", "--key", key, "--json").json()

    assert (made.code, again.code, archive.code) == (0, 2, 0), made.err
    facts, audited = made.json(), archive.json()
    assert facts["archive"] == str(place)
    assert (audited["tree_size"], audited["payloads"]) == (facts["records"], facts["payloads"])
    assert live["removed_payloads"] == facts["removed_payloads"] != 0
    assert isinstance(client.call("shop.order", {"id": 2}), Result)

    without = sandbox.run("log", "show", answer.call_id)
    shown = sandbox.run("log", "show", answer.call_id, "--archive", str(place), "--json").json()
    assert (without.code, "an archive may hold it (--archive)" in without.out) == (0, True)
    assert "result" in str(shown["payloads"])
    assert (shown["removed"], shown["removed_by"]) == ([], None)

    copy = tmp_path / "kept"
    shutil.copy(place / "checkpoint", copy)
    grown = sandbox.run("log", "audit", "--key", key, "--remember", str(copy), "--json").json()
    assert grown["remembered_size"] == facts["records"]


@requirement("log:archive:command")
def test_a_changed_archive_and_a_wrong_use_have_their_exit_codes(
    service: Service, client: Client, sandbox: CommandLine, tmp_path: Path
) -> None:
    client.call("shop.order", {"id": 1})
    place, key = tmp_path / "archive", str(service.deployment.keys / "log.vkey")
    told = sandbox.run("log", "archive", str(place))
    entries = next((place / "tile" / "entries").rglob("*.p/*"))
    entries.write_bytes(entries.read_bytes()[:-1] + b"\0")

    audited = sandbox.run("log", "audit", "--archive", str(place), "--key", key)
    both = sandbox.run("log", "audit", "--archive", str(place), "--key", key, "--remember", str(tmp_path / "kept"))

    nowhere = sandbox.run("log", "show", "1", "--archive", str(tmp_path / "nowhere"))

    assert told.code == 0
    assert nowhere.code == 2
    assert "there is no archive (checkpoint: No such file or directory)" in " ".join(nowhere.err.split())
    assert f"made the archive {place}" in told.out
    assert audited.code == 1
    assert "the record is not the one that was hashed" in " ".join(audited.err.split())
    assert both.code == 2
    assert "--archive and --remember: one of them is accepted" in " ".join(both.err.split())
