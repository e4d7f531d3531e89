"""Is a tool that does not hold what it promises left out, told of and on record, and served once it does?"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import CommandLine
from conftest import Service
from executor_cast import change
from http_cast import SECRET, Target, reply, saying

from sandbox import serving
from sandbox.app import House
from sandbox.client import Refusal, Result
from sandbox.deployment import Deployment
from sandbox.doctor.known_bad import slips_of_arguments
from sandbox.doctor.selftest import SelfTestFailed, known_bad
from sandbox.executors import read_catalogue, ready
from sandbox.executors.sqlite import SqliteExecutor
from sandbox.executors.sqlite_authorizer import Authorizer
from sandbox.reasons import Reason, Refused
from sandbox.serving import opened_house
from sandbox.settings import Settings, read_settings
from sandbox.specs import load_connections, load_specs
from sandbox.specs.arguments import Arguments
from sandbox.sql import GateInput, Proven
from sandbox.toolspec import ToolName
from sandbox.v1 import record_pb2
from sandbox.values import JsonObject

TOOLS = ["shop.order", "shop.order_by_id", "shop.query"]
QUERY = {"sql": "SELECT count(*) AS n FROM orders"}
CRM = """\
spec: tool/v1
name: crm.customer
version: 1.0.0
owner: crm@example.com
summary: One customer.
kind: http
effects: read
connection: crm
input: {id: {type: string}, fields: {type: string, required: false}}
request: {method: GET, path: "/v1/customers/{id}", query: {fields: "{fields}"}}
response: {columns: {id: {at: /id, type: integer}}}
examples:
  - call: {id: "7"}
    expect: {rows: [[7]]}
"""


def switched_off(monkeypatch: pytest.MonkeyPatch, spared: str = "") -> None:
    """Let the gate take everything for a plain SELECT, but for texts that hold `spared`."""
    real = ready.prove

    def prove(given: GateInput) -> Proven:
        try:
            return real(given)
        except Refused:
            if spared and spared in given.text:
                raise
            return real(dataclasses.replace(given, text="SELECT 1"))

    monkeypatch.setattr(ready, "prove", prove)


def self_tests_of(house: House) -> list[record_pb2.Record]:
    store = house._log.store
    found = (record_pb2.Record.FromString(store.record(index) or b"") for index in range(store.head().size))
    return [record for record in found if record.kind == record_pb2.RECORD_KIND_SELF_TEST]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    events: list[tuple[str, str]] = []
    monkeypatch.setattr(serving, "warn", lambda _, **facts: events.append((facts["tool"], facts["failure"])))
    return events


@pytest.mark.requirement("doctor:selftest:recorded")
def test_a_start_leaves_its_self_test_on_record(service: Service, sandbox: CommandLine) -> None:
    (record,) = self_tests_of(service.house)
    assert record.counted == 0
    assert len(record.config_digest + record.policy_digest) == 64

    shown = sandbox.run("log", "show", record.call_id, "--json").json()
    report = json.loads(shown["payloads"]["self_test"])
    assert {tool["tool"]: tool["failures"] for tool in report["tools"]} == {tool: [] for tool in TOOLS}
    assert [one["checks"] for one in report["connections"]] == [["the engine alone, on a canary"]]
    service.house.reload()
    assert len(self_tests_of(service.house)) == 1


@pytest.mark.requirement("doctor:selftest:gate")
def test_a_tool_whose_gate_lets_everything_through_is_not_served(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, str]], sandbox: CommandLine
) -> None:
    switched_off(monkeypatch)
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door):
        service = Service(deployment, house, door.address)
        with service.client() as client:
            answer = client.call("shop.query", QUERY)
            assert isinstance(answer, Refusal)
            assert (answer.reason, answer.rule) == ("EXECUTOR_UNAVAILABLE", "tools/self-test")
            assert answer.receipt is not None
            assert [tool.name for tool in client.tools()] == TOOLS[:2]
            assert isinstance(client.call("shop.order", {"id": 1}), Result)
        (record,) = self_tests_of(house)
        assert record.counted == 1
        with pytest.raises(SelfTestFailed) as failed:
            house.reload()
        serving._tell(failed.value)
    assert ("shop.query", "the gate does not refuse delete") in told
    assert ("shop.query", "the gate does not refuse a hidden column") in told
    assert {tool for tool, _ in told} == {"shop.query"}
    assert "self_test, 1 tool not served" in sandbox.run("log", "list", "--kind", "self_test").out


@pytest.mark.requirement("doctor:selftest:gate")
@pytest.mark.parametrize("columns", ["[cents, id], aggregate_only: [cents]", "[cents], aggregate_only: [cents]"])
def test_a_tool_whose_first_or_every_column_is_for_aggregates_alone_is_served(
    deployment: Deployment, columns: str
) -> None:
    spec = deployment.toolspecs / "shop.query.yaml"
    allowed = f"allow: {{tables: {{orders: {{columns: {columns}}}}}}}\n"
    spec.write_text(spec.read_text().split("allow:")[0] + allowed)
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door):
        assert dict(house.loaded.unserved) == {}
        with Service(deployment, house, door.address).client() as client:
            assert isinstance(client.call("shop.query", QUERY), Result)


@pytest.mark.requirement("doctor:selftest:gate")
def test_one_statement_that_slips_is_enough(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    switched_off(monkeypatch, spared=" ")
    house = House.open(deployment.root)
    try:
        assert house.loaded.unserved == {"shop.query": ("the gate does not refuse a transaction",)}
    finally:
        house.close()


@pytest.mark.requirement("doctor:selftest:gate")
def test_a_gate_that_refuses_honest_sql_is_told(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ready.prove

    def prove(given: GateInput) -> Proven:
        if given.may_claim:
            return real(given)
        raise Refused(Reason.SQL_UNPARSABLE, "nothing passes")

    monkeypatch.setattr(ready, "prove", prove)
    house = House.open(deployment.root)
    try:
        ((tool, (failure,)),) = house.loaded.unserved.items()
        assert (tool, "refuses a plain SELECT" in failure) == ("shop.query", True)
    finally:
        house.close()


@pytest.mark.requirement("doctor:selftest:engine")
def test_no_tool_is_served_on_an_engine_that_does_not_confine(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Authorizer, "__call__", lambda *_: 0)
    house = House.open(deployment.root)
    try:
        assert sorted(house.loaded.unserved) == TOOLS
        failures = " ".join(house.loaded.unserved["shop.order"])
        assert "the engine does not stop `SELECT word FROM other` on the canary, and" in failures
    finally:
        house.close()


@pytest.mark.requirement("doctor:selftest:harmless")
def test_nothing_that_is_tried_reaches_the_deployments_database(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statement of the self-test runs on a file of its own, which is gone afterwards."""
    paths: list[str] = []
    real = SqliteExecutor.run

    def run(self: SqliteExecutor, *arguments: object) -> object:
        paths.append(self._path)
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteExecutor, "run", run)
    before = (deployment.root / "data" / "shop.db").read_bytes()
    House.open(deployment.root).close()
    assert len(set(paths)) == 1
    assert len(paths) > 10
    assert Path(paths[0]).name == "canary.sqlite"
    assert not Path(paths[0]).exists()
    assert (deployment.root / "data" / "shop.db").read_bytes() == before


@pytest.mark.requirement("doctor:selftest:gate")
def test_a_tool_that_takes_any_argument_is_not_served(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arguments, "check", lambda *_: None)
    house = House.open(deployment.root)
    try:
        assert house.loaded.unserved["shop.order"] == (
            "an argument that the tool does not have is taken",
            "argument `id` takes a list, which it is not",
        )
    finally:
        house.close()


@pytest.mark.requirement("doctor:selftest:gate")
@pytest.mark.parametrize(
    ("opened", "failure"),
    [
        ({"additionalProperties": True}, "an argument that the tool does not have is taken"),
        ({"properties": {"id": {"type": "integer"}}, "no": 1}, ""),
    ],
)
def test_a_schema_that_is_only_too_open_is_found(deployment: Deployment, opened: JsonObject, failure: str) -> None:
    """Its other arguments are right, so nothing but the one that is wrong can be what is refused."""
    settings, _ = read_settings(deployment.settings)
    connections, _ = load_connections(deployment)
    spec = load_specs(deployment, connections, read_catalogue, settings).tools[ToolName("shop.order")]
    open_spec = dataclasses.replace(spec, input_schema={**spec.input_schema, **opened})
    assert list(slips_of_arguments(open_spec)) == [failure] * bool(failure)
    without_examples = dataclasses.replace(open_spec, examples=())
    assert list(slips_of_arguments(without_examples)) == [failure] * bool(failure)


@pytest.mark.requirement("doctor:selftest:gate")
def test_columns_named_like_words_of_sql_do_not_fail_a_tool(deployment: Deployment) -> None:
    path = deployment.root / "data" / "shop.db"
    change(path, 'CREATE TABLE odd ("order" INTEGER, "select" TEXT, hidden TEXT)')
    deployment.connections.write_text(f'[shop]\nengine = "sqlite"\npath = "{path}"\nceiling = {{tables = "all"}}\n')
    spec = (deployment.toolspecs / "shop.query.yaml").read_text()
    odd = re.sub(r"tables:\n(    .*\n)+", "tables:\n    odd: {columns: [order, select]}\n", spec)
    odd = re.sub(r"examples:(.|\n)*", "", odd).replace("name: shop.query", "name: shop.odd")
    (deployment.toolspecs / "shop.odd.yaml").write_text(odd)
    assert _unserved(deployment.root) == {}


@pytest.mark.requirement("doctor:selftest:gate")
def test_a_tool_whose_gate_cannot_be_asked_is_not_served(service: Service) -> None:
    loaded = service.house.loaded
    spec = loaded.spec_set.tools[ToolName("shop.query")]
    connection = loaded.connections[spec.connection]
    assert list(known_bad(spec, connection, None, Settings().sql)) == [
        "its tables are gone, so its gate cannot be asked"
    ]


@pytest.mark.requirement("doctor:selftest:told")
def test_testing_again_changes_nothing_until_the_outcome_does(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as switched:
        switched_off(switched)
        house = House.open(deployment.root)
        before = house.loaded
        try:
            with pytest.raises(SelfTestFailed):
                house.test_again()
            assert house.loaded is before
            switched.undo()
            house.test_again()
            assert house.loaded is not before
            assert not house.loaded.unserved
        finally:
            house.close()


@pytest.fixture
def crm(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """The deployment, with a tool of HTTP whose target is there."""
    with Target([saying(reply(b'{"id": 7}'))]) as target, deployment.connections.open("a") as file:
        file.write(
            f'\n[crm]\nengine = "http"\nbase_url = "http://127.0.0.1:{target.port}"\nallow_plain = true\n'
            'auth = {bearer = {env = "CRM_TOKEN"}}\nnetworks = ["127.0.0.1/32"]\n'
            'ceiling = {methods = ["GET"], paths = ["/v1/customers/*"]}\n'
        )
        file.flush()
        (deployment.toolspecs / "crm.customer.yaml").write_text(CRM)
        monkeypatch.setenv("CRM_TOKEN", SECRET)
        yield deployment


def _unserved(root: Path) -> dict[str, tuple[str, ...]]:
    house = House.open(root)
    try:
        return {str(name): failures for name, failures in house.loaded.unserved.items()}
    finally:
        house.close()


def _one_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.executors.http_requests.is_one_segment", lambda _: True)


def _unquoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.executors.http_requests.quote", lambda text, **_: text)


@pytest.mark.requirement("doctor:selftest:http")
@pytest.mark.parametrize(
    ("switch_off", "failure"),
    [
        (_one_segment, "argument `id` leaves its segment of the path: '..'"),
        (_unquoted, "argument `fields` leaves its value in the query"),
    ],
)
def test_an_http_tool_whose_arguments_leave_their_place_is_not_served(
    crm: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    switch_off: Callable[[pytest.MonkeyPatch], None],
    failure: str,
) -> None:
    assert _unserved(crm.root) == {}
    switch_off(monkeypatch)
    unserved = _unserved(crm.root)
    assert (list(unserved), failure in unserved["crm.customer"]) == (["crm.customer"], True)


@pytest.mark.requirement("doctor:selftest:http")
def test_an_http_tool_that_could_reach_the_metadata_service_is_not_served(
    crm: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.doctor.selftest.is_permitted", lambda *_: True)
    (failure, *_) = _unserved(crm.root)["crm.customer"]
    assert failure.startswith("connection `crm`: a request could reach 10.0.0.1, which is not public and not in")


@pytest.mark.requirement("doctor:selftest:told")
def test_the_doctor_and_the_examples_tell_of_it_too(
    sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch, deployment: Deployment
) -> None:
    assert deployment.toolspecs.is_dir()
    switched_off(monkeypatch)
    looked = sandbox.run("doctor", "--json")
    findings = looked.json()["connections"][0]["findings"]
    assert (looked.code, findings[0]["check"]) == (1, "known-bad calls of each tool")
    assert findings[0]["message"] == "the tool `shop.query`: the gate does not refuse delete"
    for command in (("test",), ("test", "shop.query")):
        ended = sandbox.run(*command)
        assert (ended.code, "did not pass its self-test: the gate does not refuse delete" in ended.err) == (2, True)
    assert sandbox.run("test", "shop.order").code == 0
