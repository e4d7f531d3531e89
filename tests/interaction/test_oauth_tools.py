"""Does a tool whose connection lends tokens go the whole way, and do its secrets go nowhere but to their servers?"""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from authorization_server import CLIENT, AuthorizationServer
from command_line import CommandLine
from conftest import Service
from http_cast import Target, make_papers, reply, saying
from oauth_cast import write_assertion_key
from openbao_server import Vault
from test_endings import served
from test_http_tools import ADA, CUSTOMER

from sandbox.audit.verify import verify_receipt
from sandbox.client import Client, Refusal, Result
from sandbox.deployment import Deployment
from sandbox.doctor.check_http import DOCTOR
from sandbox.endings import SAME_ENDING_S
from sandbox.leases.afterwards import WAIT_S
from sandbox.serving import opened_house

SCOPED = CUSTOMER.replace("fields: all}}", "fields: all}, scopes: [customers.read]}")
STANDING = CUSTOMER.replace("crm.customer", "erp.customer").replace("connection: crm", "connection: erp")
API_KEY = "s3cret-0451-from-the-vault"


@dataclass
class Place:
    """A deployment whose CRM asks for tokens of an authorization server, and whose ERP has its key in a vault."""

    deployment: Deployment
    agent: CommandLine
    target: Target
    server: AuthorizationServer
    told: list[str] = field(default_factory=list)

    def connections(
        self, *, grant: str = "token_exchange", revoke: bool = True, scopes: str = "customers.read"
    ) -> None:
        """Write the connections anew."""
        base, _, _ = self.deployment.connections.read_text().partition("\n[crm]")
        url = f"https://127.0.0.1:{self.server.port}/oauth"
        reach = (
            f'engine = "http"\nbase_url = "http://127.0.0.1:{self.target.port}"\nallow_plain = true\n'
            'networks = ["127.0.0.1/32"]\nceiling = {methods = ["GET"], paths = ["/v1/customers/*"]}\n'
        )
        oauth = (
            f'[crm.auth.oauth]\ngrant = "{grant}"\ntoken_url = "{url}/token"\nclient_id = "{CLIENT[0]}"\n'
            f'client_secret = {{vault = "secret/data/crm#client"}}\nscopes = ["{scopes}"]\n'
            f'networks = ["127.0.0.1/32"]\nca = "oauth-ca.pem"\n'
        )
        oauth += f'revoke_url = "{url}/revoke"\n' if revoke else ""
        erp = f'\n[erp]\n{reach}auth = {{bearer = {{vault = "secret/data/erp#key"}}}}\n'
        self.deployment.connections.write_text(f"{base}\n[crm]\n{reach}{oauth}{erp}")

    def call(self, tool: str = "crm.customer") -> Result | Refusal:
        """Serve, call once, and remember all that was said."""
        with (
            opened_house(self.deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
            Service(self.deployment, house, door.address).client() as client,
        ):
            answer = client.call(tool, {"id": "7"})
            self.told.append(str(answer))
            self.told += [self.agent.run("log", "show", str(leaf), "--json").out for leaf in range(30)]
        assert isinstance(answer, Result | Refusal)
        return answer


@pytest.fixture
def place(
    deployment: Deployment, sandbox: CommandLine, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.setattr("sandbox.telemetry.events._often", {})
    papers = make_papers(tmp_path)
    shutil.copy(papers.ca, deployment.root / "oauth-ca.pem")
    settings = vault.known_in(deployment.root)
    text = deployment.settings.read_text("utf-8")
    for key, value in (("address", settings.address), ("ca", settings.ca)):
        assert f'#{key} = ""\n' in text
        text = text.replace(f'#{key} = ""\n', f'{key} = "{value}"\n')
    deployment.settings.write_text(text, "utf-8")
    vault.put("crm", client=CLIENT[1])
    vault.put("erp", key=API_KEY)
    write_assertion_key(deployment.assertion_key)
    (deployment.toolspecs / "crm.customer.yaml").write_text(SCOPED)
    (deployment.toolspecs / "erp.customer.yaml").write_text(STANDING)
    assert sandbox.run("token", "new", "agent", "--role", "agent", "--tools", "*").code == 0
    with Target([ADA]) as target, AuthorizationServer(papers.server("127.0.0.1")) as server:
        made = Place(deployment, sandbox, target, server)
        made.connections()
        yield made


def sent_with(target: Target) -> list[str]:
    """Return the tokens that the target was sent."""
    return [re.search(rb"Authorization: Bearer (\S+)", request)[1].decode() for request in target.requests]  # type: ignore[index]


@pytest.mark.requirement("leases:oauth:whole-way")
@pytest.mark.parametrize("grant", ["client_credentials", "token_exchange"])
def test_a_call_goes_the_whole_way_with_a_token_for_it_alone(grant: str, place: Place) -> None:
    place.connections(grant=grant)
    answer = place.call()

    assert isinstance(answer, Result)
    assert answer.rows == ((7, "Ada", True),)
    (token,) = sent_with(place.target)
    issued = place.server.issued[token]
    assert (issued.scopes, issued.subject) == (["customers.read"], "agent" if grant == "token_exchange" else "")
    assert not place.server.is_live(token)
    record = verify_receipt(answer.receipt.text, (place.deployment.keys / "log.vkey").read_text("utf-8")).record
    assert len(record.lease_digest) == 32
    assert record.lease_expires_us // 1_000_000 == pytest.approx(time.time() + 300, abs=30)
    assert any("(an access token for customers.read)" in each for each in place.told)


@pytest.mark.requirement("leases:oauth:drained")
@pytest.mark.parametrize("is_hurried", [False, True])
def test_a_service_that_drains_gives_back_what_it_was_lent_or_tells(place: Place, is_hurried: bool) -> None:  # noqa: FBT001
    """The attack: SIGTERM while a slow server is asked to revoke; the token lived on, and no event told."""
    released = threading.Event()

    def late(line: socket.socket, request: bytes) -> None:
        released.wait(20)
        place.server.revocation_says = None
        place.server._answer(line, request)

    place.server.revocation_says = late
    with served(place.deployment) as (process, address):
        with Client.from_deployment(place.deployment.root, "agent", address) as client:
            assert isinstance(client.call("crm.customer", {"id": "7"}), Result)
        (token,) = sent_with(place.target)
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2 * SAME_ENDING_S)
        if is_hurried:
            process.terminate()
        else:
            released.set()
        assert process.wait(10) == 0
        assert process.stderr is not None
        told = process.stderr.read()
    released.set()
    assert place.server.is_live(token) == is_hurried
    assert ('"causes": "the process ended"' in told) == is_hurried


@pytest.mark.requirement("leases:oauth:drained")
def test_the_doctor_waits_for_what_it_was_lent(place: Place) -> None:
    released = threading.Event()

    def late(line: socket.socket, request: bytes) -> None:
        released.wait(2 * WAIT_S)
        place.server.revocation_says = None
        place.server._answer(line, request)

    place.server.revocation_says = late
    command = [sys.executable, "-m", "sandbox.cli.main", "doctor", "--deployment", str(place.deployment.root)]
    assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0  # noqa: S603 - ours
    assert [issued.is_revoked for issued in place.server.issued.values()] == [True]


@pytest.mark.requirement("http:secret:repeated")
@pytest.mark.parametrize("tool", ["crm.customer", "erp.customer"])
@pytest.mark.parametrize("how", ["plain", "escaped", "base64"])
def test_a_target_that_repeats_its_requests_tells_no_credential(place: Place, tool: str, how: str) -> None:
    """The attack: an author picks what an echoing path says of the header that was sent."""

    def echo(line: socket.socket, request: bytes) -> None:
        sent = re.search(rb"Authorization: (Bearer \S+)", request)
        assert sent is not None
        text = sent[1].decode()
        text = {"base64": base64.b64encode(text[7:].encode()).decode()}.get(how, text)
        name = "".join(f"\\u{ord(letter):04x}" for letter in text) if how == "escaped" else text
        line.sendall(reply(f'{{"customer": {{"id": 7, "name": "{name}"}}}}'.encode()))

    place.target.behaviours = [echo]
    answer = place.call(tool)

    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.metadata["error"]) == ("HTTP_RESPONSE_INVALID", "credential")
    (token,) = sent_with(place.target)
    for told in place.told:
        assert token not in told
        assert base64.b64encode(token.encode()).decode().rstrip("=") not in told


@pytest.mark.requirement("http:secret:repeated")
def test_a_credential_of_digits_is_not_told_as_a_number(place: Place, vault: Vault) -> None:
    vault.put("erp", key="123456789012")
    place.target.behaviours = [saying(reply(b'{"customer": {"id": 123456789012, "name": "Ada"}}'))]

    answer = place.call("erp.customer")

    assert isinstance(answer, Refusal)
    assert answer.metadata["error"] == "credential"


@pytest.mark.requirement("leases:oauth:secret")
def test_no_secret_of_a_lease_is_told_or_written(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    echo = json.dumps({"error": CLIENT[1], "error_description": CLIENT[1]}).encode()
    place.call()
    place.call("erp.customer")
    place.server.says = saying(reply(echo, f"400 {CLIENT[1]}"))
    refused = place.call()
    place.server.says = None
    place.target.behaviours = [saying(reply(CLIENT[1].encode(), f"500 {CLIENT[1]}"))]
    place.call()
    caller = (place.deployment.tokens / "agent.jwt").read_text("ascii").strip()
    forms = b"".join(place.server.target.requests).decode()
    assertions = re.findall(r"subject_token=([\w.-]+)", forms)
    place.told.append("".join(capsys.readouterr()))

    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.rule) == ("EXECUTOR_UNAVAILABLE", "leases/token")
    assert (len(assertions), caller in forms, caller in str(place.target.requests)) == (3, False, False)
    assert API_KEY in sent_with(place.target)
    hidden = [CLIENT[1], API_KEY, *place.server.issued, *assertions]
    assert not [secret for secret in hidden for each in place.told if secret in each]
    written = [path for path in place.deployment.root.rglob("*") if path.is_file()]
    assert any(path.name == "log.db" for path in written)
    assert [path.name for path in written for secret in hidden if secret.encode() in path.read_bytes()] == []


@pytest.mark.requirement("specs:http:scopes")
@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (SCOPED.replace("[customers.read]", "[customers.read, customers.delete]"), "outside the connection's ceiling"),
        (SCOPED.replace("[customers.read]", "['customers.read admin']"), "without spaces, quotes and backslashes"),
        (SCOPED.replace("[customers.read]", "[]"), "[customers.read]"),
        (CUSTOMER, "lends a token for the scopes that the request names"),
        (SCOPED.replace("connection: crm", "connection: erp"), "the connection lends no token"),
    ],
    ids=["beyond", "two-in-one", "empty", "none", "standing"],
)
def test_a_spec_names_its_scopes_within_the_ceiling(spec: str, told: str, place: Place) -> None:
    assert place.agent.run("lint").code == 0
    (place.deployment.toolspecs / "crm.customer.yaml").write_text(spec)
    linted = place.agent.run("lint")

    assert linted.code == 1
    assert told in " ".join(linted.out.split())


@pytest.mark.requirement("leases:oauth:whole-way")
def test_a_call_that_gets_no_token_reaches_no_target_and_may_be_asked_anew(place: Place) -> None:
    place.server.says = saying(reply(b"{}", "503 Busy"))
    refused = place.call()
    place.server.says = None

    assert isinstance(refused, Refusal)
    assert (refused.reason, place.target.connections) == ("EXECUTOR_UNAVAILABLE", 0)
    assert isinstance(place.call(), Result)


@pytest.mark.requirement("doctor:http:lent")
def test_the_doctor_has_a_token_lent_and_a_secret_read(place: Place, vault: Vault) -> None:
    good = place.agent.run("doctor", "--json")
    assert good.code == 0
    assert place.target.requests == []
    (issued,) = place.server.issued.values()
    assert (issued.subject, issued.is_revoked) == (DOCTOR, True)

    place.server.says = saying(reply(b'{"error": "invalid_scope"}', "400 Bad"))
    vault.put("erp", other="x")
    wrong = place.agent.run("doctor", "--json")
    reports = {each["connection"]: each for each in wrong.json()["connections"]}
    assert wrong.code == 1
    (crm,), (erp,) = reports["crm"]["findings"], reports["erp"]["findings"]
    assert crm["check"] == "a token can be had for all its scopes"
    assert "127.0.0.1 lends no usable token: it does not let the client have all of `scopes`" in crm["message"]
    assert "connection `erp`: the vault has no text" in erp["message"]
    assert "let client `sandbox client` have the scopes customers.read by token exchange" in crm["mend"]
    assert (erp["check"], "`auth` of [erp]" in erp["mend"]) == ("its secret can be read", True)
    assert API_KEY not in good.out + wrong.out
    assert "invalid_scope" in wrong.err

    vault.put("crm", other="x")
    (crm,) = {each["connection"]: each for each in place.agent.run("doctor", "--json").json()["connections"]}["crm"][
        "findings"
    ]
    assert "secret cannot be read: the client secret of connection `crm`: the vault has no" in crm["message"]

    place.deployment.assertion_key.unlink()
    (crm,) = {each["connection"]: each for each in place.agent.run("doctor", "--json").json()["connections"]}["crm"][
        "findings"
    ]
    assert "`openssl genpkey -algorithm ed25519 -out FILE` makes one" in crm["message"]
