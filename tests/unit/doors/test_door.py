"""Does the door take what is renewed, and leave nothing behind when it closes?"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from identity_kit import make_kit

from sandbox.doors.rpc import server
from sandbox.doors.rpc.server import tls_credentials
from sandbox.doors.rpc.standard import ReflectionRoom
from sandbox.identity.enrolment import renew_server
from sandbox.presence import taken

requirement = pytest.mark.requirement
Newer = Callable[[], object]


@requirement("doors:certificates:renewal")
def test_a_certificate_that_cannot_be_read_at_first_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = make_kit(tmp_path)
    asked: list[Newer] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda _, newer, **__: asked.append(newer))
    tls_credentials(kit.deployment)
    (newer,) = asked
    assert newer() is None
    certificate = kit.deployment.pki / "server.pem"
    renewed = renew_server(kit.deployment)
    read, failures = Path.read_bytes, [OSError("not yet")]

    def read_bytes(path: Path) -> bytes:
        if path == certificate and failures:
            raise failures.pop()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(server.grpc, "ssl_server_certificate_configuration", lambda pairs, **_: pairs[0][1])
    with pytest.raises(OSError, match="not yet"):
        newer()
    assert newer() == renewed
    assert newer() is None


@requirement("doors:standard:ends")
def test_a_closed_room_for_reflection_lets_its_threads_go() -> None:
    def reflect(questions: Iterator[object], _: object) -> Iterator[object]:
        yield from questions

    room = ReflectionRoom(reflect, 10)
    assert list(room.answers("alice", iter(["one"]), None)) == ["one"]  # type: ignore[arg-type]
    room.holders.submit(str).result(10)
    threads = [*room.holders._threads, *room._readers._threads]
    room.close()
    for thread in threads:
        thread.join(10)
    assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)


@requirement("doors:listen:why")
def test_an_address_that_cannot_be_taken_is_told_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        in_use = str(taken("HOST:PORT", server._why_not("127.0.0.1", port)))

    assert in_use.endswith(" cannot be taken: address already in use; another program has it; port 0 takes a free one")
    nobody_s = server._why_not("192.0.2.1", 7443)  # TEST-NET-1, RFC 5737
    assert str(taken("HOST:PORT", nobody_s)).endswith(" cannot be taken: cannot assign requested address")
