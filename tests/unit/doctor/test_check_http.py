"""Does the doctor tell how far it gets to an HTTP connection's hosts, without a request to the target?"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from http_cast import Blunt, Target, connection_to, make_papers

from sandbox.doctor.check_http import _no_token, check_hosts
from sandbox.doctor.findings import Finding
from sandbox.toolspec import Connection, EnvSecret, HttpTarget, OAuth

reached = pytest.mark.requirement("doctor:http:reached")
addresses = pytest.mark.requirement("doctor:http:addresses")


def found(connection: Connection) -> list[Finding]:
    assert isinstance(connection.target, HttpTarget)
    return list(check_hosts(connection, connection.target))


def oauth_at(host: str, networks: tuple[str, ...] = ()) -> OAuth:
    return OAuth(
        grant="client_credentials",
        host=host,
        port=443,
        token_url=f"https://{host}/token",
        token_path="/token",
        revoke_path=None,
        client_id="sandbox",
        client_secret=EnvSecret("NO_SECRET"),
        client_auth="basic",
        scopes=frozenset({"a"}),
        audience="",
        resource="",
        networks=networks,
        ca=None,
    )


@addresses
@pytest.mark.parametrize(
    ("host", "networks", "address", "why"),
    [
        (
            "localhost",
            (),
            "127.0.0.1",
            'is not public, so no request may reach it; `networks = ["127.0.0.1"]` names it',
        ),
        ("localhost", ("10.0.0.0/8",), "127.0.0.1", "is not in `networks`, so no request may reach it"),
        ("64:ff9b::7f00:1", (), "64:ff9b::7f00:1", "is not public, so no request may reach it; `networks = ["),
    ],
)
def test_an_address_that_no_request_may_reach_is_an_error(
    host: str, networks: tuple[str, ...], address: str, why: str
) -> None:
    with Target() as target:
        told = found(connection_to(target.port, host, networks=networks))
        assert target.connections == 0
    assert any(f"{host} leads to {address}, which {why}" in one.message for one in told), told
    assert {(one.check, one.level) for one in told} == {("its hosts' addresses may be reached", "error")}
    assert all(one.mend == "`networks` of [crm] in connections.toml" for one in told)
    assert all('"127.0.0.1"]` names it openly' in one.message for one in told if "::" in host)


@addresses
def test_the_authorization_server_s_address_is_looked_at_too() -> None:
    with Target() as target:
        (one,) = found(connection_to(target.port, auth=oauth_at("10.1.2.3")))
        assert found(connection_to(target.port, auth=oauth_at("10.1.2.3", ("10.1.0.0/16",)))) == []
    assert one.message.startswith("10.1.2.3 leads to 10.1.2.3, which is not public")
    assert one.mend == "`networks` of [crm.auth.oauth] in connections.toml"


@pytest.mark.requirement("doctor:http:lent")
def test_what_the_authorization_server_leaves_out_is_told_with_what_mends_it() -> None:
    told = _no_token(oauth_at("login.example.com"), "issued_token_type", None)

    assert told.message == (
        "the authorization server login.example.com lends no usable token: "
        "its answer does not say that the token is an access token"
    )
    assert told.mend == "have it send `issued_token_type` (RFC 8693, section 2.2.1)"


@reached
def test_a_host_that_is_there_is_sent_no_request(tmp_path: Path) -> None:
    papers = make_papers(tmp_path)
    with Target() as plain, Target(tls=papers.server("localhost")) as secure:
        assert found(connection_to(plain.port)) == []
        assert found(connection_to(secure.port, "localhost", networks=["127.0.0.0/8", "::1"], ca=papers.ca)) == []
        assert plain.requests == secure.requests == []


@reached
def test_each_step_that_fails_is_named(tmp_path: Path) -> None:
    papers = make_papers(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    local = ["127.0.0.0/8", "::1"]
    with (
        Blunt(b"220 no TLS here\r\n") as blunt,
        Target(tls=papers.server("localhost")) as secure,
    ):
        said = {
            "nothing": found(connection_to(80, "nowhere.invalid")),
            "closed": found(connection_to(port)),
            "no TLS": found(connection_to(blunt.port, "localhost", networks=local, ca=papers.ca)),
            "stranger": found(connection_to(secure.port, "localhost", networks=local, ca=make_papers(other).ca)),
            "name": found(connection_to(secure.port, networks=local, ca=papers.ca)),
        }
    messages = {name: one.message for name, (one,) in said.items()}
    assert messages["nothing"] == "nowhere.invalid has no address"
    assert messages["closed"] == f"127.0.0.1:{port} has an address, and nobody takes a connection there"
    assert messages["no TLS"] == f"localhost:{blunt.port} takes a connection, and TLS fails"
    assert messages["stranger"].startswith(f"localhost:{secure.port} takes a connection, and TLS fails: ")
    assert "127.0.0.1" in messages["name"].removeprefix("127.0.0.1:")
    assert {one.check for (one,) in said.values()} == {"its host can be connected to"}
    assert "`ca`" in said["stranger"][0].mend
