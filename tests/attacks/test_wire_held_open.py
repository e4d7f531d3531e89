"""Can strangers keep the service from others with connections, handshakes or messages that never come to an end?

Over the real command: what it holds and how much memory it takes is read from outside.
"""

from __future__ import annotations

import resource
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from several import Several, make_deployment, serve
from wire_by_hand import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PREFACE,
    RESET,
    SETTINGS,
    block,
    context,
    frame,
    frames,
    headers,
    reached,
)

from sandbox.client import Refusal, Result

CONNECTIONS = 1_000
FILES = CONNECTIONS + 500
MOST_KIB_EACH = 128
MOST_KIB = 32 * 1024
ENDLESS = 4_000
ANSWERED_WITHIN_S = 10.0
CLIENT_HELLO_BEGUN = bytes.fromhex("16 03 01 02 00 01 00 01 fc 03 03")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < FILES:
        pytest.skip(f"needs {FILES} open files, and this machine allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    with serve(make_deployment(tmp_path_factory.mktemp("held") / "shop"), workers=1) as running:
        yield running
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def kib(service: Several) -> int:
    """Return the memory that the process itself wrote."""
    lines = Path(f"/proc/{service.process.pid}/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def assert_others_are_served(service: Several) -> None:
    begun = monotonic()
    with service.client() as client:
        assert isinstance(client.call("many.order", {"id": 1}, timeout_s=ANSWERED_WITHIN_S), Result)
    assert monotonic() - begun < ANSWERED_WITHIN_S


@pytest.mark.requirement("doors:wire:idle-connections")
def test_a_thousand_idle_connections_keep_nobody_out(service: Several) -> None:
    assert_others_are_served(service)
    before, agent = kib(service), context(service.deployment)
    with ExitStack() as open_ones:
        for _ in range(CONNECTIONS):
            plain = open_ones.enter_context(reached(service.address))
            open_ones.enter_context(agent.wrap_socket(plain, server_hostname="localhost"))
        assert_others_are_served(service)
        assert kib(service) - before < CONNECTIONS * MOST_KIB_EACH
    assert_others_are_served(service)
    assert service.process.poll() is None


@pytest.mark.requirement("doors:wire:half-open")
@pytest.mark.parametrize("said", [b"", CLIENT_HELLO_BEGUN, b"GET / HTTP/1.1\r\n"], ids=["nothing", "begun", "no-tls"])
def test_handshakes_that_are_never_finished_keep_nobody_out(service: Several, said: bytes) -> None:
    before = kib(service)
    with ExitStack() as open_ones:
        for _ in range(CONNECTIONS // 5):
            open_ones.enter_context(reached(service.address)).sendall(said)
        assert_others_are_served(service)
        assert kib(service) - before < CONNECTIONS // 5 * MOST_KIB_EACH
    assert service.process.poll() is None


@pytest.fixture
def line(service: Several) -> Iterator[ssl.SSLSocket]:
    with (
        reached(service.address) as plain,
        context(service.deployment).wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(PREFACE + frame(SETTINGS, b""))
        yield secure


def is_ended(line: ssl.SSLSocket) -> bool:
    """Whether the service ends the call, or the connection."""
    return any(kind == GOAWAY or (kind in {HEADERS, RESET} and stream == 1) for kind, stream in frames(line))


@pytest.mark.requirement("doors:wire:endless-message")
def test_a_message_that_claims_four_gib_is_refused_before_it_comes(service: Several, line: ssl.SSLSocket) -> None:
    before = kib(service)
    line.sendall(headers(service.deployment))
    line.sendall(frame(DATA, b"\x00" + struct.pack(">I", 2**32 - 1) + bytes(16_000), stream=1))

    assert is_ended(line)
    assert kib(service) - before < MOST_KIB
    assert_others_are_served(service)


@pytest.mark.requirement("doors:wire:slow-message")
def test_a_message_that_never_ends_is_left_at_its_deadline(service: Several, line: ssl.SSLSocket) -> None:
    line.sendall(headers(service.deployment, ("grpc-timeout", "300m")))
    line.sendall(frame(DATA, b"\x00" + struct.pack(">I", 1_000) + b"x", stream=1))

    assert is_ended(line)
    assert_others_are_served(service)


@pytest.mark.requirement("doors:wire:endless-headers")
def test_headers_without_end_are_not_kept(service: Several, line: ssl.SSLSocket) -> None:
    before = kib(service)
    line.sendall(frame(HEADERS, block([(":method", "POST")]), stream=1))
    for number in range(ENDLESS):
        line.sendall(frame(CONTINUATION, block([(f"x-{number}", "x" * 15_000)]), stream=1))

    assert kib(service) - before < MOST_KIB < ENDLESS * 15
    assert_others_are_served(service)


DEEP = 10_000


@pytest.mark.requirement("doors:wire:deep")
@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("many.order", b'{"id":' + b"[" * DEEP + b"]" * DEEP + b"}", "ARGUMENT_INVALID"),
        ("many.order", b'{"id":' * DEEP + b"1" + b"}" * DEEP, "ARGUMENT_INVALID"),
        ("many.query", b'{"sql":"SELECT ' + b"(" * DEEP + b"1" + b")" * DEEP + b'"}', "SQL_UNPARSABLE"),
        ("many.query", b'{"sql":"SELECT ' + b"NOT " * DEEP + b'1"}', "SQL_UNPARSABLE"),
        ("many.query", b'{"sql":"' + b"SELECT * FROM (" * 3_000 + b"SELECT 1" + b")" * 3_000 + b'"}', "SQL_UNPARSABLE"),
    ],
    ids=["lists", "objects", "parentheses", "operators", "queries"],
)
def test_what_is_ten_thousand_deep_is_one_sentence(service: Several, tool: str, arguments: bytes, reason: str) -> None:
    with service.client() as client:
        answer = client.call(tool, arguments)

    assert isinstance(answer, Refusal)
    assert answer.reason == reason
    assert 0 < len(answer.message) < 300
    assert "\n" not in answer.message
    assert answer.receipt is not None
    assert service.process.poll() is None
