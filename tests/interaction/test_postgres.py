"""Does PostgreSQL go the whole way, from a first spec over the set-up script to calls and receipts?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import postgres_cast
import psycopg
import pytest
from command_line import CommandLine
from postgres_server import Server
from whole_cast import BY_ID, CONNECTIONS, QUERY, administer, check_calls, check_refusals, check_vanished, founded

from sandbox.client import Client, Explanation, Refusal, Result
from sandbox.deployment import Deployment
from sandbox.serving import opened_house

LATER = "; the same call may succeed later; if it does not, tell the operator of this service"
requirement = pytest.mark.requirement("postgres:whole:commands")


@pytest.fixture(params=["postgres", "postgres_15"])
def server(request: pytest.FixtureRequest) -> Server:
    server = request.getfixturevalue(request.param)
    assert isinstance(server, Server)
    server.make_database("whole", postgres_cast.SHOP)
    return server


@pytest.fixture
def deployment(server: Server, tmp_path: Path, sandbox: CommandLine) -> Deployment:
    return founded(server, tmp_path / "whole", sandbox)


@pytest.fixture
def sandbox(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def served(deployment: Deployment, server: Server, sandbox: CommandLine) -> Iterator[Client]:
    (deployment.toolspecs / "shop.query.yaml").write_text(QUERY)
    (deployment.toolspecs / "shop.by_id.yaml").write_text(BY_ID)
    administer(server, sandbox)
    with (
        opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door),
        Client.from_deployment(deployment.root, "agent", door.address) as client,
    ):
        yield client


@requirement
def test_from_a_first_spec_to_its_examples(deployment: Deployment, server: Server, sandbox: CommandLine) -> None:
    first = str(deployment.toolspecs / "orders.yaml")
    assert sandbox.run("new", "tool", "--connection", "shop", "--table", "public.orders", "--out", first).code == 0
    assert sandbox.run("lint").code == 0

    early = sandbox.run("test")
    assert (early.code, "sandbox doctor --setup-sql shop" in " ".join(early.err.split())) == (2, True), early.err

    administer(server, sandbox)
    assert sandbox.run("doctor").code == 0
    ended = sandbox.run("test", "--json")
    assert ended.code == 0, ended.out

    for column, hint, value in (("region", "claim('NAME')", "EU"), ("cents", "claim('NAME')::bigint", "100")):
        draft = Path(first).read_text()
        assert hint in draft
        filtered = draft.replace("""# row_filter: "COLUMN = claim('NAME')\"""", f'row_filter: "{column} = {hint}"')
        followed = filtered.replace("# as: {NAME: VALUE}", f"as: {{NAME: '{value}'}}")
        assert sandbox.run("new", "tool", "--connection", "shop", "--table", "public.orders").out == draft
        (deployment.toolspecs / "orders.yaml").write_text(followed)
        administer(server, sandbox)
        ended = sandbox.run("test", "--json")
        assert ended.code == 0, ended.out + ended.err
        (deployment.toolspecs / "orders.yaml").write_text(draft)


@requirement
def test_calls_come_back_with_receipts(served: Client, deployment: Deployment) -> None:
    check_calls(served, (deployment.keys / "log.vkey").read_text("utf-8"))


@requirement
def test_what_is_not_allowed_is_refused_and_shows_nothing(served: Client) -> None:
    refused = {
        "SELECT * FROM pg_catalog.pg_authid": "SQL_OBJECT_FORBIDDEN",
        "SELECT id / (id - 1) FROM orders": "SQL_FAILED",
        "SELECT CAST(region AS integer) FROM orders": "SQL_FAILED",
    }
    check_refusals(served, refused)


@requirement
def test_explain_tells_what_would_run(served: Client) -> None:
    answer = served.explain("shop.query", {"sql": "SELECT id FROM orders"})

    assert isinstance(answer, Explanation)
    assert answer.sql_to_run.startswith("SELECT id FROM sandbox_")
    assert (tuple(answer.relations), tuple(answer.claims)) == (("public.orders",), ("region",))
    assert answer.row_filters == {"public.orders": "region = claim('region')"}


@pytest.mark.requirement("doctor:selftest:alone")
def test_a_tool_that_nobody_has_set_up_yet_fails_alone(
    deployment: Deployment, server: Server, sandbox: CommandLine
) -> None:
    """The attack: one author's spec of another shape kept the whole deployment from starting."""
    (deployment.toolspecs / "shop.by_id.yaml").write_text(BY_ID)
    administer(server, sandbox)
    (deployment.toolspecs / "shop.query.yaml").write_text(QUERY.replace(", mask: {name: initials, mail: domain}", ""))
    with (
        opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
        Client.from_deployment(deployment.root, "agent", door.address) as client,
    ):
        ((tool, (sentence,)),) = house.loaded.unserved.items()
        assert (tool, "sandbox doctor --setup-sql shop" in sentence) == ("shop.query", True)
        assert isinstance(client.call("shop.by_id", {"id": 3}), Result)


@pytest.mark.requirement("doctor:selftest:engine")
def test_while_a_revoke_is_missing_no_tool_of_the_database_is_served(
    deployment: Deployment, server: Server, sandbox: CommandLine
) -> None:
    """The attack: `PUBLIC` may take advisory locks, which a read-only transaction does not stop."""
    (deployment.toolspecs / "shop.query.yaml").write_text(QUERY)
    administer(server, sandbox)
    with server.connect("whole") as owner:
        owner.execute("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC")
    with (
        opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
        Client.from_deployment(deployment.root, "agent", door.address) as client,
    ):
        question = {"sql": "SELECT count(*) AS n FROM orders"}
        answer = client.call("shop.query", question)
        assert isinstance(answer, Refusal)
        assert (answer.reason, answer.rule) == ("EXECUTOR_UNAVAILABLE", "tools/self-test")
        (sentences,) = house.loaded.unserved.values()
        assert all(sentence.startswith("connection `shop`: ") for sentence in sentences)
        assert "pg_advisory_lock" in " ".join(sentences)

        administer(server, sandbox)
        house.reload()
        assert isinstance(client.call("shop.query", question), Result)


@pytest.mark.requirement("specs:connections:without-revokes")
def test_where_a_revoke_is_missing_tools_are_served_if_the_connection_says_so(
    deployment: Deployment, server: Server, sandbox: CommandLine
) -> None:
    (deployment.toolspecs / "shop.by_id.yaml").write_text(BY_ID)
    administer(server, sandbox)
    with server.connect("whole") as owner:
        owner.execute("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC")
    deployment.connections.write_text(CONNECTIONS + "without_revokes = true\n")
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, _):
        assert house.loaded.unserved == {}
    told = sandbox.run("doctor")
    assert (told.code, "pg_advisory_lock" in told.out) == (0, True)


@pytest.mark.requirement("doctor:checks:outdated")
def test_a_tool_is_removed_and_the_others_are_served(
    deployment: Deployment, server: Server, sandbox: CommandLine
) -> None:
    (deployment.toolspecs / "shop.query.yaml").write_text(QUERY)
    (deployment.toolspecs / "shop.by_id.yaml").write_text(BY_ID)
    administer(server, sandbox)
    with (
        opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
        Client.from_deployment(deployment.root, "agent", door.address) as client,
    ):
        for name in ("shop.query", "shop.by_id"):
            spec = deployment.toolspecs / f"{name}.yaml"
            text = spec.read_text()
            spec.unlink()
            house.reload()
            assert house.loaded.unserved == {}
            spec.write_text(text)
        assert isinstance(client.call("shop.query", {"sql": "SELECT id FROM customers"}), Result)


@requirement
def test_sql_check_runs_what_it_permits(served: Client, sandbox: CommandLine, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    texts = ["SELECT count(*) AS n FROM orders", "SELECT true AS t, 1/0 AS x", "SELECT note FROM orders"]
    lines.write_text("".join(json.dumps({"id": number, "sql": sql}) + "\n" for number, sql in enumerate(texts)))

    ended = sandbox.run("sql", "check", "--tool", "shop.query", "--claim", "region=US", "--execute", str(lines))

    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [(one["decision"], one["rows"], one["error"]) for one in told] == [
        ("permit", [[1]], None),
        ("permit", [], "division_by_zero"),
        ("refuse", [], None),
    ]
    assert told[0]["result_columns"] == [{"name": "n", "type": "integer"}]
    assert served.call("shop.by_id", {"id": 1}).receipt is not None


@pytest.mark.requirement("postgres:whole:set-up-gone")
def test_a_call_after_the_undo_script_is_told_what_is_gone(
    served: Client, server: Server, sandbox: CommandLine
) -> None:
    """The same reason for an idle session of a login that is no more, and for a statement that nobody sent before."""
    question = {"sql": "SELECT count(*) AS n FROM orders"}
    assert isinstance(served.call("shop.query", question), Result)
    undo = sandbox.run("doctor", "--setup-sql", "shop", "--undo")
    with server.connect("whole") as owner:
        owner.execute(undo.out.encode())
    try:
        answers = [served.call("shop.query", question), served.call("shop.query", {"sql": "SELECT id FROM orders"})]
        answers += [served.call("shop.by_id", {"id": 1})]
        for answer in answers:
            assert isinstance(answer, Refusal)
            assert answer.reason == "EXECUTOR_UNAVAILABLE"
            assert answer.message.endswith(LATER), answer.message
    finally:
        administer(server, sandbox)
    assert isinstance(served.call("shop.query", question), Result)

    with server.connect("whole") as owner:
        owner.execute(undo.out.encode())
    administer(server, sandbox)
    assert isinstance(served.call("shop.query", question), Result), "an idle session of a login that was made anew"


@pytest.mark.requirement("postgres:whole:set-up-gone")
def test_a_right_that_is_gone_is_told_and_a_function_that_is_not_the_login_s_is_not(
    served: Client, server: Server, sandbox: CommandLine
) -> None:
    question = {"sql": "SELECT md5(region) AS n FROM orders"}
    assert isinstance(served.call("shop.query", question), Result)
    with server.connect("whole") as owner:
        owner.execute("REVOKE EXECUTE ON FUNCTION md5(text) FROM PUBLIC")
        function = served.call("shop.query", question)
        owner.execute("GRANT EXECUTE ON FUNCTION md5(text) TO PUBLIC")
        ((schema,),) = owner.execute("SELECT schemaname FROM pg_views WHERE viewname = 'public.customers'").fetchall()
        owner.execute(f'REVOKE SELECT ON {schema}."public.orders" FROM {schema}'.encode())  # noqa: S608 - a name of ours
    right = served.call("shop.query", question)
    administer(server, sandbox)

    assert isinstance(function, Refusal)
    assert (function.reason, function.rule) == ("SQL_OBJECT_FORBIDDEN", "sql/engine-disagrees")
    assert isinstance(right, Refusal)
    assert right.reason == "EXECUTOR_UNAVAILABLE"
    assert "the view of `public.orders` is gone, or the tool's login may not read it" in right.message


@pytest.mark.requirement("postgres:whole:set-up-gone")
def test_a_key_of_the_claims_that_is_gone_is_told(served: Client, server: Server, sandbox: CommandLine) -> None:
    """Logins stay after the undo script where another database of the server needs them; what they may ask does not."""
    question = {"sql": "SELECT count(*) AS n FROM orders"}
    with server.connect("whole") as owner:
        owner.execute("DROP SCHEMA sandbox CASCADE")
    answers = [served.call("shop.query", question) for _ in range(2)]
    administer(server, sandbox)
    for answer in answers:
        assert isinstance(answer, Refusal)
        assert answer.reason == "EXECUTOR_UNAVAILABLE"
        assert answer.message.endswith(LATER), answer.message


@requirement
def test_lint_tells_a_server_that_is_not_there(deployment: Deployment, sandbox: CommandLine) -> None:
    (deployment.toolspecs / "shop.by_id.yaml").write_text(BY_ID)
    deployment.connections.write_text(CONNECTIONS.replace('{file = "secrets/shop.dsn"}', '{env = "NO_SUCH_DSN"}'))
    unset = sandbox.run("lint", "--json")
    deployment.connections.write_text(CONNECTIONS)
    (deployment.root / "secrets" / "shop.dsn").write_text("postgresql://u:hunter2@/whole?host=/nowhere/at/all")
    gone = sandbox.run("lint", "--json")

    assert (unset.code, gone.code) == (1, 1)
    assert "the environment variable 'NO_SUCH_DSN' is not set" in unset.out
    assert "cannot be asked now: nobody takes a connection at its address" in gone.out
    assert "hunter2" not in gone.out


@requirement
def test_the_dsn_s_login_reads_nothing(deployment: Deployment, server: Server) -> None:
    with (
        server.connect("whole", user="catalogue", password="sees-all-reads-nothing") as login,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        login.execute("SELECT * FROM public.orders")
    assert deployment.root.is_dir()


@pytest.mark.requirement("executors:stop:vanished")
def test_a_client_that_vanishes_takes_its_statement_with_it(served: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    check_vanished(served, monkeypatch)
