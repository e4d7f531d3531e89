"""How can a receipt or a log be changed? The mutants of `mutate.py`, by kind."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import apsw

DASH: Final = "— ".encode()
LOW_ORDER: Final = bytes([1]) + bytes(31)
"""The neutral point: OpenSSL verifies one signature under it for every message."""


def vkey_of(name: str, public: bytes) -> str:
    """Return a verifier key line (C2SP signed-note)."""
    content = b"\x01" + public
    key_id = hashlib.sha256(name.encode() + b"\n" + content).digest()[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(content).decode()}"


def signature_line(vkey: str, signature: bytes) -> bytes:
    """Return a note's signature line."""
    name, key_id, _ = vkey.split("+", 2)
    return f"— {name} {base64.b64encode(bytes.fromhex(key_id) + signature).decode()}\n".encode()


def checkpoint_of(receipt: bytes) -> bytes:
    """Return a receipt's checkpoint, a signed note."""
    return receipt[receipt.index(b"\n\n") + 2 :]


def text_of(note: bytes) -> bytes:
    """Return a note's text, which is what is signed."""
    return note[: note.index(b"\n\n") + 1]


def tree_of(note: bytes) -> tuple[int, bytes]:
    """Return size and root of a checkpoint."""
    _, size, root = text_of(note).splitlines()
    return int(size), base64.b64decode(root)


def has_true_lines(note: bytes, true: bytes) -> bool:
    """Whether a note says what the true one says, under one of its lines at least and no false one in its keys' names.

    Lines of unknown keys may be there: C2SP signed-note says to ignore them.
    """
    lines, true_lines = (each[len(text_of(each)) + 1 :].splitlines() for each in (note, true))
    known = {_signer(line) for line in true_lines}
    return (
        text_of(note) == text_of(true)
        and any(line in true_lines for line in lines)
        and all(line in true_lines or _signer(line) not in known for line in lines)
    )


def _signer(line: bytes) -> tuple[bytes, bytes]:
    _, name, signature = line.split(b" ", 2)
    return name, base64.b64decode(signature)[:4]


def replaced_signature(receipt: bytes, line: bytes) -> bytes:
    """Return the receipt with another signature line."""
    return receipt[: receipt.rindex(DASH)] + line


# Receipts ------------------------------------------------------------------------------------------------------------


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Turn one bit."""
    changed = bytearray(content)
    changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def dropped(content: bytes, chance: random.Random) -> bytes:
    """Leave one byte out."""
    at = chance.randrange(len(content))
    return content[:at] + content[at + 1 :]


def doubled(content: bytes, chance: random.Random) -> bytes:
    """Write one byte twice."""
    at = chance.randrange(len(content))
    return content[:at] + content[at : at + 1] + content[at:]


def cut(content: bytes, chance: random.Random) -> bytes:
    """Cut the tail off."""
    return content[: chance.randrange(len(content))]


def _line(name: bytes, receipt: bytes) -> bytes:
    found = re.search(rb"^" + name + rb" .*$", receipt, re.MULTILINE)
    return found[0] if found else b""


def swapped_record(receipt: bytes, other: bytes) -> bytes:
    """Put another record in."""
    return receipt.replace(_line(b"extra", receipt), _line(b"extra", other), 1)


def swapped_index(receipt: bytes, other: bytes) -> bytes:
    """Claim another place."""
    return receipt.replace(_line(b"index", receipt), _line(b"index", other), 1)


def swapped_path(receipt: bytes, other: bytes) -> bytes:
    """Put another proof in."""

    def path(text: bytes) -> tuple[int, int]:
        return text.index(b"\n", text.index(b"\nindex ") + 1) + 1, text.index(b"\n\n") + 1

    (start, end), (from_, to) = path(receipt), path(other)
    return receipt[:start] + other[from_:to] + receipt[end:]


def swapped_checkpoint(receipt: bytes, other: bytes) -> bytes:
    """Put another checkpoint beneath."""
    return receipt[: receipt.index(b"\n\n")] + other[other.index(b"\n\n") :]


def swapped_last_line(note: bytes, other: bytes) -> bytes:
    """Put another tree's last signature line in; of a receipt or of a checkpoint."""
    return note[: note.rindex(DASH)] + other[other.rindex(DASH) :]


DAMAGE: Final[Mapping[str, Callable[[bytes, random.Random], bytes]]] = {
    "a bit turned": flipped,
    "a byte left out": dropped,
    "a byte doubled": doubled,
    "tail cut": cut,
}
SWAPS: Final[Mapping[str, Callable[[bytes, bytes], bytes]]] = {
    "record swapped": swapped_record,
    "index swapped": swapped_index,
    "proof swapped": swapped_path,
    "checkpoint swapped": swapped_checkpoint,
}


# Logs ----------------------------------------------------------------------------------------------------------------

BLOBS: Final = {
    "a bit of a record": ("leaves", "record"),
    "a bit of a leaf's hash": ("leaves", "hash"),
    "a bit of a payload": ("payloads", "ciphertext"),
    "a bit of a root": ("checkpoints", "root"),
    "a bit of a signature": ("checkpoints", "signature"),
    "a bit of the head's root": ("head", "root"),
}
AUDITED: Final = (
    "SELECT idx, hash, record FROM leaves ORDER BY idx",
    "SELECT id, ciphertext FROM payloads ORDER BY id",
    "SELECT size, root, signature FROM checkpoints ORDER BY size",
    "SELECT size, root FROM head",
)
"""All that an audit speaks of."""


def audited(log: Path) -> list[object] | None:
    """Return everything of a log that its audit speaks of; None if it cannot be read."""
    connection = apsw.Connection(str(log), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [list(connection.execute(query)) for query in AUDITED]
    except apsw.Error:
        return None
    finally:
        connection.close()


@contextlib.contextmanager
def _open(log: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(log), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        yield connection
    finally:
        connection.close()


def flip_blob(log: Path, table: str, column: str, chance: random.Random) -> None:
    """Turn one bit of one of a column's values."""
    with _open(log) as connection:
        rows = list(connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL"))  # noqa: S608 - our own names
        row, content = chance.choice(rows)
        statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608 - our own names
        connection.execute(statement, (flipped(bytes(content), chance), row))


def _leaf_cut_out(log: Path, chance: random.Random) -> None:
    with _open(log) as connection:
        connection.execute("DELETE FROM leaves WHERE idx = ?", (chance.randrange(_size(connection)),))


def _leaves_swapped(log: Path, chance: random.Random) -> None:
    with _open(log) as connection:
        one, two = chance.sample(range(_size(connection)), 2)
        for now, then in ((one, -1), (two, one), (-1, two)):
            connection.execute("UPDATE leaves SET idx = ? WHERE idx = ?", (then, now))


def _leaf_doubled(log: Path, chance: random.Random) -> None:
    with _open(log) as connection:
        size = _size(connection)
        copied = "INSERT INTO leaves SELECT ?, hash, NULL, record FROM leaves WHERE idx = ?"
        connection.execute(copied, (size, chance.randrange(size)))


def _tail_cut(log: Path, chance: random.Random) -> None:
    with _open(log) as connection:
        keep = chance.randrange(_size(connection))
        connection.execute("DELETE FROM leaves WHERE idx >= ?", (keep,))
        connection.execute("DELETE FROM payloads WHERE id >= ?", (keep * 8,))


def _payload_cut_out(log: Path, chance: random.Random) -> None:
    with _open(log) as connection:
        payload = chance.choice([row[0] for row in connection.execute("SELECT id FROM payloads")])
        connection.execute("DELETE FROM payloads WHERE id = ?", (payload,))


def _head_moved(log: Path, chance: random.Random) -> None:
    with _open(log) as connection:
        connection.execute("UPDATE head SET size = size + ?", (chance.choice((-3, -2, -1, 1, 2, 3)),))


def _signatures_taken_away(log: Path, _: random.Random) -> None:
    with _open(log) as connection:
        connection.execute("UPDATE checkpoints SET signature = NULL")


def _size(connection: apsw.Connection) -> int:
    return next(int(str(row[0])) for row in connection.execute("SELECT size FROM head"))


CHANGES: Final[Mapping[str, Callable[[Path, random.Random], None]]] = {
    "a leaf cut out": _leaf_cut_out,
    "two leaves swapped": _leaves_swapped,
    "a leaf doubled at the end": _leaf_doubled,
    "tail cut": _tail_cut,
    "a payload cut out": _payload_cut_out,
    "the head moved": _head_moved,
    "all signatures taken away": _signatures_taken_away,
}


def roll_back(log: Path, chance: random.Random) -> None:
    """Cut the log back to an earlier checkpoint, whole in itself."""
    with _open(log) as connection:
        size, root = chance.choice(list(connection.execute("SELECT size, root FROM checkpoints"))[:-1])
        connection.execute("UPDATE head SET size = ?, root = ?", (size, root))
        for statement in (
            "DELETE FROM leaves WHERE idx >= ?",
            "DELETE FROM payloads WHERE id >= ? * 8",
            "DELETE FROM checkpoints WHERE size > ?",
        ):
            connection.execute(statement, (size,))


def sign_anew(log: Path, sign: Callable[[int, str], bytes]) -> None:
    """Replace every signature; `sign` gets size and root of each checkpoint."""
    with _open(log) as connection:
        for size, root in list(connection.execute("SELECT size, root FROM checkpoints")):
            signature = sign(int(str(size)), base64.b64encode(bytes(root)).decode())
            connection.execute("UPDATE checkpoints SET signature = ? WHERE size = ?", (signature, size))
