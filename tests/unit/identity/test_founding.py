"""Does `sandbox init` make a whole deployment, or nothing?"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import apsw
import pytest
from identity_kit import payload_of
from typer.testing import CliRunner

from sandbox import founding
from sandbox.cli import main
from sandbox.deployment import Deployment, Misconfigured, read_private
from sandbox.founding import create_deployment
from sandbox.identity.inspection import inspect
from sandbox.settings import Settings, read_settings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return create_deployment(tmp_path_factory.mktemp("here") / "shop", name="shop.example.com", hosts=["tools.example"])


def files_of(deployment: Deployment) -> set[str]:
    return {str(path.relative_to(deployment.root)) for path in deployment.root.rglob("*") if path.is_file()}


@pytest.mark.requirement("identity:init:whole-folder")
def test_the_folder_holds_what_the_design_says(made: Deployment) -> None:
    assert files_of(made) == {
        "sandbox.toml",
        "connections.toml",
        "data/shop.db",
        "toolspecs/shop.query.yaml",
        "toolspecs/shop.order_by_id.yaml",
        "policies/starter.cedar",
        "schema/tool.v1.json",
        "pki/ca.pem",
        "pki/ca.key",
        "pki/server.pem",
        "pki/server.key",
        "pki/clients/agent.pem",
        "pki/clients/agent.key",
        "pki/clients/reviewer.pem",
        "pki/clients/reviewer.key",
        "keys/lease.key",
        "keys/log.key",
        "keys/log.vkey",
        "keys/log-mldsa44.key",
        "keys/log-mldsa44.vkey",
        "keys/root.key",
        "keys/token.key",
        "tokens/agent.jwt",
        "tokens/reviewer.jwt",
        "state/revoked.txt",
    }


@pytest.mark.requirement("identity:keys:private")
def test_keys_are_readable_for_their_owner_alone(made: Deployment) -> None:
    for key in (*made.root.rglob("*.key"), *made.tokens.iterdir()):
        assert read_private(key)
    folders = (made.root, made.keys, made.pki, made.tokens, made.state)
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


@pytest.mark.requirement("identity:init:settings")
def test_the_settings_file_names_each_setting_with_its_default(made: Deployment) -> None:
    text = made.settings.read_text("utf-8")
    spoken = tomllib.loads(re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE))

    origin = "shop.example.com/log"
    expected = Settings().model_dump(mode="json")
    assert spoken == expected | {"log": expected["log"] | {"origin": origin}}
    settings, _ = read_settings(made.settings)
    assert settings.log.origin == origin
    assert settings.identity == Settings().identity


@pytest.mark.requirement("identity:init:identities")
def test_agent_and_reviewer_have_tokens_that_hold(made: Deployment) -> None:
    settings, _ = read_settings(made.settings)
    found = {
        name: inspect(made, settings.identity, (made.tokens / f"{name}.jwt").read_text().strip())
        for name in ("agent", "reviewer")
    }

    assert {name: shown.state for name, shown in found.items()} == {"agent": "valid", "reviewer": "valid"}
    assert (found["agent"].scope.roles, found["agent"].scope.claims) == (("agent",), {"region": "EU"})
    assert (found["reviewer"].scope.roles, found["reviewer"].scope.claims) == (("reviewer",), {})


def test_the_example_shop_has_rows_of_two_regions(made: Deployment) -> None:
    connection = apsw.Connection(str(made.root / "data" / "shop.db"), flags=apsw.SQLITE_OPEN_READONLY)

    counts = connection.execute("SELECT region, count(*) FROM orders GROUP BY region ORDER BY region").fetchall()
    dangling = connection.execute("SELECT count(*) FROM orders WHERE customer_id NOT IN (SELECT id FROM customers)").get

    assert (counts, dangling) == ([("EU", 12), ("US", 12)], 0)
    assert [row[1] for row in connection.execute("PRAGMA table_info(orders)")] == [
        *("id", "customer_id", "region", "cents", "placed_on", "note")
    ]


@pytest.mark.requirement("identity:init:without-example")
def test_without_the_example_nothing_is_connected(tmp_path: Path) -> None:
    made = create_deployment(tmp_path / "bare", with_example=False, agent_claims={"origin": "JFK"})

    assert tomllib.loads(made.connections.read_text("utf-8")) == {}
    assert list(made.toolspecs.iterdir()) == []
    assert payload_of((made.tokens / "agent.jwt").read_text().strip())["origin"] == "JFK"
    assert made.settings.read_text("utf-8").count('origin = "sandbox.example/log"') == 1


@pytest.mark.requirement("identity:init:all-or-nothing")
def test_what_breaks_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(founding, "create_keys", broken)
    with pytest.raises(OSError, match="disk full"):
        create_deployment(tmp_path / "shop")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("identity:init:all-or-nothing")
def test_a_folder_that_fills_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "shop"

    def meanwhile(*_: object) -> None:
        place.mkdir()
        (place / "precious").write_text("here first")

    monkeypatch.setattr(founding, "create_keys", meanwhile)
    with pytest.raises(Misconfigured, match="exists already"):
        create_deployment(place)

    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["shop", "shop/precious"]


@pytest.mark.requirement("identity:init:all-or-nothing")
@pytest.mark.parametrize("kind", ["full", "file", "current"])
def test_a_place_that_is_taken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("a file")
    else:
        place.mkdir()
    if kind == "full":
        (place / "precious").write_text("here first")
    if kind == "current":
        monkeypatch.chdir(place)

    with pytest.raises(Misconfigured, match=r"exists already|current folder"):
        create_deployment(place)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert create_deployment(tmp_path / "empty", with_example=False).settings.is_file()
    assert create_deployment(tmp_path / "a" / "b", with_example=False).settings.is_file()


@pytest.mark.parametrize("name", ["", "Shop", "a/b", "shop example"])
def test_a_name_that_cannot_head_a_log_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="service name"):
        create_deployment(tmp_path / "shop", name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("identity:init:next-command")
def test_the_command_says_what_was_made_and_what_comes_next(tmp_path: Path) -> None:
    text = CliRunner().invoke(main.app, ["init", str(tmp_path / "my shop")])
    facts = CliRunner().invoke(main.app, ["init", str(tmp_path / "other"), "--name", "other.example", "--json"])

    assert (text.exit_code, facts.exit_code) == (0, 0), text.output + facts.output
    assert "agent, reviewer" in text.output
    assert f"cd '{tmp_path / 'my shop'}' && sandbox lint && sandbox serve" in text.output
    said = json.loads(facts.output)
    assert said["identities"] == ["agent", "reviewer"]
    assert said["log_key"].startswith("other.example/log+")
    assert said["next"][-1] == "sandbox serve"


@pytest.mark.requirement("identity:init:example-holds")
def test_the_example_passes_its_own_lint_and_examples(made: Deployment) -> None:
    where = ["--deployment", str(made.root), "--json"]
    before = files_of(made)

    lint = CliRunner().invoke(main.app, ["lint", *where])
    test = CliRunner().invoke(main.app, ["test", *where])

    assert (lint.exit_code, test.exit_code) == (0, 0), lint.output + test.output
    assert len(json.loads(test.output)["examples"]) == 7
    assert files_of(made) == before
