"""Does a call with effects leave intent and end, and a crash between the two an open intent that nobody runs again?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import effectful
import pytest
from command_line import CommandLine
from conftest import Service
from effectful import ARGUMENTS, TOOL, make_effectful, proposed, writes_a_line

from sandbox.app import House
from sandbox.audit.audit import audit_log
from sandbox.audit.verify import verify_receipt
from sandbox.client import Pending, ReceiptInvalid, Refusal, Result, Unavailable
from sandbox.client.answers import read_answer
from sandbox.deployment import Deployment
from sandbox.reasons import Effect, Reason, Refused
from sandbox.serving import opened_house
from sandbox.stages import AuthorizedCall, ResultBody
from sandbox.stores.log import StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.stores.sqlite_writing import SqliteWriting
from sandbox.v1 import execution_log_pb2 as log_pb
from sandbox.v1 import record_pb2
from sandbox.v1 import tool_execution_pb2 as pb
from sandbox.v1.execution_log_pb2_grpc import ExecutionLogServiceStub
from sandbox.v1.tool_execution_pb2_grpc import ToolExecutionServiceStub

requirement = pytest.mark.requirement


@pytest.fixture
def house(deployment: Deployment) -> Iterator[House]:
    opened = House.open(deployment.root)
    yield opened
    opened.close()


def full(*_: object) -> None:
    raise StoreUnavailable("FullError")


@contextmanager
def unwritable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as disk:
        disk.setattr(SqliteWriting, "append", full)
        disk.setattr(SqliteLog, "probe", full)
        yield


def lines(file: Path) -> int:
    return len(file.read_text("ascii").splitlines()) if file.exists() else 0


@requirement("log:intent:unavailable")
def test_the_executor_is_not_asked_while_the_log_takes_no_intent(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "effects"
    make_effectful(house, writes_a_line(file))
    with unwritable(monkeypatch):
        for _ in range(2):  # by the intent, then before anything is looked at
            with pytest.raises(Refused) as caught:
                house.pipeline.run(proposed(house.deployment))
            assert caught.value.reason is Reason.RECEIPT_LOG_UNAVAILABLE
    assert lines(file) == 0

    monkeypatch.setattr("sandbox.receipts.log.PROBE_EVERY_S", 0.0)
    house._log._probe_at = 0.0
    assert isinstance(house.pipeline.run(proposed(house.deployment)).wait().answer, ResultBody)
    assert lines(file) == 1


@requirement("log:intent:before", "log:open:named")
def test_a_client_gets_the_outcome_and_a_reviewer_sees_both_records(
    service: Service, sandbox: CommandLine, tmp_path: Path
) -> None:
    make_effectful(service.house, writes_a_line(tmp_path / "effects"))
    with service.client() as client:
        answer = client.call(TOOL, {"id": 1}, request_id="r1")
        assert client.call(TOOL, {"id": 1}, request_id="r1") == answer
        assert isinstance(answer, Result)
        assert client.get_call(call_id=answer.call_id) == answer
    assert answer.rows == (("yes",),)
    assert lines(tmp_path / "effects") == 1

    with service.channel() as channel:
        asked = log_pb.GetReceiptRequest(call_id=answer.call_id, of_intent=True)
        own = ExecutionLogServiceStub(channel).GetReceipt(asked, metadata=service.identity().metadata()).receipt
    vkey = (service.deployment.keys / "log.vkey").read_text("utf-8").strip()
    assert verify_receipt(own, vkey).record.kind == record_pb2.RECORD_KIND_INTENT

    shown = json.loads(sandbox.run("log", "show", answer.call_id, "--json").out)
    assert (shown["record"]["kind"], shown["record"]["effect"]) == ("outcome", "done")
    assert set(shown["payloads"]) == {"arguments", "result"}
    assert "done, 1 row\n" in sandbox.run("log", "list", "--kind", "outcome").out
    assert sandbox.run("log", "open")[:2] == (0, "no call is open\n")


@requirement("log:intent:effect")
@pytest.mark.parametrize(("told", "heard"), [(Effect.UNSPECIFIED, "unknown"), (Effect.NONE, "none")])
def test_a_client_is_told_what_is_known_of_the_effect(
    service: Service, sandbox: CommandLine, told: Effect, heard: str
) -> None:
    def act(_: AuthorizedCall) -> None:
        raise Refused(Reason.EXECUTION_TIMED_OUT, "no answer in 5 s", effect=told)

    make_effectful(service.house, act)
    with service.client() as client:
        answer = client.call(TOOL, {"id": 1})
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.effect) == ("EXECUTION_TIMED_OUT", heard)
    assert f"  effect {heard}\n" in sandbox.run("log", "list").out


@requirement("log:intent:effect")
def test_an_effect_other_than_the_receipts_is_not_believed(service: Service) -> None:
    def act(_: AuthorizedCall) -> None:
        raise Refused(Reason.EXECUTION_TIMED_OUT, "no answer in 5 s")

    make_effectful(service.house, act)
    with service.channel() as channel:
        response = ToolExecutionServiceStub(channel).Execute(
            pb.ExecuteRequest(tool=TOOL, arguments_json=ARGUMENTS), metadata=service.identity().metadata()
        )
    key = (service.deployment.keys / "log.vkey").read_text("utf-8")
    assert isinstance(read_answer(response, TOOL, key), Refusal)
    response.refusal.effect = Effect.NONE
    with pytest.raises(ReceiptInvalid, match="effect"):
        read_answer(response, TOOL, key)


@pytest.fixture
def ends_untold(service: Service) -> Iterator[None]:
    """Every call's act is followed by a log that takes nothing."""
    with pytest.MonkeyPatch.context() as disk:
        make_effectful(service.house, lambda _: disk.setattr(SqliteWriting, "append", full))
        yield


@requirement("log:intent:untold")
@pytest.mark.usefixtures("ends_untold")
def test_a_client_is_told_that_a_call_has_begun_whose_end_is_not_on_record(service: Service) -> None:
    with service.client() as client:
        with pytest.raises(Unavailable) as caught:
            client.call(TOOL, {"id": 1}, request_id="r1")
        pending = client.get_call(call_id=caught.value.call_id)

    assert (caught.value.reason, caught.value.effect) == ("RECEIPT_LOG_UNAVAILABLE", "unknown")
    assert isinstance(pending, Pending)
    assert pending.is_unrecorded


@requirement("log:intent:untold")
@pytest.mark.usefixtures("ends_untold")
def test_a_stream_is_told_so_too(service: Service) -> None:
    call = pb.ExecuteRequest(tool=TOOL, arguments_json=ARGUMENTS, request_id="r1")
    with service.channel() as channel:
        answers = ToolExecutionServiceStub(channel).ExecuteStream(
            iter([pb.ExecuteStreamRequest(tag=7, call=call)]), metadata=service.identity().metadata()
        )
        (answer,) = answers

    assert (answer.tag, answer.error.reason) == (7, "RECEIPT_LOG_UNAVAILABLE")
    assert answer.error.effect == Effect.UNKNOWN
    assert answer.error.call_id


@requirement("log:orphan:closed", "log:orphan:never-again", "log:open:named")
def test_a_process_killed_in_the_act_leaves_an_open_intent_that_the_next_start_closes(
    deployment: Deployment, sandbox: CommandLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "effects"
    command = [sys.executable, effectful.__file__, str(deployment.root), str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        running = sandbox.run("log", "open", "--json")
        process.kill()
    (intent,) = json.loads(running.out)["open"]
    assert running.code == 0
    assert (intent["kind"], intent["tool"], intent["name"], intent["is_running"]) == ("intent", TOOL, "agent", True)

    left = sandbox.run("log", "open", "--json")
    assert (left.code, json.loads(left.out)) == (3, {"open": [{**intent, "is_running": False}]})
    told = sandbox.run("log", "open")
    assert (told.code, told.out.count("intent, abandoned\nabandoned: its process is gone;")) == (3, 1)
    assert max(map(len, told.out.splitlines())) <= 80
    vkey = (deployment.keys / "log.vkey").read_text("utf-8").strip()
    assert audit_log(deployment.log_database, vkey).open_intents == 1

    changed_copy = deployment.root.with_name("changed")
    shutil.copytree(deployment.root, changed_copy)
    connection = apsw.Connection(str(Deployment(changed_copy).log_database))
    connection.execute("UPDATE leaves SET record = x'00' WHERE idx = (SELECT idx FROM intents)")
    connection.close()
    damaged = sandbox.run("log", "open", "--deployment", str(changed_copy))
    assert (damaged.code, damaged.out) == (1, "")
    assert "is not the one that was hashed" in damaged.err

    capsys.readouterr()
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door):
        events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert [e["call_id"] for e in events if e["event"].startswith("an intent's process")] == [intent["call_id"]]
        make_effectful(house, writes_a_line(file))
        with Service(deployment, house, door.address).client() as client:
            answer = client.call(TOOL, {"id": 1}, request_id="r1")
            assert client.get_call(call_id=intent["call_id"]) == answer
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.effect, answer.call_id) == ("EFFECT_UNKNOWN", "unknown", intent["call_id"])
    assert lines(file) == 1
    assert list(Path(f"{deployment.log_database}.boots").iterdir()) == []
    assert sandbox.run("log", "open", "--json").json() == {"open": []}
    assert f"{TOOL:<18}  orphan\n" in sandbox.run("log", "list", "--kind", "orphan").out
    assert audit_log(deployment.log_database, vkey).open_intents == 0
