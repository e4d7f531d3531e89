"""Does a service live without one of its databases, and serve that one's tools once it is back?"""

from __future__ import annotations

import json
from pathlib import Path

import postgres_cast
import pytest
from command_line import CommandLine
from postgres_server import Server
from test_selftest import self_tests_of
from whole_cast import BY_ID, administer, founded

from sandbox import app
from sandbox.client import Client, Refusal, Result
from sandbox.deployment import Deployment
from sandbox.doctor.selftest import SelfTestFailed
from sandbox.founding import create_deployment
from sandbox.serving import opened_house

requirement = pytest.mark.requirement("doctor:selftest:away")

FILES = '[files]\nengine = "sqlite"\npath = "data/shop.db"\nceiling = {tables = "all"}\n'
FILED = BY_ID.replace("shop.by_id", "files.by_id").replace("connection: shop", "connection: files")
POLICY = """
@id("by-id-of-few")
forbid (principal, action == Sandbox::Action::"Execute:shop.by_id", resource)
when { context.arguments.id > 3 };
"""


@pytest.fixture
def sandbox(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def way(tmp_path: Path) -> Path:
    """What stands in the dsn for the server's folder: nothing leads there until it is made a link."""
    return tmp_path / "s"


@pytest.fixture
def deployment(postgres: Server, tmp_path: Path, sandbox: CommandLine, way: Path) -> Deployment:
    """A deployment with a tool on a file and a tool on a server, set up, that is away for now."""
    postgres.make_database("whole", postgres_cast.SHOP)
    deployment = founded(postgres, tmp_path / "whole", sandbox, way)
    (deployment.toolspecs / "shop.by_id.yaml").write_text(BY_ID)
    way.symlink_to(postgres.folder)
    administer(postgres, sandbox)
    way.unlink()
    example = create_deployment(tmp_path / "example", with_example=True, agent_claims={})
    (example.root / "data").rename(deployment.root / "data")
    with deployment.connections.open("a") as connections:
        connections.write(FILES)
    (deployment.toolspecs / "files.by_id.yaml").write_text(FILED)
    (deployment.policies / "few.cedar").write_text(POLICY)
    return deployment


@requirement
def test_a_service_starts_without_a_database_and_serves_its_tools_once_it_is_back(
    deployment: Deployment, postgres: Server, way: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, object]] = []
    monkeypatch.setattr(app, "note", lambda event, **facts: told.append((event, facts.get("tool"))))
    with (
        opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
        Client.from_deployment(deployment.root, "agent", door.address) as client,
    ):
        assert isinstance(client.call("files.by_id", {"id": 1}), Result)
        refusal = client.call("shop.by_id", {"id": 1})
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.rule) == ("EXECUTOR_UNAVAILABLE", "tools/self-test")
        assert refusal.retry_after_s == 60
        assert "while its database cannot be asked" in refusal.message
        assert str(way) not in repr(refusal)
        assert refusal.receipt is not None
        assert [tool.name for tool in client.tools()] == ["files.by_id"]

        before = house.loaded
        with pytest.raises(SelfTestFailed) as failed:
            house.test_again()
        assert house.loaded is before
        ((tool, (sentence,)),) = failed.value.failures.items()
        assert (tool, sentence.startswith("connection `shop`: the database of connection")) == ("shop.by_id", True)

        way.symlink_to(postgres.folder)
        house.test_again()
        answer = client.call("shop.by_id", {"id": 3})
        assert isinstance(answer, Result)
        assert answer.rows == ((3, 300),)
        denied = client.call("shop.by_id", {"id": 4})
        assert isinstance(denied, Refusal)
        assert denied.reason == "POLICY_DENIED"
        assert ("tool served", "shop.by_id") in told

        down, up = self_tests_of(house)
        assert (down.counted, up.counted) == (1, 0)


@requirement
def test_what_could_not_be_asked_is_on_record(deployment: Deployment, sandbox: CommandLine) -> None:
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, _):
        (record,) = self_tests_of(house)
    shown = sandbox.run("log", "show", record.call_id, "--json").json()
    report = json.loads(shown["payloads"]["self_test"])
    (away,) = (one for one in report["connections"] if one["connection"] == "shop")
    assert away["checks"] == ["the database can be asked"]
    assert [finding["level"] for finding in away["findings"]] == ["error"]
    assert {tool["tool"]: bool(tool["failures"]) for tool in report["tools"]} == {
        "files.by_id": False,
        "shop.by_id": True,
    }


@requirement
def test_a_reload_goes_on_without_a_database_that_has_gone(deployment: Deployment, postgres: Server, way: Path) -> None:
    way.symlink_to(postgres.folder)
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, _):
        assert house.loaded.unserved == {}
        way.unlink()
        (deployment.policies / "few.cedar").write_text(POLICY.replace("> 3", "> 2"))
        with pytest.raises(SelfTestFailed):
            house.reload()
        assert list(house.loaded.unserved) == ["shop.by_id"]
        assert sorted(house.loaded.specs.tools) == ["files.by_id"]


@requirement
def test_what_the_deployment_itself_lacks_is_still_refused(deployment: Deployment, sandbox: CommandLine) -> None:
    """A dsn that is not there is nothing that passes by itself."""
    (deployment.root / "secrets" / "shop.dsn").unlink()
    served = sandbox.run("serve", "--listen", "127.0.0.1:0")
    assert served.code == 1
    assert "shop.by_id.yaml" in served.err
    assert sandbox.run("lint").code == 1


@requirement
def test_a_spec_is_held_to_its_database_before_it_is_served(
    deployment: Deployment, postgres: Server, way: Path
) -> None:
    """The attack: a spec that the database would refuse, brought in while nobody could look."""
    spec = deployment.toolspecs / "shop.by_id.yaml"
    spec.write_text(BY_ID.replace("SELECT id, cents FROM orders", "SELECT id, rolname FROM pg_catalog.pg_authid"))
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, _):
        assert list(house.loaded.unserved) == ["shop.by_id"]
        way.symlink_to(postgres.folder)
        with pytest.raises(Exception, match="the statement is refused"):
            house.test_again()
        assert sorted(house.loaded.specs.tools) == ["files.by_id"]
