"""Do the commands that call a running service wait, tell and end as the contract says?"""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
from command_line import CommandLine
from conftest import Service

from sandbox.client import Client, NotAuthenticated, Unavailable
from sandbox.deployment import Deployment

requirement = pytest.mark.requirement


@requirement("house:cli:waits")
def test_a_call_waits_for_a_service_that_is_starting(
    sandbox: CommandLine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox.cli import asking

    address = service.deployment.address.read_text()
    service.deployment.address.write_text("127.0.0.1:1")  # what a killed service left behind
    waits: list[float] = []

    class Waiting:
        def wait(self, seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 1:
                service.deployment.address.unlink()
            else:
                service.deployment.address.write_text(address)

    monkeypatch.setattr(asking, "Event", Waiting)
    monkeypatch.setattr(asking, "STARTING_S", 60.0)
    told = sandbox.run("call", "shop.order", "--args", '{"id": 1}')

    assert (told.code, len(waits)) == (0, 2), told.err


@requirement("house:cli:tools")
def test_an_identity_sees_the_tools_its_token_names(sandbox: CommandLine, service: Service) -> None:
    told, asked = sandbox.run("tools"), sandbox.run("tools", "--json")
    assert (told.code, asked.code) == (0, 0)
    assert [tool["name"] for tool in json.loads(asked.out)] == ["shop.order", "shop.order_by_id", "shop.query"]
    assert told.out.startswith("shop.order 1.0.0 (read)\n    One order by its id.\n")
    assert "    sql: " in told.out
    assert "SQLite; it may read customers(" in " ".join(told.out.split())
    assert told.out.endswith("\n3 tools served within the token's scope; policy decides each call\n")
    assert max(map(len, told.out.splitlines())) <= 80
    nobody = sandbox.run("tools", "--as", "nobody")
    assert (nobody.code, "clients/nobody.pem: there is no such file" in nobody.err) == (4, True), nobody.err
    (service.deployment.tokens / "agent.jwt").write_text("x.y.z")
    assert sandbox.run("tools").code == 4


@requirement("identity:command:no-role")
def test_the_way_to_a_missing_identity_ends_at_a_call_that_is_permitted(sandbox: CommandLine, service: Service) -> None:
    call = ("call", "shop.order", "--args", '{"id": 1}', "--as", "nobody")
    lost = sandbox.run(*call)
    assert (lost.code, "(policies speak of the roles `agent`, `reviewer`)" in lost.err) == (4, True), lost.err
    command = lost.err.split("`")[3]
    assert command == "sandbox token new nobody --role agent"
    assert sandbox.run(*command.split()[1:]).code == 0
    assert sandbox.run(*call).code == 0
    assert service.house.log._log.store.head().size


@requirement("house:cli:explain-codes")
def test_explain_ends_as_the_contract_says(
    sandbox: CommandLine, deployment: Deployment, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox.cli import asking

    monkeypatch.setattr(asking, "STARTING_S", 0.0)
    count = ("explain", "shop.query", "--args", '{"sql": "SELECT count(*) FROM orders"}')
    assert sandbox.run(*count).code == 0
    assert sandbox.run(*count[:-1], '{"sql": "DELETE FROM orders"}').code == 1
    assert sandbox.run(*count[:-1], "{not json").code == 1
    assert sandbox.run("explain", "no.tool", "--args", "{}").code == 1
    assert sandbox.run(*count, "--as", "reviewer").code == 1
    assert sandbox.run(*count, "--as", "nobody").code == 4
    assert sandbox.run(*count, "--as", "../x").code == 2
    assert sandbox.run(*count, "--receipt", str(deployment.root)).code == 2
    assert sandbox.run(*count, "--receipt", str(deployment.root / "no" / "x")).code == 2
    assert sandbox.run("explain", "shop.query").code == 2
    assert sandbox.run(*count, "--address", "127.0.0.1:1").code == 5
    (deployment.tokens / "agent.jwt").write_text("x.y.z")
    assert sandbox.run(*count).code == 4
    service.deployment.address.unlink()
    gone = sandbox.run(*count, "--json")
    assert (gone.code, gone.json()["exit_code"]) == (5, 5)
    service.deployment.address.touch()


@requirement("client:connect:no-service")
def test_no_service_is_one_clear_sentence(deployment: Deployment) -> None:
    with pytest.raises(Unavailable, match=r"^no service runs over .*; start one with `sandbox serve`$") as caught:
        Client.from_deployment(deployment.root, "agent")
    assert "Traceback" not in "".join(traceback.format_exception(caught.value)[1:]), "one traceback, and the sentence"


@requirement("client:connect:no-identity")
def test_an_identity_or_a_deployment_that_is_not_there_is_told_by_the_client(service: Service, tmp_path: Path) -> None:
    root = service.deployment.root
    with pytest.raises(NotAuthenticated) as missing:
        Client.from_deployment(root, "zed")
    what = "there is no such file; the identity `zed` lacks it; `sandbox token new zed --role ROLE` makes it"
    assert str(missing.value) == f"{root}/pki/clients/zed.pem: {what}"
    assert missing.value.reason == "CREDENTIAL_MISSING"
    key = root / "keys" / "log.vkey"
    key.rename(key.with_suffix(".away"))
    with pytest.raises(Unavailable, match=r"/keys/log\.vkey: there is no such file; every deployment has one$"):
        Client.from_deployment(root, "agent")
    key.with_suffix(".away").rename(key)
    (tmp_path / "empty").mkdir()
    for address in ("", service.address):
        with pytest.raises(Unavailable, match=r"/empty: there is no deployment here; `sandbox init DIR` makes one$"):
            Client.from_deployment(tmp_path / "empty", "agent", address)


@requirement("house:cli:receipt-kept")
def test_a_receipt_that_cannot_be_written_is_told_before_the_call_is_made(
    sandbox: CommandLine, service: Service
) -> None:
    before = service.house.log._log.store.head().size

    ended = sandbox.run("call", "shop.order", "--args", '{"id": 1}', "--receipt", "/nosuch/x")

    assert (ended.code, ended.err) == (2, "error: --receipt /nosuch/x: there is no folder /nosuch; nothing was asked\n")
    assert service.house.log._log.store.head().size == before


@requirement("house:cli:receipt-kept")
def test_a_result_is_told_even_where_its_receipt_cannot_be_kept(
    sandbox: CommandLine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    ended = sandbox.run("call", "shop.order", "--args", '{"id": 1}', "--receipt", str(sandbox.root / "x"), "--json")

    assert (ended.code, ended.json()["row_count"]) == (5, 1)
    assert "could not be written (No space left on device)" in " ".join(ended.err.split())
    assert service.house.log._log.store.head().size


@requirement("house:cli:receipt-kept")
def test_a_refusal_tells_its_receipt(sandbox: CommandLine, service: Service) -> None:
    words = ("call", "shop.query", "--args", '{"sql": "DELETE FROM orders"}')
    told, asked = sandbox.run(*words), sandbox.run(*words, "--json")
    last = service.house.log._log.store.head().size - 1
    assert (told.code, asked.code) == (1, 1)
    assert told.err.splitlines()[-1].startswith(f"receipt {last - 1} verified, call ")
    assert asked.json()["receipt"] == {"index": last, "tree_size": last + 1}


@requirement("house:cli:receipt-kept")
def test_a_refusal_without_a_receipt_names_its_reason(sandbox: CommandLine, service: Service) -> None:
    words = ("call", "shop.order", "--request-id", "once", "--args")
    assert sandbox.run(*words, '{"id": 1}').code == 0
    told = sandbox.run(*words, '{"id": 2}')
    assert (told.code, "\nerror: CALL_REPLAYED: " in told.err) == (1, True), told.err
    assert service.house.log._log.store.head().size
