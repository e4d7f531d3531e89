"""Is one exchange bounded in every way, and one connection the affair of one request?"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from http_cast import (
    ID,
    SECRET,
    Blunt,
    Papers,
    Target,
    Tool,
    connection_to,
    http_tool,
    make_papers,
    reply,
    saying,
)

from sandbox.deployment import Misconfigured
from sandbox.executors.http import HttpTools
from sandbox.outbound import resolver, wire
from sandbox.reasons import Fault, Reason, Refused
from sandbox.stages import Cancellation
from sandbox.toolspec import EnvSecret, HttpAuth, HttpTarget, ToolLimits

GRACE_S = 0.25
SMALL = ToolLimits(seconds=5, max_response_bytes=1000)
AUTH = HttpAuth("Authorization", "Bearer ", EnvSecret("CRM_TOKEN"))


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as started:
        yield started


def refusal_of(tool: Tool, cancellation: Cancellation | None = None) -> Refused:
    with pytest.raises(Refused) as refused:
        tool.call(cancellation)
    return refused.value


BAD = {
    "not-http": (b"SSH-2.0-OpenSSH_9.7\r\n", "response"),
    "no-status": (b"HTTP/1.1 OK\r\n\r\n", "response"),
    "http-0.9": (b"<html>\r\n", "response"),
    "long-line": (b"HTTP/1.1 200 " + b"x" * 70_000, "too_large"),
    "long-header": (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, "too_large"),
    "many-headers": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n", "response"),
    "endless-continue": (b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, "too_large"),
    "gzip": (reply(headers={"Content-Encoding": "gzip", "Content-Length": "9"}), "encoding"),
    "identity-and-br": (reply(headers={"Content-Encoding": "identity, br", "Content-Length": "9"}), "encoding"),
    "two-lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 4\r\n\r\n" + b'{"id": 1}', "response"),
    "chunked-and-length": (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n9\r\n{"id": 1}\r\n0\r\n\r\n',
        "response",
    ),
    "gzip-transfer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n9\r\n", "response"),
    "bad-chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx", "cut"),
}


@pytest.mark.requirement("http:response:whole")
@pytest.mark.parametrize(("said", "error"), BAD.values(), ids=BAD)
def test_what_is_no_plain_http_is_refused_by_a_fixed_word(said: bytes, error: str) -> None:
    with Target([saying(said)]) as target:
        refused = refusal_of(Tool(connection_to(target.port)))

    reasons = {"cut": Reason.EXECUTOR_UNAVAILABLE}
    assert (refused.reason, refused.metadata["error"]) == (reasons.get(error, Reason.HTTP_RESPONSE_INVALID), error)


@pytest.mark.requirement("http:response:whole")
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        reply(length=100),
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"id": 1}\r\n',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"id"',
    ],
    ids=["nothing", "half-a-head", "short-body", "no-last-chunk", "half-a-chunk"],
)
def test_half_an_answer_is_none(said: bytes) -> None:
    with Target([saying(said)]) as target:
        refused = refusal_of(Tool(connection_to(target.port)))

    assert refused.reason in {Reason.EXECUTOR_UNAVAILABLE, Reason.HTTP_RESPONSE_INVALID}
    assert refused.metadata["error"] in {"cut", "malformed"}


@pytest.mark.requirement("http:response:whole")
@pytest.mark.parametrize(
    "said",
    [
        b'HTTP/1.1 200 OK\r\n\r\n{"id": 1}',
        b'HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{"id": 1}',
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\n{"id": 1}',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n{"id\r\n5\r\n": 1}\r\n0\r\nA: b\r\n\r\n',
    ],
    ids=["until-the-end", "http-1.0", "continue", "chunks"],
)
def test_each_way_to_end_a_body_is_read(said: bytes) -> None:
    with Target([saying(said)]) as target:
        assert Tool(connection_to(target.port)).call().rows == ((1,),)


HUGE = b'{"id": 1, "x": "' + b"x" * 5_000 + b'"}'


@pytest.mark.requirement("http:response:cap")
@pytest.mark.parametrize(
    "said",
    [
        reply(HUGE),
        reply(length=10**12),
        b"HTTP/1.1 200 OK\r\n\r\n" + HUGE,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1;" + b"x" * 60_000 + b"\r\nx\r\n" + b"1\r\nx\r\n" * 2_000,
    ],
    ids=["length", "length-alone", "until-the-end", "chunks", "chunk-extensions"],
)
def test_a_body_over_the_cap_is_refused(said: bytes) -> None:
    with Target([saying(said)]) as target:
        refused = refusal_of(Tool(connection_to(target.port), http_tool(limits=SMALL)))

    assert (refused.reason, refused.rule) == (Reason.RESULT_TOO_LARGE, "limits/max-response-bytes")


@pytest.mark.requirement("http:response:cap")
def test_an_endless_body_is_left_at_the_cap(target: Target) -> None:
    target.behaviours = [target.drip(b"HTTP/1.1 200 OK\r\n\r\n", then=b"x" * 500)]

    refused = refusal_of(Tool(connection_to(target.port), http_tool(limits=SMALL)))

    assert refused.reason is Reason.RESULT_TOO_LARGE


@pytest.mark.requirement("http:response:cap")
def test_a_body_at_the_cap_is_taken() -> None:
    body = b'{"id": 1, "x": "' + b"x" * 982 + b'"}'
    with Target([saying(reply(body))]) as target:
        assert len(body) == SMALL.max_response_bytes
        assert Tool(connection_to(target.port), http_tool(limits=SMALL)).call().rows == ((1,),)


SLOW: dict[str, Callable[[Target], None]] = {
    "silent": lambda target: target.behaviours.__setitem__(0, target.hold),
    "head": lambda target: target.behaviours.__setitem__(0, target.drip(b"HTTP/1.1 200 OK\r\nA: ")),
    "body": lambda target: target.behaviours.__setitem__(0, target.drip(b"HTTP/1.1 200 OK\r\n\r\n", then=b" ")),
    "chunks": lambda target: target.behaviours.__setitem__(
        0, target.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", then=b"1\r\n \r\n")
    ),
}


@pytest.mark.requirement("http:limits:deadline")
@pytest.mark.parametrize("make_slow", SLOW.values(), ids=SLOW)
def test_one_deadline_ends_every_kind_of_waiting(make_slow: Callable[[Target], None], target: Target) -> None:
    make_slow(target)
    begun = time.monotonic()

    refused = refusal_of(Tool(connection_to(target.port), http_tool(limits=ToolLimits(seconds=0.3))))

    assert (refused.reason, refused.rule) == (Reason.EXECUTION_TIMED_OUT, "limits/seconds")
    assert 0.25 < time.monotonic() - begun < 0.3 + GRACE_S


@pytest.mark.requirement("http:limits:deadline")
@pytest.mark.parametrize("make_slow", SLOW.values(), ids=SLOW)
def test_cancelling_ends_every_kind_of_waiting(make_slow: Callable[[Target], None], target: Target) -> None:
    make_slow(target)
    assert_cancelled_at_once(Tool(connection_to(target.port)), target.arrived)


@pytest.mark.requirement("http:limits:deadline")
def test_the_end_that_cancelling_makes_is_not_the_end_of_a_body() -> None:
    cancellation = Cancellation()

    class Cut(socket.socket):
        """Takes the end of the stream for one more answer, as the kernel does once the line is cut."""

        def recv(self, size: int, flags: int = 0) -> bytes:
            piece = super().recv(size, flags)
            if b"HTTP" in piece:
                return piece
            cancellation.cancel()
            return b""

    with Target([saying(b"HTTP/1.1 200 OK\r\n\r\n")]) as target, pytest.MonkeyPatch().context() as patch:
        patch.setattr(wire, "socket", SimpleNamespace(**{**vars(socket), "socket": Cut}))
        refused = refusal_of(Tool(connection_to(target.port)), cancellation)

    assert refused.reason is Reason.CALL_CANCELLED


def assert_cancelled_at_once(tool: Tool, moment: threading.Event) -> None:
    cancellation, cancelled_at = Cancellation(), []

    def cancel() -> None:
        moment.wait(5)
        cancelled_at.append(time.monotonic())
        cancellation.cancel()

    other = threading.Thread(target=cancel)
    other.start()
    refused = refusal_of(tool, cancellation)
    ended = time.monotonic()
    other.join()

    assert refused.reason is Reason.CALL_CANCELLED
    assert ended - cancelled_at[0] < GRACE_S


class SlowNames:
    """A resolver that does not answer until it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()

    def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked.set()
        self.let_go.wait(30)
        return ["127.0.0.1"]


@pytest.fixture
def slow_names() -> Iterator[SlowNames]:
    names = SlowNames()
    yield names
    names.let_go.set()


@pytest.mark.requirement("http:limits:deadline")
def test_a_name_server_that_says_nothing_holds_nobody(slow_names: SlowNames, target: Target) -> None:
    assert_cancelled_at_once(Tool(connection_to(target.port, "crm.example.com"), resolve=slow_names), slow_names.asked)

    spec = http_tool(limits=ToolLimits(seconds=0.2))
    refused = refusal_of(Tool(connection_to(target.port, "crm.example.com"), spec, slow_names))

    assert refused.reason is Reason.EXECUTION_TIMED_OUT
    assert target.connections == 0


@pytest.mark.requirement("http:limits:deadline")
def test_more_names_than_can_be_asked_for_are_refused_and_not_queued(
    slow_names: SlowNames, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_PLACES", threading.BoundedSemaphore(1))
    spec = http_tool(limits=ToolLimits(seconds=0.2))
    tool = Tool(connection_to(target.port, "crm.example.com"), spec, slow_names)

    assert refusal_of(tool).reason is Reason.EXECUTION_TIMED_OUT  # its question is still under way
    assert refusal_of(tool).metadata["error"] == "resolve"
    assert Tool(connection_to(target.port), spec, slow_names).call().rows == ((1,),)  # an address asks nobody


@pytest.mark.requirement("http:limits:deadline")
def test_where_no_thread_can_be_had_the_name_is_not_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(resolver, "_PLACES", places)
    monkeypatch.setattr(threading.Thread, "start", no_thread)

    assert refusal_of(Tool(connection_to(target.port, "crm.example.com"))).metadata["error"] == "resolve"
    assert places.acquire(blocking=False)


@pytest.mark.requirement("http:limits:deadline")
def test_a_handshake_that_does_not_come_holds_nobody(tmp_path: Path) -> None:
    ca = make_papers(tmp_path).ca
    with Blunt(b"") as mute:
        spec = http_tool(limits=ToolLimits(seconds=0.3))
        assert refusal_of(Tool(connection_to(mute.port, ca=ca), spec)).reason is Reason.EXECUTION_TIMED_OUT
        mute.arrived.clear()
        assert_cancelled_at_once(Tool(connection_to(mute.port, ca=ca)), mute.arrived)


@pytest.mark.requirement("http:limits:deadline")
def test_a_host_that_does_not_take_connections_holds_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as waiting:
        waiting.connect(listener.getsockname())  # fills the backlog
        with socket.socket() as more:
            more.settimeout(0.1)
            more.connect_ex(listener.getsockname())
            spec = http_tool(limits=ToolLimits(seconds=0.3))
            refused = refusal_of(Tool(connection_to(listener.getsockname()[1]), spec))

    assert refused.reason is Reason.EXECUTION_TIMED_OUT


@pytest.mark.requirement("http:limits:deadline")
def test_the_callers_own_time_counts_and_one_cancelled_before_asks_nobody(target: Target) -> None:
    late, cancelled = Cancellation(time.monotonic() - 1), Cancellation()
    cancelled.cancel()

    assert refusal_of(Tool(connection_to(target.port)), late).reason is Reason.EXECUTION_TIMED_OUT
    assert refusal_of(Tool(connection_to(target.port)), cancelled).reason is Reason.CALL_CANCELLED
    assert target.connections == 0


@pytest.mark.requirement("http:unreachable:word")
def test_whoever_is_not_there_is_told_by_a_fixed_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.telemetry.events._often", {})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused = refusal_of(Tool(connection_to(port)))
    told = capsys.readouterr().err
    assert ("http target not reached" in told, '"causes": "connect"' in told) == (True, True)
    unknown = refusal_of(Tool(connection_to(port, "crm.invalid", networks=())))

    assert (refused.reason, refused.metadata["error"]) == (Reason.EXECUTOR_UNAVAILABLE, "connect")
    assert (unknown.reason, unknown.metadata["error"]) == (Reason.EXECUTOR_UNAVAILABLE, "resolve")
    assert "127.0.0.1" not in refused.message
    assert refused.retry_after_s == 1.0


@pytest.mark.requirement("http:connections:several")
def test_the_next_address_is_tried_where_one_takes_no_connection(target: Target) -> None:
    tool = Tool(connection_to(target.port, "crm.example.com"), resolve=lambda *_: ["127.0.0.9", "127.0.0.1"])

    assert tool.call().rows == ((1,),)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return make_papers(tmp_path)


def over_tls(target: Target, papers: Papers, host: str = "crm.example.com", auth: HttpAuth | None = None) -> Tool:
    connection = connection_to(target.port, host, ca=papers.ca, auth=auth)
    return Tool(connection, resolve=lambda *_: ["127.0.0.1"])


@pytest.mark.requirement("http:tls:verified")
def test_a_certificate_of_the_authority_for_the_host_is_taken(papers: Papers) -> None:
    with Target(tls=papers.server("crm.example.com")) as target:
        assert over_tls(target, papers).call().rows == ((1,),)
        assert target.names == ["crm.example.com"]
    with Target(tls=papers.server("127.0.0.1")) as target:
        assert over_tls(target, papers, "127.0.0.1").call().rows == ((1,),)


@pytest.mark.requirement("http:tls:verified")
@pytest.mark.parametrize("fault", ["other-name", "address-alone", "expired", "not-yet", "other-authority", "system"])
def test_any_other_certificate_is_refused_and_the_secret_not_sent(
    fault: str, papers: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TOKEN", SECRET)
    (tmp_path / "other").mkdir()
    server = {
        "other-name": lambda: papers.server("crm.example.org"),
        "address-alone": lambda: papers.server("127.0.0.1"),
        "expired": lambda: papers.server("crm.example.com", since=-3, days=-1),
        "not-yet": lambda: papers.server("crm.example.com", since=1, days=2),
        "other-authority": lambda: make_papers(tmp_path / "other").server("crm.example.com"),
        "system": lambda: papers.server("crm.example.com"),
    }[fault]()
    with Target(tls=server) as target:
        connection = connection_to(target.port, "crm.example.com", ca=papers.ca, auth=AUTH)
        if fault == "system":
            assert isinstance(connection.target, HttpTarget)
            connection = replace(connection, target=replace(connection.target, ca=None))
        refused = refusal_of(Tool(connection, resolve=lambda *_: ["127.0.0.1"]))

        assert (refused.reason, refused.metadata["error"]) == (Reason.EXECUTOR_UNAVAILABLE, "tls")
        assert target.requests == []


@pytest.mark.requirement("http:tls:verified")
def test_plain_http_is_not_taken_for_tls(papers: Papers) -> None:
    with Blunt(reply()) as plain:
        refused = refusal_of(Tool(connection_to(plain.port, ca=papers.ca)))

    assert (refused.reason, refused.metadata["error"]) == (Reason.EXECUTOR_UNAVAILABLE, "tls")


@pytest.mark.requirement("http:tls:verified")
def test_a_body_without_its_end_is_cut_over_tls(papers: Papers) -> None:
    def hang_up(line: socket.socket, _: bytes) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"id": 1}')
        socket.socket.shutdown(line, socket.SHUT_RDWR)  # without TLS's own farewell

    with Target([hang_up], papers.server("crm.example.com")) as target:
        refused = refusal_of(over_tls(target, papers))

    assert refused.metadata["error"] == "cut"


@pytest.mark.requirement("http:tls:ca")
def test_an_authority_that_cannot_be_read_stops_the_load(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    connection = connection_to(443, "crm.example.com", ca=tmp_path / "ca.pem")

    with pytest.raises(Misconfigured, match=r"\[crm\] the file of `ca` cannot be used"):
        HttpTools({"crm": connection}, [http_tool(columns=(ID,))])


def test_a_lease_of_another_kind_is_a_fault(target: Target) -> None:
    tool = Tool(connection_to(target.port))

    with pytest.raises(Fault):
        tool.tools.run(tool.plan(), SECRET, Cancellation())  # type: ignore[arg-type] - that is the point
