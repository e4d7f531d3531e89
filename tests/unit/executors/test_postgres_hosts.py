"""Is a server's name looked up within a call's time, and is every address tried?"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.executors.ending import Over
from sandbox.executors.postgres_hosts import with_addresses
from sandbox.executors.server_trouble import Gone
from sandbox.outbound import resolver
from sandbox.stages import Cancellation

TABLE: Mapping[str, list[str]] = {"one": ["10.0.0.1"], "two": ["10.0.0.2", "fd00::2"]}


def known(host: str, *_: object, **__: object) -> list[Any]:
    if host not in TABLE:
        raise socket.gaierror
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in TABLE[host]]


def looked_up(parameters: Mapping[str, str]) -> Mapping[str, str]:
    return with_addresses(parameters, time.monotonic() + 5, Cancellation())


@pytest.mark.requirement("postgres:stop:resolver")
@pytest.mark.parametrize(
    "same",
    [
        {"host": "/tmp"},
        {"host": "127.0.0.1,::1", "port": "1,2"},
        {"host": "one", "hostaddr": "10.9.9.9"},
    ],
)
def test_what_needs_no_resolver_asks_none(same: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it asked"))

    assert looked_up(same) == same


@pytest.mark.requirement("postgres:stop:resolver")
def test_every_address_of_every_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", known)

    assert looked_up({"host": "one,two,/tmp", "dbname": "d", "port": "1,2,3"}) == {
        "host": "one,two,two,/tmp",
        "hostaddr": "10.0.0.1,10.0.0.2,fd00::2,",
        "port": "1,2,2,3",
        "dbname": "d",
    }
    assert looked_up({"host": "two"})["port"] == "5432,5432"


@pytest.mark.requirement("postgres:stop:resolver")
@pytest.mark.parametrize("wrong", [{"host": "three"}, {"host": "one,two", "port": "1,2,3"}])
def test_a_name_without_an_address_is_gone(wrong: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", known)
    with pytest.raises(Gone):
        looked_up(wrong)


@pytest.mark.requirement("postgres:stop:resolver")
def test_a_resolver_that_hangs_holds_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    answering = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [answering.wait(30)][1:])
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    begun = time.monotonic()
    with pytest.raises(Over):
        with_addresses({"host": "one"}, begun + 30, cancellation)
    with pytest.raises(Over):
        with_addresses({"host": "one"}, time.monotonic() + 0.1, Cancellation())
    answering.set()

    assert time.monotonic() - begun < 2.0


@pytest.mark.requirement("postgres:stop:resolver")
def test_no_more_lookups_hang_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answering = threading.Semaphore(0), threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        asked.release()
        answering.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(resolver, "_PLACES", threading.BoundedSemaphore(2))
    for _ in range(2):
        with pytest.raises(Over):
            with_addresses({"host": "one"}, time.monotonic() + 0.1, Cancellation())
        assert asked.acquire(timeout=5)
    with pytest.raises(Gone):
        with_addresses({"host": "one"}, time.monotonic() + 30, Cancellation())
    answering.set()

    assert not asked.acquire(blocking=False)


@pytest.mark.requirement("postgres:stop:resolver")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("host", ["x" * 64 + ".example.com", "two..dots"])
def test_a_host_that_can_be_no_name_is_gone_at_once(host: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Gone):
        with_addresses({"host": host}, begun + 30, Cancellation())

    assert time.monotonic() - begun < 10.0
