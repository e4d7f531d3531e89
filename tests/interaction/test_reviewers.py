"""Can a reviewer find and read calls from the command line, whatever state the specs are in?"""

from __future__ import annotations

import json

import apsw
import pytest
from command_line import CommandLine, Ended
from conftest import Service

from sandbox.client import Client, Refusal, Result
from sandbox.deployment import Deployment
from sandbox.receipts.tree import leaf_hash
from sandbox.serving import opened_house
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement


@pytest.fixture
def called(client: Client) -> tuple[str, str]:
    """The ids of a call that ran and of one that was refused."""
    ran, refused = client.call("shop.order", {"id": 1}), client.call("shop.query", {"sql": "DELETE FROM orders"})
    assert isinstance(ran, Result)
    assert isinstance(refused, Refusal)
    return ran.call_id, refused.call_id


def listed(ended: Ended) -> list[str]:
    records = ended.json()["records"]
    assert isinstance(records, list)
    return [record["call_id"] for record in records]


@requirement("house:review:list")
def test_the_newest_comes_first_and_pages_meet(sandbox: CommandLine, called: tuple[str, str]) -> None:
    whole = sandbox.run("log", "list", "--json")
    assert listed(whole)[:2] == [called[1], called[0]]
    assert whole.json()["next_before"] is None

    seen: list[str] = []
    page = sandbox.run("log", "list", "--limit", "3", "--json")
    while True:
        seen += listed(page)
        following = page.json()["next_before"]
        if following is None:
            break
        page = sandbox.run("log", "list", "--limit", "3", "--before", str(following), "--json")
    assert seen == listed(whole)


@requirement("house:review:list")
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--tool", "shop.order"], [0]),
        (["--outcome", "refused"], [1]),
        (["--reason", "SQL_NOT_READ_ONLY"], [1]),
        (["--reason", "RATE_LIMITED"], []),
        (["--kind", "read"], [0]),
        (["--principal", "agent"], [1, 0]),
        (["--since", "1h", "--principal", "agent"], [1, 0]),
        (["--since", "yesterday", "--principal", "agent"], [1, 0]),
        (["--since", "2999-01-01"], []),
        (["--since", "2000-01-01T00:00:00Z", "--outcome", "ok"], [0]),
    ],
)
def test_filters_choose(
    filters: list[str], found: list[int], sandbox: CommandLine, called: tuple[str, str]
) -> None:  # fmt: skip
    assert listed(sandbox.run("log", "list", "--json", *filters)) == [called[index] for index in found]


@requirement("house:review:list")
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--outcome", "refusd"], "did you mean `refused`?"),
        (["--reason", "SQL_NOT_READ_ONL"], "did you mean `SQL_NOT_READ_ONLY`?"),
        (["--kind", "xyz"], "accepted: "),
        (["--principal", "agnt"], "did you mean `agent`?"),
        (["--since", "lately"], "`2h`, `30min`"),
    ],
)
def test_a_filter_that_cannot_be_is_a_wrong_use(
    words: list[str], hint: str, sandbox: CommandLine, called: tuple[str, str]
) -> None:
    ended = sandbox.run("log", "list", *words)
    assert (ended.code, hint in ended.err) == (2, True), ended.err
    assert called


@requirement("house:review:list")
def test_the_log_is_for_those_whom_policy_permits(
    sandbox: CommandLine, service: Service, called: tuple[str, str]
) -> None:
    for words in (("list",), ("show", called[0])):
        ended = sandbox.run("log", *words, "--as", "agent", "--json")
        assert (ended.code, ended.json()["error"]["reason"]) == (1, "POLICY_DENIED")
    assert not accesses(service)
    nobody = sandbox.run("log", "list", "--as", "reviewr")
    assert (nobody.code, "did you mean `reviewer`?" in nobody.err) == (4, True)


@requirement("house:review:list")
def test_a_table_for_people_fits_80_columns(sandbox: CommandLine, called: tuple[str, str]) -> None:
    told = sandbox.run("log", "list", "--limit", "2")
    lines = told.out.splitlines()
    assert (told.code, len(lines)) == (0, 4)
    assert lines[1].endswith("  agent      shop.query          SQL_NOT_READ_ONLY")
    assert lines[2].endswith("  agent      shop.order          ok, 1 row")
    assert lines[3].startswith("there are more; add --before ")
    assert max(map(len, lines)) <= 80
    by_leaf = sandbox.run("log", "show", lines[1].split()[0], "--json").json()
    assert by_leaf["record"]["call_id"] == called[1]
    assert sandbox.run("log", "list", "--tool", "none").out == "no such record\n"


@requirement("house:review:broken-spec")
def test_a_broken_spec_keeps_nobody_from_the_log(
    sandbox: CommandLine, deployment: Deployment, service: Service, called: tuple[str, str]
) -> None:
    (deployment.toolspecs / "shop.query.yaml").write_text("spec: tool/v1\n")
    (deployment.toolspecs / "shop.order.yaml").unlink()
    (deployment.connections).write_text("nonsense")
    with (deployment.policies / "starter.cedar").open("a") as policies:
        policies.write('@id("one") forbid (principal, action == Sandbox::Action::"Execute:shop.query", resource)\n')
        policies.write('when { context.arguments has sql && context.arguments.sql == "x" };\n')

    assert listed(sandbox.run("log", "list", "--json"))[0] == called[1]
    shown = sandbox.run("log", "show", called[0], "--json")
    assert json.loads(shown.json()["payloads"]["arguments"]) == {"id": 1}
    assert len(shown.json()["payloads"]) > 1
    assert len(accesses(service)) == 1, "the reading is on record, once"
    told = sandbox.run("log", "show", called[0])
    assert len(accesses(service)) == 2
    assert told.out.endswith("this reading is on record\n")
    assert "['" not in told.out


@requirement("house:review:sentence")
@pytest.mark.parametrize("call_id", ["01a210d6-3968-749c-a28d-4dcd3be86c22", "x"])
def test_what_a_reviewer_asks_for_is_answered_in_a_reviewers_words(
    call_id: str, sandbox: CommandLine, called: tuple[str, str]
) -> None:
    ended = sandbox.run("log", "show", call_id)
    assert (ended.code, ended.err) == (
        1, f"error: the log has no call `{call_id}`; `sandbox log list` shows those it has\n"
    )  # fmt: skip
    assert called


@requirement("house:review:forged")
@pytest.mark.parametrize("words", [("list",), ("list", "--limit", "1"), ("show", "LEAF"), ("show", "CALL")])
def test_a_record_that_is_not_what_was_hashed_is_not_told(
    words: tuple[str, ...], sandbox: CommandLine, service: Service, called: tuple[str, str]
) -> None:
    record = record_pb2.Record.FromString(service.house.log._log.store.records(0, 1000)[-1][2])
    size = service.house.log._log.store.head().size
    assert (record.call_id, record.status) == (called[1], record_pb2.RECORD_STATUS_REFUSED)
    record.status, record.reason = record_pb2.RECORD_STATUS_OK, ""
    write(sandbox, "UPDATE leaves SET record = ? WHERE idx = ?", (record.SerializeToString(), size - 1))
    given = [{"LEAF": str(size - 1), "CALL": called[1]}.get(word, word) for word in words]

    told, asked = sandbox.run("log", *given), sandbox.run("log", *given, "--json")

    sentence = f"record {size - 1} is not the one that was hashed; `sandbox log audit` finds the place"
    assert (told.code, told.out, told.err) == (1, "", f"error: {sentence}\n")
    assert (asked.code, asked.json()["error"]) == (1, {"message": sentence, "reason": ""})


@requirement("house:review:forged")
def test_a_record_is_not_shown_in_the_place_of_another(sandbox: CommandLine, called: tuple[str, str]) -> None:
    write(sandbox, "UPDATE leaves SET call_id = (SELECT call_id FROM leaves ORDER BY idx DESC LIMIT 1)", ())

    ended = sandbox.run("log", "show", called[1])

    assert (ended.code, "is not of the call that it is filed under" in ended.err) == (1, True), ended.err


def write(sandbox: CommandLine, statement: str, values: tuple[bytes | int, ...]) -> None:
    database = apsw.Connection(str(sandbox.root / "state" / "log.db"))
    database.execute(statement, values)
    database.close()


@requirement("house:review:leaf")
def test_a_leaf_that_is_not_there_is_told_with_those_that_are(sandbox: CommandLine, called: tuple[str, str]) -> None:
    assert called
    newest = records_of(sandbox.run("log", "list", "--json"))[0]["index"]

    told = sandbox.run("log", "show", "999")

    assert (told.code, told.err) == (1, f"error: no leaf 999; the log has 0 to {newest}\n")


@requirement("house:review:sentence")
def test_damage_in_the_log_is_told_without_class_names(sandbox: CommandLine, called: tuple[str, str]) -> None:
    assert called
    write(sandbox, "UPDATE leaves SET record = x'ff', hash = ? WHERE idx = 1", (leaf_hash(b"\xff"),))

    told, asked = sandbox.run("log", "list"), sandbox.run("log", "list", "--json")

    assert (told.code, asked.code) == (1, 1)
    assert told.err == "error: a record is damaged; `sandbox log audit` finds the place\n"
    assert asked.json()["error"]["message"] == "a record is damaged; `sandbox log audit` finds the place"


@requirement("house:review:names")
def test_who_called_is_told_by_name_where_this_host_knows_it(
    sandbox: CommandLine, deployment: Deployment, called: tuple[str, str]
) -> None:
    (refused,) = records_of(sandbox.run("log", "list", "--outcome", "refused", "--json"))
    assert (refused["name"], refused["call_id"]) == ("agent", called[1])
    shown = sandbox.run("log", "show", called[1])
    assert "\nname          agent\n" in shown.out
    (reading, *_) = records_of(sandbox.run("log", "list", "--kind", "access", "--json"))
    assert (reading["name"], reading["about_call"]) == ("reviewer", called[1])
    leaf = records_of(sandbox.run("log", "list", "--outcome", "refused", "--json"))[0]["index"]
    table = sandbox.run("log", "list", "--kind", "access").out
    assert f"  reviewer   shop.query          access, leaf {leaf}\n" in table
    for file in (deployment.tokens / "agent.jwt", deployment.pki / "clients" / "agent.pem"):
        file.unlink()
    assert "name" not in records_of(sandbox.run("log", "list", "--outcome", "refused", "--json"))[0]
    named = records_of(sandbox.run("log", "list", "--outcome", "refused", "--principal", "agent", "--json"))
    assert named[0]["name"] == "agent", "whoever holds the root key may ask for a name from elsewhere"


@requirement("house:review:names")
def test_without_the_root_key_pseudonyms_stay(
    sandbox: CommandLine, deployment: Deployment, called: tuple[str, str]
) -> None:
    (deployment.keys / "root.key").unlink()
    (refused,) = records_of(sandbox.run("log", "list", "--outcome", "refused", "--json"))
    assert (refused["call_id"], "name" in refused, len(str(refused["principal"]))) == (called[1], False, 64)


@requirement("house:review:names")
def test_statements_that_sql_check_executed_are_told_as_its_own(sandbox: CommandLine, deployment: Deployment) -> None:
    (lines := deployment.root / "lines").write_text('{"id": 1, "sql": "SELECT 1"}\n')
    checked = sandbox.run("sql", "check", "--tool", "shop.query", "--claim", "region=EU", "--execute", str(lines))
    assert checked.code == 0, checked.err
    assert [each["name"] for each in records_of(sandbox.run("log", "list", "--kind", "read", "--json"))] == [
        "sql-check"
    ]


def records_of(ended: Ended) -> list[dict[str, object]]:
    records = ended.json()["records"]
    assert isinstance(records, list)
    return records


@requirement("house:review:sentence")
def test_a_damaged_payload_is_told_to_the_reviewer(sandbox: CommandLine, called: tuple[str, str]) -> None:
    database = apsw.Connection(str(sandbox.root / "state" / "log.db"))
    database.execute("UPDATE payloads SET ciphertext = zeroblob(length(ciphertext))")
    database.close()

    told = sandbox.run("log", "show", called[0])

    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("error: ")
    assert "Error" not in told.err.removeprefix("error")


@requirement("house:review:readers")
def test_an_audit_warns_of_a_log_that_others_may_read(sandbox: CommandLine, called: tuple[str, str]) -> None:
    key = str(sandbox.root / "keys" / "log.vkey")
    quiet = sandbox.run("log", "audit", "--key", key)
    (sandbox.root / "state" / "log.db").chmod(0o640)
    warned = sandbox.run("log", "audit", "--key", key, "--json")

    assert called
    assert (quiet.code, quiet.err, warned.code) == (0, "", 0)
    assert "log.db: mode 0640 lets others at the log" in " ".join(warned.err.split())
    assert warned.json()["verified"] is True
    assert max(map(len, quiet.out.splitlines())) <= 80


def accesses(service: Service) -> list[int]:
    rows = service.house.log._log.store.records(0, 1000)
    kinds = [record_pb2.Record.FromString(content).kind for _, _, content in rows]
    return [kind for kind in kinds if kind == record_pb2.RECORD_KIND_ACCESS]


@requirement("house:review:list")
def test_who_may_not_list_learns_of_nobody(sandbox: CommandLine, called: tuple[str, str]) -> None:
    assert called
    for who in ("agent", "nobody-here"):
        ended = sandbox.run("log", "list", "--as", "agent", "--principal", who, "--json")
        assert (ended.code, ended.json()["error"]["reason"]) == (1, "POLICY_DENIED")


@requirement("house:review:read-only")
def test_looking_through_the_log_writes_nothing(sandbox: CommandLine, deployment: Deployment) -> None:
    fresh = sandbox.run("log", "list", "--json")
    assert fresh.json() == {"records": [], "next_before": None}
    assert sandbox.run("log", "list").out == "no such record\n"
    assert sandbox.run("log", "list", "--principal", "agent").code == 2
    assert sandbox.run("log", "list", "--as", "agent").code == 1
    assert sandbox.run("log", "show", "0", "--as", "agent").code == 1
    assert not list(deployment.state.glob("log.db*"))

    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0):
        pass
    before = deployment.log_database.read_bytes()
    (deployment.keys / "log.key").unlink()
    found = listed(sandbox.run("log", "list", "--json"))
    assert len(found) > 1
    assert deployment.log_database.read_bytes() == before


@requirement("house:review:read-only")
@pytest.mark.parametrize("words", [("list",), ("show", "0")])
def test_an_identity_is_a_name(words: tuple[str, ...], sandbox: CommandLine, deployment: Deployment) -> None:
    (deployment.root / "x.jwt").write_text("x.y.z")
    for name in ("../x", "", "a/b", "."):
        ended = sandbox.run("log", *words, "--as", name)
        assert (ended.code, "letters, digits" in ended.err) == (2, True), ended.err


@requirement("house:review:sentence")
def test_a_token_that_is_not_text_is_named(sandbox: CommandLine, deployment: Deployment) -> None:
    for name in ("reviewer", "agent"):
        (deployment.tokens / f"{name}.jwt").write_bytes(b"\xff")
    for ended in (
        sandbox.run("log", "list"), sandbox.run("log", "show", "0"), sandbox.run("call", "shop.order", "--args", "{}")
    ):  # fmt: skip
        assert (ended.code, ".jwt: not " in ended.err) == (2, True), ended.err


@requirement("house:review:sentence")
def test_only_what_was_read_is_said_to_be_on_record(sandbox: CommandLine, service: Service) -> None:
    rows = service.house.log._log.store.records(0, 1000)
    (bare,) = [index for index, _, content in rows if not record_pb2.Record.FromString(content).payloads]
    told = sandbox.run("log", "show", str(bare))
    assert (told.code, told.out.splitlines()[-1]) == (0, "the record has no payload; nothing was read, or recorded")
    assert not accesses(service)
