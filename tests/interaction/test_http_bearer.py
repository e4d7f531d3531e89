"""What can be done with a token alone? Over real connections, with and without the setting and the certificate.

Where a check stands in the way, the attack is shown to work once that check is taken out.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator

import grpc
import pytest
from command_line import CommandLine
from https import EXECUTE, Https, https_service

from sandbox.app import House
from sandbox.audit.verify import verify_receipt
from sandbox.deployment import Deployment, Misconfigured, read_private
from sandbox.identity import authenticator
from sandbox.identity.enrolment import Scope, token_path, write_bearer_token
from sandbox.identity.issuer import mint
from sandbox.identity.pki import Authority, key_to_pem, make_key
from sandbox.identity.revocations import Revocations
from sandbox.settings import IdentitySettings
from sandbox.v1 import tool_execution_pb2 as pb
from sandbox.v1.tool_execution_pb2_grpc import ToolExecutionServiceStub

requirement = pytest.mark.requirement
LIST = "/sandbox.v1.ToolExecutionService/ListTools"
METADATA = "/.well-known/oauth-protected-resource/mcp"
URL = "https://tools.example"
RESOURCE = f"{URL}/mcp"
AGENT = Scope(roles=("agent",), tools=("*",), claims={"region": "EU"}, actors=())
ON = ("bearer_tokens = true", f'public_url = "{URL}"', 'authorization_servers = ["https://issuer.example"]')


@pytest.fixture
def https(deployment: Deployment) -> Iterator[Https]:
    """A service that takes bearer tokens, and believes whom it has believed for a minute."""
    text = deployment.settings.read_text()
    deployment.settings.write_text(text.replace("[identity]", "[identity]\ncache_seconds = 60.0"))
    with https_service(deployment, *ON) as made:
        yield made


def minted(https: Https, *, resource: str = RESOURCE, minutes: int = 60, subject: str = "agent") -> dict[str, str]:
    """Return the headers of a bearer token of our issuer."""
    key = read_private(https.service.deployment.keys / "token.key")
    token = mint(
        key,
        IdentitySettings(),
        subject=subject,
        resource=resource,
        roles=AGENT.roles,
        claims=AGENT.claims,
        lifetime_s=minutes * 60,
    )
    return {**https.headers(), "authorization": f"Bearer {token}"}


def is_let_in(https: Https, headers: dict[str, str], name: str = "") -> bool:
    return https.ask(LIST, headers=headers, name=name).status == 200


def check_refused(https: Https, headers: dict[str, str], sentence: str, name: str = "") -> None:
    for path in (LIST, EXECUTE, "/mcp"):
        reply = https.ask(path, headers=headers, name=name)
        assert (reply.status, sentence in reply.body.decode()) == (401, True), reply.body
        assert 'error="invalid_token"' in reply.headers["www-authenticate"]


def without(monkeypatch: pytest.MonkeyPatch, *checks: str) -> None:
    for check in checks:
        place = authenticator if hasattr(authenticator, check) else authenticator.Authenticator
        monkeypatch.setattr(place, check, lambda *_, **__: None)


@requirement("https:bearer:answers")
def test_a_bearer_token_calls_without_a_certificate_and_its_record_says_so(https: Https, sandbox: CommandLine) -> None:
    arguments = b64encode(json.dumps({"sql": "SELECT count(*) AS n FROM orders"}).encode()).decode()
    body = {"tool": "shop.query", "argumentsJson": arguments}

    borne, bound = https.ask(EXECUTE, body, minted(https), name="").json, https.ask(EXECUTE, body).json

    assert json.loads(b64decode(borne["result"]["rowsJson"])) == json.loads(b64decode(bound["result"]["rowsJson"]))
    key = (https.service.deployment.keys / "log.vkey").read_text().strip()
    records = [verify_receipt(b64decode(each["receipt"]), key).record for each in (borne, bound)]
    assert [record.binding for record in records] == ["bearer", ""]
    assert [bool(record.certificate_digest) for record in records] == [False, True]

    sandbox.over(https.service.deployment.root)
    listed = sandbox.run("log", "list", "--tool", "shop.query", "--json").json()["records"]
    assert isinstance(listed, list)
    assert [record.get("binding") for record in listed] == [None, "bearer"]
    shown = sandbox.run("log", "show", borne["callId"], "--json").json()["record"]
    assert isinstance(shown, dict)
    assert shown["binding"] == "bearer"


@requirement("https:bearer:answers")
def test_an_mcp_host_needs_nothing_but_the_token(https: Https, sandbox: CommandLine) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    params = {"name": "shop.query", "arguments": {"sql": "SELECT count(*) AS n FROM orders"}, "_meta": meta}
    headers = {
        **minted(https),
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "shop.query",
    }

    reply = https.ask("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers, name="")

    assert reply.status == 200, reply.body
    sandbox.over(https.service.deployment.root)
    listed = sandbox.run("log", "list", "--tool", "shop.query", "--json").json()["records"]
    assert isinstance(listed, list)
    assert [(record["status"], record["binding"]) for record in listed] == [("ok", "bearer")]


@requirement("https:bearer:answers")
def test_the_record_of_a_reading_says_so_too(https: Https, sandbox: CommandLine) -> None:
    deployment = https.service.deployment
    arguments = b64encode(b'{"sql": "SELECT count(*) AS n FROM orders"}').decode()
    called = https.ask(EXECUTE, {"tool": "shop.query", "argumentsJson": arguments}).json
    reviewer = Scope(roles=("reviewer",), tools=("*",), claims={}, actors=())
    write_bearer_token(deployment, IdentitySettings(), "reviewer", reviewer, resource=RESOURCE, lifetime_s=60)
    asked = {"callId": called["callId"], "role": "result"}

    path = "/sandbox.v1.ExecutionLogService/ReadPayload"
    assert https.ask(path, asked, https.headers("reviewer.bearer"), name="").status == 200
    assert https.ask(path, asked, https.headers("reviewer"), name="reviewer").status == 200

    sandbox.over(deployment.root)
    listed = sandbox.run("log", "list", "--kind", "access", "--json").json()["records"]
    assert isinstance(listed, list)
    assert [record.get("binding") for record in listed] == [None, "bearer"]


@requirement("https:bearer:metadata")
def test_the_metadata_says_what_is_accepted_to_whoever_has_no_certificate(https: Https) -> None:
    document = https.ask(METADATA, b"", {}, method="GET", name="").json

    assert document["resource"] == RESOURCE
    assert document["tls_client_certificate_bound_access_tokens"] is False
    assert document["authorization_servers"] == ["https://issuer.example"]
    stranger = https.ask(LIST, headers={"content-type": "application/json"}, name="")
    assert stranger.status == 401
    assert f'resource_metadata="{URL}{METADATA}"' in stranger.headers["www-authenticate"]


@requirement("https:bearer:audience")
@pytest.mark.parametrize("resource", ["https://other.example/mcp", "sandbox", URL, RESOURCE + "/"])
def test_a_token_for_another_audience_is_refused(resource: str, https: Https, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = minted(https, resource=resource)

    check_refused(https, headers, "the token is for another audience")
    without(monkeypatch, "check_bearer", "_check_service")
    assert is_let_in(https, headers)


@requirement("https:bearer:life")
def test_a_token_that_lives_too_long_is_refused(https: Https, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = minted(https, minutes=61)

    check_refused(https, headers, "the token lives too long; a bearer token lives 60 min at the most")
    without(monkeypatch, "check_bearer")
    assert is_let_in(https, headers)
    assert is_let_in(https, minted(https, minutes=60))


@requirement("https:bearer:bound")
def test_a_stolen_bound_token_is_of_no_use_without_its_key(https: Https, monkeypatch: pytest.MonkeyPatch) -> None:
    stolen = https.headers()
    assert is_let_in(https, stolen, name="agent")  # it is believed now, beside its certificate

    check_refused(https, stolen, "the token is bound to a client certificate and the request carries none")
    without(monkeypatch, "check_bearer", "_check_service")
    assert is_let_in(https, stolen)


@requirement("https:bearer:beside")
@pytest.mark.parametrize("name", ["agent", "reviewer"])
def test_a_bearer_token_is_refused_beside_a_certificate(
    name: str, https: Https, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = minted(https)
    assert is_let_in(https, headers)  # it is believed now, without one

    check_refused(https, headers, "a bearer token is accepted at the HTTP door without a client certificate", name)
    without(monkeypatch, "check_not_bearer")
    check_refused(https, headers, "the token was issued by or for another service", name)
    without(monkeypatch, "_check_service", "_check_binding")
    assert is_let_in(https, headers, name)


@requirement("https:bearer:beside")
def test_grpc_takes_no_bearer_token(https: Https) -> None:
    headers = minted(https)
    assert is_let_in(https, headers)
    metadata = (("authorization", headers["authorization"]),)
    pki = https.service.deployment.pki
    strangers = grpc.ssl_channel_credentials((pki / "ca.pem").read_bytes())

    with https.service.channel() as channel, pytest.raises(grpc.RpcError) as refused:
        ToolExecutionServiceStub(channel).ListTools(pb.ListToolsRequest(), metadata=metadata, timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with (
        grpc.secure_channel(https.service.address, strangers) as channel,
        pytest.raises(grpc.RpcError) as unheard,
    ):
        ToolExecutionServiceStub(channel).ListTools(pb.ListToolsRequest(), metadata=metadata, timeout=30)
    assert unheard.value.code() is grpc.StatusCode.UNAVAILABLE


@requirement("https:bearer:off")
@pytest.mark.parametrize("line", [(), ("bearer_tokens = false",)])
def test_where_the_setting_is_off_there_is_no_request_without_a_certificate(
    line: tuple[str, ...], deployment: Deployment
) -> None:
    with https_service(deployment, *line, ON[1]) as https:
        headers = minted(https)

        with pytest.raises(OSError, match=r"certificate required|reset|closed|EOF"):
            https.ask(LIST, name="", headers=headers)
        check_refused(https, headers, "the token was issued by or for another service", "agent")
        assert https.ask(METADATA, b"", {}, method="GET").json["tls_client_certificate_bound_access_tokens"] is True


@requirement("https:bearer:certificate-counts")
def test_a_certificate_that_is_presented_counts(https: Https) -> None:
    assert is_let_in(https, https.headers(), name="agent")
    other = https.ask(LIST, headers=https.headers("reviewer"), name="agent")
    assert other.status == 401
    assert "bound to another client certificate" in other.json["message"]

    authority, key = Authority.make("mallory.example", time.time()), make_key()
    clients = https.service.deployment.pki / "clients"
    (clients / "mallory.pem").write_bytes(authority.sign_client(key.public_key(), "agent", time.time()))
    (clients / "mallory.key").write_bytes(key_to_pem(key))
    with pytest.raises(OSError, match=r"unknown ca|decrypt|reset|closed|EOF|alert"):
        https.ask(LIST, headers=minted(https), name="mallory")
    assert is_let_in(https, minted(https))


@requirement("https:bearer:revoked")
def test_a_revoked_bearer_token_is_refused(deployment: Deployment) -> None:
    text = deployment.settings.read_text()
    deployment.settings.write_text(text.replace("[identity]", "[identity]\ncache_seconds = 0.0"))
    with https_service(deployment, *ON) as https:
        headers = minted(https)
        assert is_let_in(https, headers)
        payload = headers["authorization"].split(".")[1]
        claims = json.loads(b64decode(payload.replace("-", "+").replace("_", "/") + "=="))

        Revocations(deployment.revocations).revoke(claims["jti"])

        check_refused(https, headers, "the token has been revoked")


@requirement("policy:facts:binding")
def test_a_policy_forbids_one_tool_to_bearer_tokens(deployment: Deployment) -> None:
    (deployment.policies / "bearer.cedar").write_text(
        '@id("no-bearer")\nforbid (principal, action in Sandbox::Action::"Execute", resource)\n'
        'when { resource.name == "shop.query" && principal.binding == "bearer" };'
    )
    query = {"tool": "shop.query", "argumentsJson": b64encode(b'{"sql": "SELECT 1 AS one"}').decode()}
    order = {"tool": "shop.order", "argumentsJson": b64encode(b'{"order_id": 1}').decode()}
    with https_service(deployment, *ON) as https:
        for _ in range(2):  # the second time from what is remembered
            bound = https.ask(EXECUTE, query).json
            refused = https.ask(EXECUTE, query, minted(https), name="").json
            other = https.ask(EXECUTE, order, minted(https), name="").json

            assert "result" in bound
            assert refused["refusal"]["reason"] == "POLICY_DENIED"
            assert "no-bearer" in refused["refusal"]["message"]
            assert other.get("refusal", {}).get("reason") != "POLICY_DENIED"

        reference = {"call": {"callId": bound["callId"]}}
        stored = https.ask("/sandbox.v1.ToolExecutionService/GetCall", reference, minted(https), name="")
        assert (stored.status, stored.json["code"]) == (403, "permission_denied")


@requirement("https:bearer:turned-on")
@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (("bearer_tokens = true",), "needs the HTTP door; set `http.listen`"),
        (("bearer_tokens = true", 'listen = "127.0.0.1:0"'), "needs `http.public_url`, or a port in `http.listen`"),
    ],
)
def test_a_service_that_cannot_name_its_resource_does_not_start(
    lines: tuple[str, ...], sentence: str, deployment: Deployment
) -> None:
    text = deployment.settings.read_text()
    deployment.settings.write_text(text.replace("[http]", "\n".join(["[http]", *lines])))

    with pytest.raises(Misconfigured, match=sentence.replace(".", r"\.")):
        House.open(deployment.root)


@requirement("https:bearer:answers")
def test_what_the_command_line_mints_is_accepted(https: Https, sandbox: CommandLine) -> None:
    deployment = https.service.deployment
    sandbox.over(deployment.root)

    made = sandbox.run("token", "new", "agent", "--bearer", "--json").json()

    assert (made["state"], made["resource"]) == ("valid", RESOURCE)
    assert is_let_in(https, https.headers("agent.bearer"))
    write_bearer_token(deployment, IdentitySettings(), "agent", AGENT, resource="https://other.example", lifetime_s=60)
    assert token_path(deployment, "agent.bearer").read_text()
    assert not is_let_in(https, https.headers("agent.bearer"))
