"""Does an HTTP tool go the whole way, and does its secret go nowhere but to its host?"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import CommandLine
from conftest import Service
from http_cast import SECRET, Listener, Target, make_papers, reply, saying
from test_endings import served

from sandbox.audit.verify import verify_receipt
from sandbox.client import Explanation, Refusal, Result
from sandbox.deployment import Deployment
from sandbox.serving import opened_house
from sandbox.v1 import record_pb2

OTHER_SECRET = "0ther-secret-77"
CUSTOMER = """\
spec: tool/v1
name: crm.customer
version: 1.0.0
owner: crm@example.com
summary: One customer.
kind: http
effects: read
connection: crm
input: {id: {type: string}}
request: {method: GET, path: "/v1/customers/{id}", query: {fields: all}}
response:
  rows: /customer
  columns:
    id: {at: /id, type: integer}
    name: {at: /name, type: text}
    active: {at: /active, type: boolean, required: false}
limits: {seconds: 5, max_rows: 10, max_bytes: 1KiB}
examples:
  - call: {id: "7"}
    expect: {rows: [[7, Ada, true]]}
"""
ADD_NOTE = """\
spec: tool/v1
name: crm.add_note
version: 1.0.0
owner: crm@example.com
summary: Adds a note.
kind: http
effects: write
connection: crm
input: {id: {type: integer}, text: {type: string}}
request: {method: POST, path: "/v1/customers/{id}/notes", json: {text: "{text}"}}
response: {status: [201]}
limits: {seconds: 5}
examples:
  - call: {id: 7, text: hello}
    expect: {rows: [[201]]}
"""
STATUS = CUSTOMER.replace("crm.customer", "erp.customer").replace("connection: crm", "connection: erp")
ADA = saying(reply(b'{"customer": {"id": 7, "name": "Ada", "active": true, "iban": "TELL-NOBODY"}}'))


def connection(name: str, port: int, variable: str) -> str:
    return (
        f'\n[{name}]\nengine = "http"\nbase_url = "http://127.0.0.1:{port}"\nallow_plain = true\n'
        f'auth = {{bearer = {{env = "{variable}"}}}}\nnetworks = ["127.0.0.1/32"]\n'
        'ceiling = {methods = ["GET", "POST"], paths = ["/v1/customers/*", "/v1/customers/*/notes"]}\n'
    )


@pytest.fixture
def target() -> Iterator[Target]:
    with Target([ADA]) as started:
        yield started


@pytest.fixture
def deployment(deployment: Deployment, target: Target, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The example shop, and a CRM that it asks over HTTP."""
    monkeypatch.setenv("CRM_TOKEN", SECRET)
    monkeypatch.setenv("ERP_TOKEN", OTHER_SECRET)
    with deployment.connections.open("a") as file:
        file.write(connection("crm", target.port, "CRM_TOKEN") + connection("erp", target.port, "ERP_TOKEN"))
    for name, text in (("crm.customer", CUSTOMER), ("crm.add_note", ADD_NOTE), ("erp.customer", STATUS)):
        (deployment.toolspecs / f"{name}.yaml").write_text(text)
    return deployment


@pytest.fixture
def service(deployment: Deployment) -> Iterator[Service]:
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door):
        yield Service(deployment, house, door.address)


@pytest.fixture
def agent(sandbox: CommandLine, deployment: Deployment) -> CommandLine:
    """The command line of an agent whose token names every tool."""
    assert deployment.root == sandbox.root
    assert sandbox.run("token", "new", "agent", "--role", "agent", "--tools", "*").code == 0
    return sandbox


@pytest.mark.requirement("http:call:whole-way")
def test_a_call_goes_the_whole_way_and_its_record_names_the_request(
    agent: CommandLine, service: Service, target: Target
) -> None:
    with service.client() as client:
        answer = client.call("crm.customer", {"id": "7"})

    assert isinstance(answer, Result)
    assert [(column.name, column.type) for column in answer.columns] == [
        ("id", "integer"), ("name", "text"), ("active", "boolean")
    ]  # fmt: skip
    assert answer.rows == ((7, "Ada", True),)
    record = verify_receipt(answer.receipt.text, (service.deployment.keys / "log.vkey").read_text("utf-8")).record
    url = f"http://127.0.0.1:{target.port}/v1/customers/"
    assert (record.tool, record.connection, list(record.requests)) == ("crm.customer", "crm", [f"GET {url}{{id}}"])
    assert [descriptor.role for descriptor in record.payloads] == ["arguments", "request", "result"]
    assert len(record.lease_digest) == 32
    assert record.lease_expires_us == 0
    shown = agent.run("log", "show", answer.call_id)
    assert f"GET {url}7?fields=all" in shown.out
    assert "TELL-NOBODY" not in shown.out


@pytest.mark.requirement("http:call:explained")
def test_explaining_tells_the_request_and_sends_nothing(agent: CommandLine, service: Service, target: Target) -> None:
    with service.client() as client:
        answer = client.explain("crm.add_note", {"id": 7, "text": "hello"})
    told = agent.run("explain", "crm.add_note", "--args", '{"id": 7, "text": "hello"}', "--json").json()
    shown = agent.run("explain", "crm.add_note", "--args", '{"id": 7, "text": "hello"}').out

    url = f"http://127.0.0.1:{target.port}/v1/customers/"
    assert isinstance(answer, Explanation)
    assert (answer.decision, answer.sql_to_run, answer.requests) == ("permit", "", (f"POST {url}{{id}}/notes",))
    assert answer.request_to_send.splitlines()[0] == f"POST {url}7/notes"
    assert answer.request_to_send.endswith('{"text":"hello"}')
    assert (told["request_to_send"], told["requests"]) == (answer.request_to_send, list(answer.requests))
    assert f"request    POST {url}7/notes\n" in shown
    assert "sql " not in shown
    assert target.connections == 0


@pytest.mark.requirement("http:secret:hidden")
def test_the_secret_goes_to_its_host_and_nowhere_else(
    agent: CommandLine, service: Service, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    target.behaviours = [
        ADA,
        saying(reply(f"no {SECRET}".encode(), f"401 {SECRET}")),
        saying(b""),
        saying(SECRET.encode()),
        ADA,
    ]
    told: list[str] = []
    with service.client() as client:
        told += [str(client.call("crm.customer", {"id": str(number)})) for number in range(5)]
        told.append(str(client.explain("crm.customer", {"id": "7"})))
    told += ["".join(capsys.readouterr())]  # events
    told += [agent.run("log", "list", "--json").out, agent.run("tools", "--json").out]
    told += [agent.run("log", "show", str(leaf), "--json").out for leaf in range(40)]

    assert f"Authorization: Bearer {SECRET}".encode() in target.requests[0]
    assert not any(SECRET in each for each in told)
    written = [path for path in service.deployment.root.rglob("*") if path.is_file()]
    assert any(path.name == "log.db" for path in written)
    assert [path.name for path in written if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.requirement("http:secret:own")
def test_each_connection_sends_its_own_secret_alone(agent: CommandLine, service: Service, target: Target) -> None:
    assert agent.root == service.deployment.root
    with service.client() as client:
        for name in ("crm.customer", "erp.customer", "crm.customer"):
            assert isinstance(client.call(name, {"id": "7"}), Result)

    sent = [(SECRET.encode() in request, OTHER_SECRET.encode() in request) for request in target.requests]
    assert sent == [(True, False), (False, True), (True, False)]
    assert target.connections == 3


@pytest.mark.requirement("http:call:policy")
def test_a_policy_may_speak_of_the_request(agent: CommandLine, deployment: Deployment, target: Target) -> None:
    request = f"POST http://127.0.0.1:{target.port}/v1/customers/{{id}}/notes"
    (deployment.policies / "notes.cedar").write_text(
        '@id("no-notes") forbid (principal, action in Sandbox::Action::"Execute", resource)\n'
        f'when {{ context.requests.contains("{request}") }};\n'
    )
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door):
        assert agent.run("lint").code == 0
        with Service(deployment, house, door.address).client() as client:
            denied = client.call("crm.add_note", {"id": 7, "text": "hello"})
            permitted = client.call("crm.customer", {"id": "7"})

    assert isinstance(denied, Refusal)
    assert (denied.reason, denied.metadata["policies"]) == ("POLICY_DENIED", "no-notes")
    assert isinstance(permitted, Result)
    assert target.connections == 1


@pytest.mark.requirement("http:call:refused")
@pytest.mark.parametrize(
    ("said", "reason", "facts"),
    [
        (reply(status="404 Not Found"), "HTTP_STATUS", {"status": "404"}),
        (reply(status="302 Found", headers={"Location": "http://10.0.0.1/"}), "HTTP_STATUS", {"status": "302"}),
        (reply(b'{"customer": {"id": "7"}}'), "HTTP_RESPONSE_INVALID", {"error": "column"}),
        (b"", "EXECUTOR_UNAVAILABLE", {"error": "cut"}),
        (reply(b'{"customer": {"id": 7, "name": "' + b"x" * 2_000 + b'"}}'), "RESULT_TOO_LARGE", {}),
        (reply(length=2**30), "RESULT_TOO_LARGE", {}),
    ],
    ids=["status", "redirect", "column", "cut", "row", "body"],
)
def test_a_refusal_is_a_value_with_a_receipt(  # noqa: PLR0917 - cases
    agent: CommandLine, service: Service, target: Target, said: bytes, reason: str, facts: dict[str, str]
) -> None:
    assert agent.root == service.deployment.root
    target.behaviours = [saying(said)]
    with service.client() as client:
        answer = client.call("crm.customer", {"id": "7"})

    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.metadata) == (reason, facts)
    assert answer.receipt is not None
    assert answer.receipt.verified.record.status == record_pb2.RECORD_STATUS_REFUSED
    assert "10.0.0.1" not in answer.message


@pytest.mark.requirement("http:call:refused")
def test_a_target_that_may_not_be_reached_is_not(
    agent: CommandLine, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TOKEN", SECRET)
    with Listener() as forbidden:
        text = deployment.connections.read_text()
        away = connection("crm", forbidden.port, "CRM_TOKEN").replace('networks = ["127.0.0.1/32"]\n', "")
        away = away.replace("//127.0.0.1:", "//localhost:")
        deployment.connections.write_text(text[: text.index("\n[crm]")] + away + text[text.index("\n[erp]") :])
        with (
            opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
            Service(deployment, house, door.address).client() as client,
        ):
            answer = client.call("crm.customer", {"id": "7"})
        assert agent.root == deployment.root
        assert isinstance(answer, Refusal)
        assert (answer.reason, answer.rule) == ("HTTP_ADDRESS_FORBIDDEN", "http/address")
        assert "127.0.0.1" not in answer.message
        assert forbidden.count() == 0


@pytest.mark.requirement("http:examples:effects")
def test_examples_ask_the_real_target_and_those_with_effects_only_if_asked_to(
    agent: CommandLine, target: Target
) -> None:
    target.behaviours = [saying(reply(b'{"customer": {"id": 7, "name": "Ada", "active": true}}'))]
    read = agent.run("test", "crm.customer", "--json").json()
    left_out = agent.run("test", "crm.add_note", "--json").json()
    warned = agent.run("test", "crm.add_note")
    assert (read["ok"], read["not_run"], target.connections) == (True, [], 1)
    assert (left_out["ok"], left_out["examples"], left_out["not_run"]) == (True, [], ["crm.add_note"])
    assert "--with-effects" in warned.err

    target.behaviours = [saying(reply(b"", "201 Created"))]
    run = agent.run("test", "crm.add_note", "--with-effects", "--json").json()
    assert (run["ok"], run["not_run"], target.connections) == (True, [], 2)
    assert target.requests[1].endswith(b'\r\n\r\n{"text":"hello"}')


@pytest.mark.requirement("http:call:whole-way")
def test_a_target_with_a_private_authority_is_asked_over_tls(
    agent: CommandLine, deployment: Deployment, tmp_path: Path
) -> None:
    papers = make_papers(tmp_path)
    with Target([ADA], papers.server("localhost", "127.0.0.1")) as secure:
        text = deployment.connections.read_text()
        over_tls = (
            connection("crm", secure.port, "CRM_TOKEN")
            .replace("http://", "https://")
            .replace("allow_plain = true", f'ca = "{papers.ca}"')
        )
        deployment.connections.write_text(text[: text.index("\n[crm]")] + over_tls + text[text.index("\n[erp]") :])
        with (
            opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
            Service(deployment, house, door.address).client() as client,
        ):
            answer = client.call("crm.customer", {"id": "7"})
        assert agent.root == deployment.root
        assert isinstance(answer, Result)
        assert json.loads(json.dumps(answer.rows)) == [[7, "Ada", True]]


def logged(agent: CommandLine) -> list[tuple[str, str]]:
    """Return kind and tool of the log's records of calls, the oldest first."""
    records = agent.run("log", "list", "--json").json()["records"]
    assert isinstance(records, list)
    return [(each["kind"], each["tool"]) for each in reversed(records) if each.get("tool", "").startswith("crm.")]


@pytest.mark.requirement("http:effects:records")
def test_a_write_is_intended_before_its_target_hears_of_it_and_sent_once(
    agent: CommandLine, service: Service, target: Target
) -> None:
    go_on = threading.Event()

    def created(line: socket.socket, _: bytes) -> None:
        go_on.wait(10)
        line.sendall(reply(b"", "201 Created"))

    target.behaviours = [created]
    note = {"id": 7, "text": "hello"}
    with service.client() as client, ThreadPoolExecutor(1) as other:
        answering = other.submit(client.call, "crm.add_note", note, request_id="r1")
        assert target.arrived.wait(10)
        before = logged(agent)
        go_on.set()
        answer = answering.result(10)
        again = client.call("crm.add_note", note, request_id="r1")

    assert before == [("intent", "crm.add_note")]
    assert logged(agent) == [("intent", "crm.add_note"), ("outcome", "crm.add_note")]
    assert isinstance(answer, Result)
    assert answer.rows == ((201,),)
    assert answer.receipt.verified.record.effect == record_pb2.EFFECT_DONE
    assert isinstance(again, Result)
    assert (again.call_id, target.connections) == (answer.call_id, 1)
    shown = agent.run("log", "show", answer.call_id).out
    assert "hello" in shown
    assert SECRET not in shown


@pytest.mark.requirement("http:effects:records")
def test_a_write_that_nobody_answers_is_told_as_unknown_and_not_sent_again(
    agent: CommandLine, service: Service, target: Target
) -> None:
    assert agent.root == service.deployment.root
    target.behaviours = [saying(b""), saying(reply(b"", "201 Created"))]
    note = {"id": 7, "text": "hello"}
    with service.client() as client:
        answers = [client.call("crm.add_note", note, request_id="r1") for _ in range(2)]

    for answer in answers:
        assert isinstance(answer, Refusal)
        assert (answer.reason, answer.effect) == ("EFFECT_UNKNOWN", "unknown")
    assert target.connections == 1


@pytest.mark.requirement("http:effects:records")
def test_a_write_that_reached_nobody_had_no_effect_and_may_be_asked_anew(
    agent: CommandLine, service: Service, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert agent.root == service.deployment.root
    target.behaviours = [saying(reply(b"", "201 Created"))]
    note = {"id": 7, "text": "hello"}
    with service.client() as client:
        monkeypatch.delenv("CRM_TOKEN")
        refused = client.call("crm.add_note", note, request_id="r1")
        monkeypatch.setenv("CRM_TOKEN", SECRET)
        answer = client.call("crm.add_note", note, request_id="r1")

    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.rule, refused.effect) == ("EXECUTOR_UNAVAILABLE", "leases/secret", "none")
    assert isinstance(answer, Result)
    assert target.connections == 1


@pytest.mark.requirement("http:call:agents-see")
def test_an_agent_sees_the_tool_and_nothing_of_its_connection(
    agent: CommandLine, service: Service, target: Target
) -> None:
    assert agent.root == service.deployment.root
    listed = agent.run("tools", "--json").out
    tools = {tool["name"]: tool for tool in json.loads(listed)}

    assert tools["crm.add_note"]["effects"] == "write"
    assert tools["crm.customer"]["input_schema"]["required"] == ["id"]
    assert str(target.port) not in listed


@pytest.mark.requirement("http:call:sql-words")
def test_commands_for_tables_say_that_there_are_none(agent: CommandLine) -> None:
    checked = agent.run("sql", "check", "--tool", "crm.customer")
    drafted = agent.run("new", "tool", "--connection", "crm", "--table", "customers")

    assert (checked.code, "takes no SQL" in checked.err) == (2, True)
    assert (drafted.code, "has no tables" in drafted.err) == (2, True)


@pytest.mark.requirement("http:call:untold")
@pytest.mark.parametrize("request_id", ["", "note-1"])
def test_a_write_that_was_cut_off_is_told_with_what_finds_it(
    request_id: str, agent: CommandLine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is killed while its target has the request and says nothing."""
    target.behaviours = [target.hold]
    words = ["call", "crm.add_note", "--args", '{"id": 7, "text": "hello"}', "--json"]
    with served(Deployment(agent.root)) as (process, _):

        def kill() -> None:
            assert target.arrived.wait(30)
            process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        ended = agent.run(*words, *(["--request-id", request_id] if request_id else []))
        killer.join()
    message = str(ended.json()["error"]["message"])  # type: ignore[index,call-overload]
    assert ended.code == 5
    assert message.startswith("the service ended before it answered; a call with effects may have taken effect")
    assert ("the same command with this --request-id" in message) == bool(request_id)
    assert ("give such calls a --request-id" in message) == (not request_id)
    opened = agent.run("log", "open")
    assert (opened.code, "crm.add_note" in opened.out, "`sandbox log open`" in message) == (3, True, True)
    monkeypatch.setattr("sandbox.cli.asking.STARTING_S", 0.0)
    assert "may have taken effect" not in agent.run(*words).out, "nothing was sent"
