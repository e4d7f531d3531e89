"""HTTP/2 written by hand over mutual TLS: requests that no client library would send."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from sandbox.deployment import Deployment

EXECUTE: Final = "/sandbox.v1.ToolExecutionService/Execute"
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_HEADERS: Final = 4


def context(deployment: Deployment, name: str = "agent") -> ssl.SSLContext:
    """Return what a client of the house brings to the handshake."""
    made = ssl.create_default_context(cafile=str(deployment.pki / "ca.pem"))
    made.load_cert_chain(deployment.pki / f"clients/{name}.pem", deployment.pki / f"clients/{name}.key")
    made.set_alpn_protocols(["h2"])
    return made


def reached(address: str) -> socket.socket:
    """Open a connection, and say nothing yet."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def frame(kind: int, payload: bytes, *, flags: int = 0, stream: int = 0) -> bytes:
    """Return one frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(deployment: Deployment, *more: tuple[str, str]) -> bytes:
    """Return the header frame of a call as the agent."""
    token = (deployment.tokens / "agent.jwt").read_text("ascii").strip()
    fields = [(":method", "POST"), (":scheme", "https"), (":path", EXECUTE), (":authority", "localhost")]
    fields += [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", f"Bearer {token}"), *more]
    return frame(HEADERS, block(fields), flags=END_HEADERS, stream=1)


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return header fields, each a literal (RFC 7541, section 6.2.2)."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def _text(text: str) -> bytes:
    """Return a text with its length before it (RFC 7541, section 5.1: seven bits, and then the rest)."""
    raw, rest = text.encode("ascii"), b""
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    left = len(raw) - 127
    while left >= 128:
        rest += bytes([left % 128 | 128])
        left //= 128
    return b"\x7f" + rest + bytes([left]) + raw


def frames(line: ssl.SSLSocket) -> Iterator[tuple[int, int]]:
    """Yield kind and stream of each frame that comes, until the other side hangs up."""
    heard = b""
    while piece := line.recv(65536):
        heard += piece
        while len(heard) >= 9 and len(heard) >= 9 + (length := int.from_bytes(heard[:3])):
            yield heard[3], int.from_bytes(heard[5:9])
            heard = heard[9 + length :]
