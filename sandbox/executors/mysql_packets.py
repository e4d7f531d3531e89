"""How are a MariaDB server's packets read, and a login's answers written? Pure: bytes to facts and back.

https://mariadb.com/kb/en/clientserver-protocol/
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple, final

NATIVE: Final = b"mysql_native_password"
"""The one way in which a password is proven: by a challenge, so that whoever answers in the server's place learns
none."""
UTF8MB4: Final = 45
"""`utf8mb4_general_ci`, as the greeting names it; `SET NAMES` follows."""
_SSL: Final = 0x800
_CAPABILITIES: Final = 0x1 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
"""LONG_PASSWORD, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH.

# INVARIANT: neither MULTI_STATEMENTS, so that a text is one statement, nor LOCAL_FILES, so that no server asks for one
of our files.
"""
SCRIPTS: Final = 0x10000 | 0x20000
"""MULTI_STATEMENTS and MULTI_RESULTS: for whoever runs an administrator's scripts, which no executor does."""
_MAX_PACKET: Final = 2**24
_NULL: Final = 0xFB


class Malformed(Exception):
    """A packet is not what the protocol says."""


class Greeting(NamedTuple):
    """How a server begins."""

    challenge: bytes
    speaks_tls: bool


@final
class ColumnOf(NamedTuple):
    """One column of a result, as the server describes it."""

    name: str
    charset: int
    length: int
    kind: int
    flags: int
    decimals: int


def read_greeting(packet: bytes) -> Greeting:
    """Read the first packet of a server; raises `Malformed`."""
    try:
        at = packet.index(0, 1) + 5  # version, connection id
        capabilities = (
            int.from_bytes(packet[at + 9 : at + 11], "little") | (packet[at + 14] | packet[at + 15] << 8) << 16
        )
        challenge = packet[at : at + 8] + packet[at + 27 : at + 39]
    except (ValueError, IndexError) as error:
        raise Malformed from error
    if packet[0] != 10 or len(challenge) != 20 or _CAPABILITIES & ~capabilities & ~0x1:
        raise Malformed
    return Greeting(challenge, bool(capabilities & _SSL))


def tls_request() -> bytes:
    """Ask the server to speak TLS from here on."""
    return _opening(_CAPABILITIES | _SSL)


def login_packet(  # noqa: PLR0913 - what a login says
    user: str, password: str, database: str, challenge: bytes, *, speaks_tls: bool, more: int = 0
) -> bytes:
    """Say who logs in, to which database, with the password proven; `more` is what else the client can do."""
    proof = native_proof(password, challenge)
    said = [user.encode() + b"\0", bytes([len(proof)]) + proof, database.encode() + b"\0", NATIVE + b"\0"]
    return _opening(_CAPABILITIES | more | (_SSL if speaks_tls else 0)) + b"".join(said)


def native_proof(password: str, challenge: bytes) -> bytes:
    """Prove a password to whoever has its verifier, `SHA1(SHA1(password))`, and to nobody else."""
    if not password:
        return b""
    once = hashlib.sha1(password.encode()).digest()  # noqa: S324 - MariaDB's own way
    mask = hashlib.sha1(challenge + hashlib.sha1(once).digest()).digest()  # noqa: S324 - the same
    return bytes(one ^ other for one, other in zip(once, mask, strict=True))


def _opening(capabilities: int) -> bytes:
    return capabilities.to_bytes(4, "little") + _MAX_PACKET.to_bytes(4, "little") + bytes([UTF8MB4]) + bytes(23)


def error_number(packet: bytes) -> int:
    """Return the number of an error's packet; none of its words is kept."""
    return int.from_bytes(packet[1:3], "little")


def read_column(packet: bytes) -> ColumnOf:
    """Read the description of a column; raises `Malformed`."""
    at = 0
    texts = []
    for _ in range(6):  # catalog, schema, table, original table, name, original name
        size, at = length_at(packet, at)
        texts.append(packet[at : at + size])
        at += size
    fixed = packet[at + 1 : at + 11]
    if len(fixed) != 10:
        raise Malformed
    return ColumnOf(
        name=texts[4].decode("utf-8", "replace"),
        charset=int.from_bytes(fixed[0:2], "little"),
        length=int.from_bytes(fixed[2:6], "little"),
        kind=fixed[6],
        flags=int.from_bytes(fixed[7:9], "little"),
        decimals=fixed[9],
    )


def read_row(packet: bytes, count: int) -> list[bytes | None]:
    """Take a row apart into its texts; raises `Malformed`."""
    cells: list[bytes | None] = []
    at = 0
    for _ in range(count):
        first = packet[at] if at < len(packet) else 0xFF
        if first == _NULL:
            cells.append(None)
            at += 1
            continue
        if first < _NULL:
            size, at = first, at + 1
        else:
            size, at = length_at(packet, at)
        cells.append(packet[at : at + size])
        at += size
    if at != len(packet):
        raise Malformed
    return cells


def length_at(packet: bytes, at: int) -> tuple[int, int]:
    """Return the length-encoded integer at a place, and the place after it; raises `Malformed`."""
    first = packet[at] if at < len(packet) else 0xFF
    if first < _NULL:
        return first, at + 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not width or at + 1 + width > len(packet):
        raise Malformed
    return int.from_bytes(packet[at + 1 : at + 1 + width], "little"), at + 1 + width
