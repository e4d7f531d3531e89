"""Does a service that is told how long to keep payloads remove them, and do reviewers hear what became of them?"""

from __future__ import annotations

import time

import pytest
from command_line import CommandLine
from conftest import Service

from sandbox.client import Result
from sandbox.deployment import Deployment
from sandbox.receipts.retention import DAY_US
from sandbox.serving import opened_house

requirement = pytest.mark.requirement


def keep_for(deployment: Deployment, days: str) -> None:
    text = deployment.settings.read_text("utf-8")
    assert "#payload_days = 0" in text
    deployment.settings.write_text(text.replace("#payload_days = 0", f"payload_days = {days}"), "utf-8")


@requirement("log:retention:shown")
def test_log_show_says_what_was_removed_and_shows_the_rest(deployment: Deployment, sandbox: CommandLine) -> None:
    keep_for(deployment, "1")
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door):
        with Service(deployment, house, door.address).client() as client:
            answer = client.call("shop.order", {"id": 1})
        assert isinstance(answer, Result)
        assert house.retention.run(time.time_ns() // 1000 + 2 * DAY_US)

    told = sandbox.run("log", "show", answer.call_id)
    asked = sandbox.run("log", "show", answer.call_id, "--json")
    listed = sandbox.run("log", "list", "--kind", "retention", "--json").json()["records"]

    assert (told.code, asked.code) == (0, 0), told.err
    assert isinstance(listed, list)
    (record,) = listed
    leaf = record["index"]
    assert record["payload_days"] == 1
    assert f"removed, as leaf {leaf} says" in told.out
    assert "nothing was left to be read, and no reading is recorded" in told.out
    found = asked.json()
    assert (found["payloads"], found["removed_by"]) == ({}, leaf)
    assert "result" in str(found["removed"])
    assert sandbox.run("log", "list", "--kind", "access", "--json").json()["records"] == []
    spec = sandbox.run("log", "show", "1")
    assert (spec.code, "this reading is on record" in spec.out) == (0, True)


@requirement("log:retention:serving")
def test_a_service_removes_by_itself_what_an_earlier_one_left(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_for(deployment, "1")
    with (
        opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
        Service(deployment, house, door.address).client() as client,
    ):
        client.call("shop.order", {"id": 1})
    capsys.readouterr()
    clock = time.time_ns
    monkeypatch.setattr("sandbox.receipts.retention.time.time_ns", lambda: clock() + 2 * DAY_US * 1000)

    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0):
        pass

    assert '"event": "payloads removed"' in capsys.readouterr().err


@requirement("log:retention:setting")
def test_a_setting_that_cannot_be_is_told_with_its_line(deployment: Deployment, sandbox: CommandLine) -> None:
    keep_for(deployment, "-1")
    told = sandbox.run("lint")
    assert told.code == 1
    assert "`log.payload_days`: `-1` stands there; at least 0 is accepted" in told.out + told.err
