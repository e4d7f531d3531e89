"""Does MariaDB go the whole way, from a first spec over the set-up script to calls and receipts?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import mysql_cast
import pytest
from command_line import CommandLine
from mariadb_server import Server
from whole_cast import BY_ID, QUERY, check_calls, check_refusals, check_vanished

from sandbox.client import Client, Explanation, Refusal
from sandbox.deployment import Deployment, write_private
from sandbox.founding import create_deployment
from sandbox.serving import opened_house

requirement = pytest.mark.requirement("mysql:whole:commands")

CONNECTIONS = '[shop]\nengine = "mysql"\ndsn = {file = "secrets/shop.dsn"}\nceiling = {tables = "all"}\n'


@pytest.fixture
def sandbox(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def deployment(mariadb: Server, tmp_path: Path, sandbox: CommandLine) -> Deployment:
    mysql_cast.founded(mariadb, tmp_path / "cast", "whole", name="shop")
    deployment = create_deployment(tmp_path / "whole", with_example=False, agent_claims={"region": "EU"})
    deployment.connections.write_text(CONNECTIONS)
    (deployment.root / "secrets").mkdir(0o700)
    dsn = mariadb.url("whole", user=mysql_cast.LOOKS_ONLY, password="looks")
    write_private(deployment.root / "secrets" / "shop.dsn", dsn.encode())
    sandbox.over(deployment.root)
    return deployment


def administer(server: Server, sandbox: CommandLine) -> None:
    """Run what the service prints, as the server's administrator."""
    script = sandbox.run("doctor", "--setup-sql", "shop")
    assert script.code == 0, script.err
    done = server.run_script(script.out)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def served(deployment: Deployment, mariadb: Server, sandbox: CommandLine) -> Iterator[Client]:
    (deployment.toolspecs / "shop.query.yaml").write_text(QUERY.replace("public.", "").replace("PostgreSQL", "MariaDB"))
    (deployment.toolspecs / "shop.by_id.yaml").write_text(BY_ID)
    administer(mariadb, sandbox)
    with (
        opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door),
        Client.from_deployment(deployment.root, "agent", door.address) as client,
    ):
        yield client


@requirement
def test_from_a_first_spec_to_its_examples_and_back(
    deployment: Deployment, mariadb: Server, sandbox: CommandLine
) -> None:
    first = str(deployment.toolspecs / "orders.yaml")
    assert sandbox.run("new", "tool", "--connection", "shop", "--table", "orders", "--out", first).code == 0
    assert sandbox.run("lint").code == 0

    early = sandbox.run("test")
    assert (early.code, "sandbox doctor --setup-sql shop" in " ".join(early.err.split())) == (2, True), early.err
    before = sandbox.run("doctor")
    assert before.code == 1
    assert "nothing of the set-up script" in " ".join(before.out.split())

    administer(mariadb, sandbox)
    good = sandbox.run("doctor", "--json")
    assert (good.code, good.json()["ok"]) == (0, True), good.out
    ended = sandbox.run("test", "--json")
    assert ended.code == 0, ended.out

    for column, value in (("region", "EU"), ("cents", "100")):
        draft = Path(first).read_text()
        hint = "COLUMN = claim('NAME')"
        filtered = draft.replace(f'# row_filter: "{hint}"', f'row_filter: "{hint.replace("COLUMN", column)}"')
        followed = filtered.replace("# as: {NAME: VALUE}", f"as: {{NAME: '{value}'}}")
        assert followed.count("claim('NAME')") == 1
        (deployment.toolspecs / "orders.yaml").write_text(followed)
        administer(mariadb, sandbox)
        ended = sandbox.run("test", "--json")
        assert ended.code == 0, ended.out + ended.err
        (deployment.toolspecs / "orders.yaml").write_text(draft)

    undo = sandbox.run("doctor", "--setup-sql", "shop", "--undo", "--json")
    assert mariadb.run_script(str(undo.json()["script"])).returncode == 0
    assert sandbox.run("doctor").code == 1


@requirement
def test_calls_come_back_with_receipts(served: Client, deployment: Deployment) -> None:
    check_calls(served, (deployment.keys / "log.vkey").read_text("utf-8"))


@requirement
def test_what_is_not_allowed_is_refused_and_shows_nothing(served: Client) -> None:
    refused = {
        "SELECT * FROM mysql.global_priv": "SQL_OBJECT_FORBIDDEN",
        "SELECT cents + 9223372036854775807 FROM orders": "SQL_FAILED",
    }
    check_refusals(served, refused)


@requirement
def test_explain_tells_what_would_run(served: Client) -> None:
    answer = served.explain("shop.query", {"sql": "SELECT id FROM orders -- all of them"})

    assert isinstance(answer, Explanation)
    assert answer.sql_to_run.strip() == "SELECT id FROM orders"
    assert (tuple(answer.relations), tuple(answer.claims)) == (("orders",), ("region",))
    assert answer.row_filters == {"orders": "region = claim('region')"}


@requirement
@pytest.mark.usefixtures("served")
def test_sql_check_runs_what_it_permits(sandbox: CommandLine, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    texts = ["SELECT sum(cents) AS cents FROM orders", "DELETE FROM orders"]
    asked.write_text("".join(json.dumps({"id": str(at), "sql": sql}) + "\n" for at, sql in enumerate(texts)))
    ended = sandbox.run("sql", "check", "--tool", "shop.query", "--claim", "region=EU", "--execute", str(asked))

    first, second = (json.loads(line) for line in ended.out.splitlines())
    assert (first["decision"], first["rows"], first["error"]) == ("permit", [["400"]], None)
    assert second["decision"] == "refuse"


@requirement
def test_a_call_after_the_undo_script_is_told_what_is_gone(
    served: Client, mariadb: Server, sandbox: CommandLine
) -> None:
    undo = sandbox.run("doctor", "--setup-sql", "shop", "--undo")
    assert mariadb.run_script(undo.out).returncode == 0

    for _ in range(2):
        answer = served.call("shop.query", {"sql": "SELECT id FROM orders"})
        assert isinstance(answer, Refusal)
        assert answer.reason == "EXECUTOR_UNAVAILABLE"


@pytest.mark.requirement("executors:stop:vanished")
def test_a_client_that_vanishes_takes_its_statement_with_it(served: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    check_vanished(served, monkeypatch)
