"""Targets that speak HTTP, well or badly, and tools that ask them; a name server that changes its mind."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.executors.engine import Fetched
from sandbox.executors.http import HttpTools
from sandbox.leases import CallBounds, Leases, Subject
from sandbox.outbound.wire import Resolve, system_resolve
from sandbox.stages import Cancellation, HttpPlan
from sandbox.toolspec import (
    NO_SQL,
    Argument,
    BodyTemplate,
    Connection,
    Digest,
    HttpAuth,
    HttpCeiling,
    HttpExchange,
    HttpMethod,
    HttpRequest,
    HttpResponse,
    HttpTarget,
    OAuth,
    PickedColumn,
    ToolLimits,
    ToolName,
    ToolSpec,
)
from sandbox.values import JsonValue

Behaviour = Callable[[socket.socket, bytes], None]
"""What a target does with a connection once it has read a request."""

SECRET = "s3cret-0451-token"
LOOPBACK = ("127.0.0.0/8",)
ID = PickedColumn(name="id", at=("id",), type="integer", is_required=True)


def reply(
    body: bytes = b'{"id": 1}',
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> bytes:
    """Return a whole response."""
    given = {"Content-Length": str(len(body) if length is None else length)} if headers is None else dict(headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


def saying(*pieces: bytes) -> Behaviour:
    """Answer with these bytes and hang up."""

    def answer(line: socket.socket, _: bytes) -> None:
        for piece in pieces:
            line.sendall(piece)

    return answer


def read_request(line: socket.socket) -> bytes:
    """Return one whole request; what has come if the other side hangs up."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = line.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    wanted = next((int(h[15:]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), 0)
    while len(body) < wanted and (piece := line.recv(65536)):
        body += piece
    return head + b"\r\n\r\n" + body


@dataclass
class Target:
    """A server on loopback that counts and remembers; each connection meets the next behaviour, the last one stays."""

    behaviours: list[Behaviour] = field(default_factory=lambda: [saying(reply())])
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    """Server names that TLS clients asked for."""
    arrived: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: whoever holds a connection lets it go."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.host, self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        if self.tls is not None:
            self.tls.sni_callback = lambda _, name, __: self.names.append(name)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            behaviour = self.behaviours[min(number, len(self.behaviours) - 1)]
            threading.Thread(target=self._meet, args=(line, behaviour), daemon=True).start()

    def _meet(self, line: socket.socket, behaviour: Behaviour) -> None:
        try:
            if self.tls is not None:
                line = self.tls.wrap_socket(line, server_side=True)
            with line:
                request = read_request(line)
                if request:
                    self.requests.append(request)
                    self.arrived.set()
                    behaviour(line, request)
        except OSError:
            line.close()

    def hold(self, _line: socket.socket, _request: bytes) -> None:
        """Say nothing until the test is over."""
        self.over.wait(30)

    def drip(self, piece: bytes, *, then: bytes = b"x") -> Behaviour:
        """Say `piece`, then `then` again and again, slowly."""

        def answer(line: socket.socket, _: bytes) -> None:
            line.sendall(piece)
            while not self.over.wait(0.02):
                line.sendall(then)

        return answer


@dataclass
class Blunt:
    """A server that says the same to everybody before it is asked, and holds the connection."""

    said: bytes
    arrived: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._held: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._held:
            line.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
                self._held.append(line)
                line.sendall(self.said)
            except OSError:
                return
            self.arrived.set()


@dataclass
class Listener:
    """Something that must not be reached: it counts whoever comes."""

    host: str = "127.0.0.1"
    port: int = 0
    reached: int = 0

    def __enter__(self) -> Self:
        self._socket = socket.create_server((self.host, self.port))
        self.port = self._socket.getsockname()[1]
        self._socket.settimeout(0)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def count(self) -> int:
        """Return how many have come so far."""
        while True:
            try:
                line, _ = self._socket.accept()
            except BlockingIOError:
                return self.reached
            line.close()
            self.reached += 1


def connection_to(
    port: int,
    host: str = "127.0.0.1",
    *,
    networks: Sequence[str] = LOOPBACK,
    auth: HttpAuth | OAuth | None = None,
    ca: Path | None = None,
    prefix: str = "",
    ceiling: HttpCeiling | None = None,
    name: str = "crm",
) -> Connection:
    """Return a connection; HTTPS if it names an authority."""
    target = HttpTarget(
        scheme="http" if ca is None else "https",
        host=host,
        port=port,
        prefix=prefix,
        auth=auth,
        networks=tuple(networks),
        ca=None if ca is None else str(ca),
        ceiling=ceiling or HttpCeiling(None, None),
    )
    return Connection(name=name, engine="http", target=target, ceiling=NO_SQL, digest=Digest("d" * 64))


def http_tool(
    *,
    method: HttpMethod = "GET",
    path: tuple[str | Argument, ...] = ("things",),
    query: tuple[tuple[str, str | Argument], ...] = (),
    headers: tuple[tuple[str, str], ...] = (),
    body: BodyTemplate = None,
    is_idempotent: bool = False,
    statuses: tuple[int, ...] = (200,),
    rows: tuple[str, ...] = (),
    columns: tuple[PickedColumn, ...] = (ID,),
    limits: ToolLimits | None = None,
    connection: str = "crm",
    scopes: tuple[str, ...] = (),
) -> ToolSpec:
    """Return a tool of kind `http`."""
    request = HttpRequest(
        method=method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        is_idempotent=is_idempotent,
        scopes=scopes,
    )
    return ToolSpec(
        name=ToolName("crm.thing"),
        version="1.0.0",
        owner="crm",
        summary="A thing.",
        use_when="",
        kind="http",
        effects="read" if method in {"GET", "HEAD"} else "write",
        connection=connection,
        input_schema={"type": "object"},
        sql_argument=None,
        statement=None,
        tables={},
        limits=limits or ToolLimits(seconds=5),
        examples=(),
        file="crm.thing.yaml",
        source=b"",
        digest=Digest("0" * 64),
        http=HttpExchange(request, HttpResponse(statuses=statuses, rows=rows, columns=columns)),
    )


class Tool:
    """One tool on one connection, called without the rest of the house."""

    def __init__(self, connection: Connection, spec: ToolSpec | None = None, resolve: Resolve = system_resolve) -> None:
        self.spec = spec or http_tool()
        self.connection = connection
        self.tools = HttpTools({connection.name: connection}, [self.spec], resolve)

    def plan(self, **arguments: JsonValue) -> HttpPlan:
        return self.tools.plan(self.spec.name, arguments)

    def call(self, cancellation: Cancellation | None = None, **arguments: JsonValue) -> Fetched:
        assert self.spec.http is not None
        with Leases({self.connection.name: self.connection}, Path("no key")).lend_http(
            self.connection.name, self.spec.http.request.scopes, Subject("alice", ()), CallBounds()
        ) as lease:
            return self.tools.run(self.plan(**arguments), lease, cancellation or Cancellation())


class NameServer:
    """A name server on UDP: each question about A records gets the next answer, the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            if not question:
                return
            addresses = self.answers[min(self.asked, len(self.answers) - 1)]
            self.asked += 1
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
            records = b"".join(
                b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(each) for each in addresses
            )
            self._socket.sendto(head + question[12:] + records, asker)

    def resolve(self, host: str, _: int) -> Sequence[str]:
        """Ask this server, as a stub resolver does."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
        question = b"\x04\x51" + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.sendto(question, self.address)
            answer = asking.recv(512)
        count = struct.unpack(">H", answer[6:8])[0]
        records = answer[len(question) :]
        return [socket.inet_ntoa(records[16 * i + 12 : 16 * i + 16]) for i in range(count)]


@dataclass(frozen=True)
class Papers:
    """A private authority, and certificates from it."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def ca(self) -> Path:
        """The authority's certificate as a file."""
        path = self.folder / "ca.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def server(self, *names: str, days: int = 1, since: int = -1) -> ssl.SSLContext:
        """Return a server's context with a certificate for these names, valid from `since` to `days`."""
        key = ec.generate_private_key(ec.SECP256R1())
        sans = [_san(name) for name in names]
        certificate = _certificate("server", key, "authority", self.key, since, days, x509.SubjectAlternativeName(sans))
        pem = self.folder / f"server-{certificate.serial_number}.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


def make_papers(folder: Path) -> Papers:
    """Return a new authority that keeps its files in `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    rights = x509.BasicConstraints(ca=True, path_length=0)
    return Papers(folder, key, _certificate("authority", key, "authority", key, -1, 1, rights))


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(  # noqa: PLR0917 - facts of a certificate
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    since: int,
    days: int,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=since))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())
