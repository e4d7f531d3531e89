"""Can a request be led to where its connection may not go? Names, numbers, redirects, and names that change."""

from __future__ import annotations

import http.client
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import pytest
from http_cast import ID, Listener, NameServer, Target, Tool, connection_to, http_tool, reply, saying

from sandbox.outbound import wire
from sandbox.outbound.addresses import is_permitted
from sandbox.reasons import Reason, Refused

SPECIAL = [
    # this machine
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.1.2.3", "::1", "::",  # noqa: S104 - nobody binds to it
    # private and carriers' own
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.1", "100.64.0.1",
    "100.127.255.254", "fc00::1", "fd12:3456::1", "fec0::1",
    # link-local, with and without a zone
    "169.254.0.1", "169.254.10.10", "fe80::1", "fe80::1%lo", "febf::1", "2001:4860:4860::8888%1",
    # where clouds keep credentials
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",
    # IPv4 in IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::127.0.0.1", "::10.0.0.1",
    "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::8.8.8.8", "64:ff9b:1::10.0.0.1",
    "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2002:808:808::1", "2001::1", "2001:0:a00:1::f5ff:fffe",
    "2001:470:1f0b::5efe:10.0.0.1", "2001:470:1f0b::200:5efe:127.0.0.1",
    # nobody's: multicast, reserved, broadcast, benchmarking, documentation, discard
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "198.18.0.1", "198.19.255.1", "192.0.2.1",
    "198.51.100.7", "203.0.113.9", "192.0.0.1", "192.0.0.170", "192.88.99.1", "192.31.196.1", "192.52.193.1",
    "192.175.48.1", "ff02::1", "ff0e::1", "2001:db8::1", "3fff::1", "2001:2::1", "2001:10::1", "100::1", "5f00::1",
    "2620:4f:8000::1", "4000::1", "e000::1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
    "192.0.1.1", "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "128.0.0.1",
    "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::200e", "2400:cb00::1",
]  # fmt: skip
DISPUTED = ["2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "127.1", "127.0.1", "0177.1"]
"""Loopback, to the system's resolver."""


@pytest.fixture
def forbidden() -> Listener:
    with Listener() as listener:
        yield listener


def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Watch where sockets go, and let none get there."""
    seen: list[str] = []

    def connect(_: socket.socket, address: tuple[str, int]) -> None:
        seen.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return seen


def answering(*addresses: str) -> wire.Resolve:
    def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


def refused_by(tool: Tool) -> Reason:
    with pytest.raises(Refused) as refusal:
        tool.call()
    return refusal.value.reason


@pytest.mark.requirement("http:address:public")
@pytest.mark.parametrize("address", SPECIAL)
def test_a_name_that_leads_to_a_special_address_is_refused_before_a_connection(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = dialled(monkeypatch)
    tool = Tool(connection_to(80, "crm.example.com", networks=()), resolve=answering(address))

    assert refused_by(tool) is Reason.HTTP_ADDRESS_FORBIDDEN
    assert seen == []


@pytest.mark.requirement("http:address:public")
@pytest.mark.parametrize("address", SPECIAL)
def test_without_the_rule_the_connection_would_go_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = dialled(monkeypatch)
    monkeypatch.setattr(wire, "is_permitted", lambda *_: True)
    tool = Tool(connection_to(80, "crm.example.com", networks=()), resolve=answering(address))

    assert refused_by(tool) is Reason.EXECUTOR_UNAVAILABLE
    assert seen == [str(ipaddress.ip_address(address))]


@pytest.mark.requirement("http:address:public")
@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_dialled(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = dialled(monkeypatch)
    tool = Tool(connection_to(80, "crm.example.com", networks=()), resolve=answering(address))

    assert refused_by(tool) is Reason.EXECUTOR_UNAVAILABLE
    assert seen == [address]


@pytest.mark.requirement("http:address:every")
@pytest.mark.parametrize(
    "addresses", [("8.8.8.8", "127.0.0.1"), ("127.0.0.1", "8.8.8.8"), ("8.8.8.8", "::1", "1.1.1.1")]
)
def test_one_forbidden_address_forbids_the_name(addresses: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = dialled(monkeypatch)
    tool = Tool(connection_to(80, "crm.example.com", networks=()), resolve=answering(*addresses))

    assert refused_by(tool) is Reason.HTTP_ADDRESS_FORBIDDEN
    assert seen == []


@pytest.mark.requirement("http:address:literal")
@pytest.mark.parametrize("host", [*DISPUTED, "127.0.0.1", "localhost", "0", "0x0"])
def test_loopback_is_not_reached_however_it_is_written(host: str, forbidden: Listener) -> None:
    tool = Tool(connection_to(forbidden.port, host, networks=()))

    assert refused_by(tool) is Reason.HTTP_ADDRESS_FORBIDDEN
    assert forbidden.count() == 0


@pytest.mark.requirement("http:address:literal")
@pytest.mark.parametrize("host", [*DISPUTED, "127.0.0.1", "localhost"])
def test_without_the_rule_each_writing_reaches_loopback(
    host: str, forbidden: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "is_permitted", lambda *_: True)
    tool = Tool(connection_to(forbidden.port, host, networks=()), http_tool(limits=None))
    monkeypatch.setattr(wire.http.client.HTTPResponse, "begin", hung_up)

    assert refused_by(tool) is Reason.EXECUTOR_UNAVAILABLE
    assert forbidden.count() == 1


def hung_up(_: http.client.HTTPResponse) -> None:
    raise http.client.RemoteDisconnected("nobody answers")


@pytest.mark.requirement("http:address:networks")
@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        (["10.1.0.0/16"], "10.1.2.3", ["10.2.0.1", "8.8.8.8", "127.0.0.1", "::ffff:10.1.2.3", "fd00::1"]),
        (["fd00:1::/32"], "fd00:1::5", ["fd00:2::5", "10.0.0.1", "2606:4700:4700::1111"]),
        (["64:ff9b::/96", "10.1.0.0/16"], "64:ff9b::10.1.2.3", ["64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8"]),
        (["2002::/16", "10.1.0.0/16"], "2002:a01:203::1", ["2002:7f00:1::1", "2002:808:808::1"]),
        (["8.8.8.0/24"], "8.8.8.8", ["8.8.4.4"]),
    ],
)
def test_networks_are_the_only_ones_and_an_address_within_an_address_is_held_to_them(
    networks: list[str], inside: str, outside: list[str]
) -> None:
    allowed = [ipaddress.ip_network(network) for network in networks]

    assert is_permitted(ipaddress.ip_address(inside), allowed)
    assert [each for each in outside if is_permitted(ipaddress.ip_address(each), allowed)] == []


@pytest.mark.requirement("http:address:networks")
def test_an_address_that_an_operator_names_is_reached() -> None:
    with Target() as target:
        assert Tool(connection_to(target.port, networks=["127.0.0.1/32"])).call().rows == ((1,),)
        assert refused_by(Tool(connection_to(target.port, networks=["127.0.0.2/32"]))) is Reason.HTTP_ADDRESS_FORBIDDEN
        assert target.connections == 1


@pytest.mark.requirement("http:address:pinned")
def test_a_name_that_changes_between_check_and_use_leads_nowhere_else() -> None:
    with (
        Target(host="127.0.0.2") as target,
        Listener(host="127.0.0.1", port=target.port) as forbidden,
        NameServer(["127.0.0.2"], ["127.0.0.1"]) as names,
    ):
        connection = connection_to(target.port, "crm.example.com", networks=["127.0.0.2/32"])
        tool = Tool(connection, resolve=names.resolve)

        assert tool.call().rows == ((1,),)
        assert (names.asked, target.connections, forbidden.count()) == (1, 1, 0)
        assert b"Host: crm.example.com:" in target.requests[0]

        assert refused_by(tool) is Reason.HTTP_ADDRESS_FORBIDDEN
        assert (names.asked, target.connections, forbidden.count()) == (2, 1, 0)


@pytest.mark.requirement("http:address:pinned")
def test_a_client_that_asks_again_after_the_check_is_led_astray() -> None:
    with (
        Target(host="127.0.0.2") as target,
        Listener(host="127.0.0.1", port=target.port) as forbidden,
        NameServer(["127.0.0.2"], ["127.0.0.1"]) as names,
    ):
        checked = names.resolve("crm.example.com", target.port)
        assert is_permitted(ipaddress.ip_address(checked[0]), [ipaddress.ip_network("127.0.0.2/32")])
        with socket.create_connection((names.resolve("crm.example.com", target.port)[0], target.port), 5):
            assert (target.connections, forbidden.count()) == (0, 1)


@pytest.mark.requirement("http:address:pinned")
def test_a_retry_is_checked_anew() -> None:
    with (
        Target([saying(reply(status="503 Busy"))], host="127.0.0.2") as target,
        Listener(host="127.0.0.1", port=target.port) as forbidden,
        NameServer(["127.0.0.2"], ["127.0.0.1"]) as names,
    ):
        connection = connection_to(target.port, "crm.example.com", networks=["127.0.0.2/32"])
        tool = Tool(connection, http_tool(is_idempotent=True), names.resolve)

        assert refused_by(tool) is Reason.HTTP_ADDRESS_FORBIDDEN
        assert (target.connections, forbidden.count()) == (1, 0)


REDIRECTS = [
    (status, location)
    for status in ("300 Many", "301 Moved", "302 Found", "303 Other", "307 Again", "308 For Good")
    for location in (
        "http://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/x",
        "http://crm@127.0.0.1:{port}/",
        "http://0:{port}/",
    )
]


@pytest.mark.requirement("http:redirect:refused")
@pytest.mark.parametrize(("status", "location"), REDIRECTS)
def test_a_redirect_is_refused_and_its_place_not_told(status: str, location: str, forbidden: Listener) -> None:
    where = location.format(port=forbidden.port)
    with Target([saying(reply(status=status, headers={"Location": where, "Content-Length": "9"}))]) as target:
        with pytest.raises(Refused) as refusal:
            Tool(connection_to(target.port), http_tool(is_idempotent=True)).call()

        assert (refusal.value.reason, refusal.value.rule) == (Reason.HTTP_STATUS, "http/redirect")
        assert str(forbidden.port) not in str(refusal.value.__dict__)
        assert (target.connections, forbidden.count()) == (1, 0)


@pytest.mark.requirement("http:redirect:refused")
@pytest.mark.parametrize("header", ["Refresh", "Location", "Content-Location", "Link", "Alt-Svc"])
def test_no_header_of_a_good_answer_leads_anywhere(header: str, forbidden: Listener) -> None:
    where = f"http://127.0.0.1:{forbidden.port}/"
    with Target([saying(reply(headers={header: where, "Content-Length": "9"}))]) as target:
        assert Tool(connection_to(target.port)).call().rows == ((1,),)
        assert (target.connections, forbidden.count()) == (1, 0)


@pytest.mark.requirement("http:redirect:refused")
def test_a_client_that_follows_gets_there(forbidden: Listener) -> None:
    where = f"http://127.0.0.1:{forbidden.port}/"
    with Target([saying(reply(status="302 Found", headers={"Location": where}))]) as target:
        line = http.client.HTTPConnection("127.0.0.1", target.port, timeout=5)
        line.request("GET", "/")
        location = urlsplit(line.getresponse().headers["Location"])
        line.close()
        with socket.create_connection((location.hostname or "", location.port or 0), 5):
            assert forbidden.count() == 1


@pytest.mark.requirement("http:proxy:none")
def test_no_proxy_of_the_environment_is_asked(forbidden: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{forbidden.port}")
    with Target() as target:
        assert Tool(connection_to(target.port), http_tool(columns=(ID,))).call().rows == ((1,),)
        assert (target.connections, forbidden.count()) == (1, 0)


@pytest.mark.requirement("http:cookies:none")
def test_what_an_answer_sets_is_not_sent_again() -> None:
    with Target([saying(reply(headers={"Set-Cookie": "id=1", "Content-Length": "9"}))]) as target:
        tool = Tool(connection_to(target.port))
        tool.call()
        tool.call()

        assert target.connections == 2
        assert not any(b"cookie" in request.lower() for request in target.requests)
