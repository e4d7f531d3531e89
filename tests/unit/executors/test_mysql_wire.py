"""Does a MariaDB server that hangs, floods, lies or asks for more than it should get nothing, and hold nobody?"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mariadb_server import Server, running
from mysql_cast import MysqlShop, made

from sandbox.executors import mysql_wire
from sandbox.executors.ending import Over
from sandbox.executors.mysql_packets import Malformed, length_at, read_column, read_greeting, read_row
from sandbox.executors.mysql_talk import Failed, Talk
from sandbox.executors.mysql_trouble import SENTENCES
from sandbox.executors.mysql_wire import Wire
from sandbox.executors.server_trouble import Gone, TooMuch, Trouble
from sandbox.leases import parse_mysql_dsn
from sandbox.reasons import Reason
from sandbox.stages import Cancellation

LOGIN = ("me", "sEcret", "shop")
GREETING = (
    b"\x0a10.11.18-MariaDB\0"
    + (7).to_bytes(4, "little")
    + b"abcdefgh\0"
    + (0xF7FE).to_bytes(2, "little")
    + b"\x2d\x02\0"
    + (0x81BF).to_bytes(2, "little")
    + b"\x15"
    + bytes(10)
    + b"ijklmnopqrst\0"
    + b"mysql_native_password\0"
)
OK = b"\0\0\0\x02\0\0\0"


def packet(payload: bytes, sequence: int) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload


Script = Callable[[socket.socket, list[bytes]], None]


@contextmanager
def answering(script: Script) -> Iterator[tuple[dict[str, str], list[bytes]]]:
    """Stand in a server's place, with one connection; hands out where, and what was heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            talking, _ = listening.accept()
            with talking:
                talking.settimeout(5)
                try:
                    script(talking, heard)
                    while said := talking.recv(65536):
                        heard.append(said)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield {"host": "127.0.0.1", "port": str(listening.getsockname()[1])}, heard
        thread.join(10)
        assert not thread.is_alive()


def says(*payloads: bytes) -> Script:
    """Greet, hear, and say each payload in turn."""

    def script(talking: socket.socket, heard: list[bytes]) -> None:
        for number, payload in enumerate(payloads):
            talking.sendall(packet(payload, 2 * number))
            if number < len(payloads) - 1:
                heard.append(talking.recv(65536))

    return script


def talk(place: dict[str, str], seconds: float = 1.0) -> Talk:
    return Talk(place, LOGIN, time.monotonic() + seconds, Cancellation())


@pytest.mark.requirement("mysql:trouble:told")
@pytest.mark.parametrize(
    "method", [b"mysql_clear_password", b"dialog", b"sha256_password", b"caching_sha2_password", b"mysql_old_password"]
)
def test_a_server_that_asks_for_the_password_itself_gets_none(method: bytes) -> None:
    asks = says(GREETING, b"\xfe" + method + b"\0abcdefghijklmnopqrst\0")
    with answering(asks) as (place, heard), pytest.raises(Gone) as caught:
        talk(place)

    assert (caught.value.trouble, caught.value.was_refused) == ("method", True)
    assert b"sEcret" not in b"".join(heard)


@pytest.mark.requirement("mysql:wire:hostile")
@pytest.mark.parametrize(
    ("payloads", "trouble"),
    [
        ([b""], "other"),
        ([b"\x09old\0"], "other"),
        ([GREETING[:40]], "other"),
        ([b"\xff\x10\x04#08004Too many connections"], "busy"),
        ([b"\xff\x6a\x04Host is not allowed"], "login"),
        ([GREETING, b"\xff\x15\x04#28000Access denied"], "login"),
        ([GREETING, b"\xff\x19\x04#42000Unknown database"], "database"),
        ([GREETING, b"\x01\x04"], "method"),
        ([bytes(2**20 + 1)], "other"),
        ([GREETING, b""], "other"),
        ([GREETING, bytes(2**20 + 1)], "other"),
        ([GREETING, b"\xfemysql_native_password\0abcdefghijklmnopqrst\0", b""], "other"),
        ([GREETING, OK, b"\xfb/etc/passwd"], "other"),
        ([GREETING, OK, b"\xff\x15\x04#28000x"], "other"),
        ([GREETING, OK, b"\x03"], "other"),
        ([GREETING, OK, b"\xfc\xff\xff"], "other"),
    ],
)
def test_a_server_that_lies_is_gone(payloads: Sequence[bytes], trouble: Trouble) -> None:
    with answering(says(*payloads)) as (place, heard), pytest.raises((Gone, Over)) as caught:
        talk(place, 0.3)

    assert isinstance(caught.value, Over) or caught.value.trouble == trouble
    assert b"root" not in b"".join(heard)


@pytest.mark.requirement("mysql:wire:hostile")
@pytest.mark.parametrize("payloads", [[], [GREETING], [GREETING, OK]])
def test_a_server_that_hangs_is_left_in_time(payloads: Sequence[bytes]) -> None:
    begun = time.monotonic()
    with answering(says(*payloads)) as (place, _), pytest.raises(Over):
        talk(place, 0.2)

    assert 0.2 <= time.monotonic() - begun < 1


@pytest.mark.requirement("mysql:wire:hostile")
def test_a_cancellation_ends_the_wait_for_a_server_that_hangs() -> None:
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    begun = time.monotonic()
    with answering(says(GREETING)) as (place, _), pytest.raises(Over):
        Talk(place, LOGIN, begun + 30, cancellation)

    assert time.monotonic() - begun < 1


@pytest.mark.requirement("mysql:wire:hostile")
def test_a_flood_is_never_held() -> None:
    def flood(talking: socket.socket, heard: list[bytes]) -> None:
        says(GREETING, OK)(talking, heard)
        for _ in range(64):
            talking.sendall(b"\xff\xff\xff\0" + bytes(2**20))

    with answering(flood) as (place, _):
        wire = Wire(place, LOGIN, time.monotonic() + 2, Cancellation())
        with pytest.raises(TooMuch):
            wire.packet()
        wire.close()


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Hold a second address where nobody takes a connection, and nobody refuses one."""
    with socket.create_server(("127.0.0.2", port), backlog=0), ExitStack() as stack:
        for _ in range(2):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            with suppress(BlockingIOError):
                filling.connect(("127.0.0.2", port))
        yield


@pytest.mark.requirement("mysql:wire:hostile")
def test_an_address_that_is_silent_keeps_nobody_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_wire, "addresses_of", lambda *_: ["127.0.0.2", "127.0.0.1"])
    with answering(says(GREETING, OK)) as (place, _), silent(int(place["port"])):
        begun = time.monotonic()
        Wire(place, LOGIN, begun + 1, Cancellation()).close()

    assert 0.5 <= time.monotonic() - begun < 1


class Addresses(list[str]):
    """Two addresses, between which a descriptor becomes free: the second's socket is not the first's number."""

    def __iter__(self) -> Iterator[str]:
        lower = os.dup(0)
        yield self[0]
        os.close(lower)
        yield self[1]


@pytest.mark.requirement("mysql:wire:hostile")
def test_waiting_costs_nothing_after_an_address_that_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_wire, "addresses_of", lambda *_: Addresses(["127.0.0.2", "127.0.0.1"]))
    with answering(says()) as (place, _), silent(int(place["port"])):
        begun = time.thread_time()
        with pytest.raises(Over):
            talk(place, 0.5)

        assert time.thread_time() - begun < 0.1


@pytest.mark.requirement("mysql:wire:hostile")
@pytest.mark.parametrize("garbage", [b"", b"\xfb", b"\xfe\x01", b"\x05ab", b"\xff" * 40, bytes(4)])
def test_packets_that_are_none_are_malformed(garbage: bytes) -> None:
    for read in (read_greeting, read_column, lambda packet: read_row(packet, 7)):
        with pytest.raises(Malformed):
            read(garbage)


@pytest.mark.requirement("mysql:wire:hostile")
@pytest.mark.parametrize(
    ("packet", "found"),
    [(b"\x07", (7, 1)), (b"\xfc\1\2", (513, 3)), (b"\xfd\1\0\1", (65537, 4)), (b"\xfe\1" + bytes(7), (1, 9))],
)
def test_lengths_are_read_in_every_width(packet: bytes, found: tuple[int, int]) -> None:
    assert length_at(packet, 0) == found


@pytest.fixture(scope="module")
def shop(mariadb: Server, tmp_path_factory: pytest.TempPathFactory) -> MysqlShop:
    return made(mariadb, tmp_path_factory.mktemp("shop"), "wired")


@pytest.mark.requirement("mysql:trouble:told")
@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (("looks_only:looks", "looks_only:other"), "login"),
        (("looks_only:looks", "nobody:looks"), "login"),
        (("/wired", "/nowhere"), "database"),
        (("@127.0.0.1:", "@127.0.0.1:1"), "connect"),
        (("127.0.0.1", "db.invalid"), "resolve"),
        (("/wired", "/wired?ssl-mode=verify_identity"), "tls"),
        (("/wired", "/wired?socket=/nowhere"), "connect"),
    ],
)
def test_operators_are_told_which_step_fails(shop: MysqlShop, change: tuple[str, str], trouble: Trouble) -> None:
    text = shop.server.url("wired", user="looks_only", password="looks").replace(*change)
    if trouble == "connect":
        text = text.replace(f":1{shop.server.port}/", ":1/")
    if trouble == "resolve":
        text += "?ssl-mode=disabled"
    dsn = parse_mysql_dsn(text)
    login = (dsn.user, "" if dsn.password is None else dsn.password.reveal(), dsn.server.parameters["database"])
    with pytest.raises(Gone) as caught:
        Talk(dsn.server.parameters, login, time.monotonic() + 5, Cancellation())

    assert caught.value.trouble == trouble
    assert trouble in SENTENCES


@pytest.mark.requirement("mysql:trouble:told")
def test_agents_are_told_nothing_of_the_server(shop: MysqlShop) -> None:
    shop.server.ask(f"ALTER USER {shop.shape.login}@'%' IDENTIFIED BY 'another'")
    refused = shop.refusal("SELECT 1")
    shop.executor.close()
    shop.set_up()

    assert refused.reason is Reason.EXECUTOR_UNAVAILABLE
    for word in ("127.0.0.1", str(shop.server.port), "password", "Access denied"):
        assert word not in refused.message


def certificates(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself and its key; `name` is whom it is for."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name[0].isdigit():
        names = [x509.IPAddress(ipaddress.ip_address(name))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    private.chmod(0o644)  # the server's user reads it
    return cert, private


@pytest.mark.requirement("mysql:wire:tls")
def test_tls_is_spoken_with_certificate_and_name_checked() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # where the server's user may look, which is another
        folder = Path(name)
        folder.chmod(0o755)
        cert, key = certificates(folder / "good", "127.0.0.1")
        other, _ = certificates(folder / "other", "127.0.0.1")
        check_tls(cert, key, other)


def check_tls(cert: Path, key: Path, other: Path) -> None:
    with running(f"--ssl-cert={cert}", f"--ssl-key={key}", "--require-secure-transport=1") as server:
        login = (server.user, server.password, "mysql")
        place = {"host": "127.0.0.1", "port": str(server.port), "ssl-mode": "verify_identity"}

        def tried(**more: str) -> Talk:
            return Talk({**place, **more}, login, time.monotonic() + 5, Cancellation())

        spoken = tried(**{"ssl-ca": str(cert)})
        ((_, cipher),) = spoken.ask("SHOW STATUS LIKE 'Ssl_cipher'")
        ((many,),) = spoken.ask("SELECT REPEAT('x', 1000000)")
        spoken.wire.close()
        assert cipher
        assert many == "x" * 1_000_000
        for wrong in ({"ssl-ca": str(other)}, {}, {"ssl-ca": str(cert), "host": "localhost"}):
            with pytest.raises(Gone) as caught:
                tried(**wrong)
            assert caught.value.trouble == "tls"
        with pytest.raises(Gone):
            tried(**{"ssl-mode": "disabled"})


@pytest.mark.requirement("mysql:wire:tls")
def test_a_socket_is_spoken_to_as_well(shop: MysqlShop) -> None:
    if shop.server.folder is None:
        pytest.skip("the server that the environment names has no socket that is known")
    path = str(shop.server.folder / "socket")
    spoken = Talk(
        {"socket": path, "host": "localhost"}, ("looks_only", "looks", "wired"), time.monotonic() + 5, Cancellation()
    )
    with pytest.raises(Failed):
        spoken.ask("SELECT * FROM orders")
    assert spoken.ask("SELECT 1") == [("1",)]
    spoken.wire.close()
