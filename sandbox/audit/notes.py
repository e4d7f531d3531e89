"""Who signed what? The verifier's own reading of C2SP signed notes, verifier keys and checkpoints.

https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-cosignature
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

ED25519: Final = 1
COSIGNATURE: Final = 4
"""Timestamped Ed25519 cosignatures of witnesses."""
ML_DSA_44: Final = 6
"""Timestamped ML-DSA-44 cosignatures, which logs sign their own checkpoints with too."""
LOG_KINDS: Final = {ED25519: "Ed25519", ML_DSA_44: "ML-DSA-44"}
"""What a log signs with."""

_KEY_BYTES: Final = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
_BARE_BYTES: Final = {ED25519: 64, COSIGNATURE: 64, ML_DSA_44: 2420}
_SIGNATURE_BYTES: Final = {ED25519: 64, COSIGNATURE: 8 + 64, ML_DSA_44: 8 + 2420}
"""With the eight bytes of time that cosignatures begin with."""
MAX_COSIGNED_NAME: Final = 255

MAX_NOTE_BYTES: Final = 1_000_000
MAX_SIGNATURES: Final = 100

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, _P - 2, _P) % _P


class NoteInvalid(ValueError):
    """A note, a key or a signature is not what its specification says."""


class SignatureFalse(NoteInvalid):
    """A signature in a given key's name is not that key's."""


@final
@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under."""

    name: str
    key_id: bytes
    kind: int
    public: bytes

    @property
    def label(self) -> str:
        """Name, key id and kind: which of a log's keys this is."""
        return f"{self.name}+{self.key_id.hex()} ({LOG_KINDS.get(self.kind, 'a witness')})"


@final
@dataclass(frozen=True, slots=True)
class SignatureLine:
    """A signature line of a note, unverified."""

    name: str
    key_id: bytes
    signature: bytes


@final
@dataclass(frozen=True, slots=True)
class Note:
    """A note's text and its signature lines, unverified."""

    text: bytes
    lines: tuple[SignatureLine, ...]


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree that somebody signed for."""

    origin: str
    size: int
    root: bytes


@functools.lru_cache(maxsize=64)
def parse_verifier_key(text: str) -> VerifierKey:
    """Read a `name+hash+base64` line; raises `NoteInvalid` for malformed, unknown and unsafe keys."""
    name, plus, rest = text.strip().partition("+")
    identifier, plus2, encoded = rest.partition("+")
    if not (plus and plus2 and _is_name(name)):
        raise NoteInvalid("a verifier key is `name+hash+base64`")
    try:
        key_id = bytes.fromhex(identifier)
    except ValueError as error:
        raise NoteInvalid("a verifier key's hash is eight hexadecimal digits") from error
    content = strict_base64(encoded)
    if len(identifier) != 8 or len(content) < 2:
        raise NoteInvalid("a verifier key's hash is eight hexadecimal digits, its key is not empty")
    expected = hashlib.sha256(name.encode() + b"\n" + content).digest()[:4]
    if key_id != expected:
        raise NoteInvalid("a verifier key's hash is not that of its name and key")
    if _KEY_BYTES.get(content[0]) != len(content) - 1:
        raise NoteInvalid(
            f"a verifier key of type {content[0]} with {len(content) - 1} bytes; "
            "accepted are 1 and 4 with 32 (Ed25519) and 6 with 1312 (ML-DSA-44)"
        )
    if content[0] != ML_DSA_44:  # there every encoding is a key
        check_point(content[1:])
    return VerifierKey(name, key_id, content[0], content[1:])


def check_point(encoded: bytes) -> None:
    """Raise `NoteInvalid` unless an Ed25519 key is canonical, on the curve and not of low order.

    OpenSSL accepts low-order keys, under one of which a single signature verifies for every message (reproduced).
    """
    y = int.from_bytes(encoded, "little") & (1 << 255) - 1
    if y >= _P:
        raise NoteInvalid("an Ed25519 key is not canonically encoded")
    x_squared = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(x_squared, (_P + 3) // 8, _P)
    if (x * x - x_squared) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - x_squared) % _P:
        raise NoteInvalid("an Ed25519 key is not a point of the curve")
    point = (x, y)
    for _ in range(3):
        point = _doubled(point)
    if point == (0, 1):
        raise NoteInvalid("an Ed25519 key is of low order: signatures under it prove nothing")


def _doubled(point: tuple[int, int]) -> tuple[int, int]:
    x, y = point
    product = _D * x * x * y * y % _P
    return (
        2 * x * y * pow(1 + product, _P - 2, _P) % _P,
        (y * y + x * x) * pow(1 - product, _P - 2, _P) % _P,
    )


def parse_note(content: bytes) -> Note:
    """Read a signed note; raises `NoteInvalid`."""
    if len(content) > MAX_NOTE_BYTES:
        raise NoteInvalid(f"a note of {len(content)} bytes; at most {MAX_NOTE_BYTES} are accepted")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteInvalid("a note is UTF-8") from error
    if any(ord(c) < 0x20 and c != "\n" for c in text):
        raise NoteInvalid("a note has no control characters but line feeds")
    body, separator, signatures = text.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise NoteInvalid("a note is text, an empty line and signature lines, each ended by a line feed")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalid(f"a note of {len(lines)} signatures; at most {MAX_SIGNATURES} are accepted")
    return Note((body + "\n").encode(), tuple(_signature_line(line) for line in lines))


def _signature_line(line: str) -> SignatureLine:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—" or not _is_name(name):
        raise NoteInvalid("a signature line is an em dash, a name and base64")
    content = strict_base64(encoded)
    if len(content) < 5:
        raise NoteInvalid("a signature is too short")
    return SignatureLine(name, content[:4], content[4:])


def is_signed(note: Note, key: VerifierKey) -> bool:
    """Whether the note has a signature of the key; raises `NoteInvalid` if a line in its name is false."""
    found = [line for line in note.lines if line.name == key.name and line.key_id == key.key_id]
    if len(found) > 1:
        raise NoteInvalid(f"the note has two signatures of {key.name}")
    for line in found:
        _check_signature(note.text, key, line.signature)
    return bool(found)


def parse_log_keys(lines: Sequence[str]) -> tuple[VerifierKey, ...]:
    """Read the verifier keys of one log; raises `NoteInvalid` for those of two logs and those of witnesses."""
    keys = tuple(parse_verifier_key(line) for line in lines)
    if any(key.kind not in LOG_KINDS for key in keys):
        raise NoteInvalid("the log's key is a witness's; a log signs with keys of type 1 (Ed25519) and 6 (ML-DSA-44)")
    if len({key.name for key in keys}) != 1:
        raise NoteInvalid(f"the keys are of {len({key.name for key in keys})} logs; those of one are accepted")
    return keys


def parse_audit_keys(lines: Sequence[str]) -> tuple[VerifierKey, ...]:
    """Read the keys to audit a stored log with, the Ed25519 key first; raises `NoteInvalid` unless there is one."""
    keys = parse_log_keys(lines)
    stored = [key for key in keys if key.kind == ED25519]
    if len(stored) != 1:
        message = "the signatures within the log are made with its Ed25519 key: exactly one such key is needed"
        raise NoteInvalid(f"{message}, {len(stored)} are given")
    return (*stored, *(key for key in keys if key.kind != ED25519))


def signed_by(note: Note, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return those of one log's keys that the note has a signature of.

    Raises `NoteInvalid` if it has none, if one in a key's name is false, or if the checkpoint is another log's.
    """
    found = tuple(key for key in keys if is_signed(note, key))
    if not found:
        missing = " or ".join(key.label for key in keys)
        hint = "" if any(key.kind == ED25519 for key in keys) else "; receipts are signed with the Ed25519 key alone"
        # WHY: the names are a stranger's, and must not move a terminal.
        names = [(ascii(line.name[:80])[1:-1], line.key_id.hex()) for line in note.lines[:3]]
        carried = ", ".join(f"{name}+{key_id}" for name, key_id in names)
        raise NoteInvalid(f"the checkpoint has no signature of the key {missing}; it carries those of {carried}{hint}")
    if parse_checkpoint(note.text).origin != keys[0].name:
        raise NoteInvalid("the checkpoint is of another log than the key's")
    return found


def _check_signature(text: bytes, key: VerifierKey, signature: bytes) -> None:
    if len(signature) != _SIGNATURE_BYTES[key.kind]:
        raise NoteInvalid(f"the signature of {key.label} has the wrong length")
    bare = signature[-_BARE_BYTES[key.kind] :]
    message = _signed_message(text, key, int.from_bytes(signature[: -_BARE_BYTES[key.kind]], "big"))
    public = MLDSA44PublicKey if key.kind == ML_DSA_44 else Ed25519PublicKey
    try:
        public.from_public_bytes(key.public).verify(bare, message)
    except UnsupportedAlgorithm as error:
        raise NoteInvalid(f"{key.label} cannot be checked: this build of `cryptography` has no such keys") from error
    except (InvalidSignature, ValueError) as error:
        raise SignatureFalse(f"the signature of {key.label} is false") from error


def _signed_message(text: bytes, key: VerifierKey, seconds: int) -> bytes:
    if key.kind == COSIGNATURE:
        return f"cosignature/v1\ntime {seconds}\n".encode() + text
    if key.kind == ML_DSA_44:
        return _cosigned_message(parse_checkpoint(text), key, seconds)
    return text


def _cosigned_message(checkpoint: Checkpoint, key: VerifierKey, seconds: int) -> bytes:
    """Return what an ML-DSA-44 key signs: `cosigned_message` of tlog-cosignature, "ML-DSA-44 signed message".

    Extension lines are not in it: nothing but origin, size and root is ever read from a checkpoint.
    """
    cosigner, origin = key.name.encode(), checkpoint.origin.encode()
    if max(len(cosigner), len(origin)) > MAX_COSIGNED_NAME:
        raise NoteInvalid(f"under ML-DSA-44 a log's name has at most {MAX_COSIGNED_NAME} bytes")
    if seconds >> 63:
        raise NoteInvalid(f"the time in the signature of {key.label} is beyond 2^63")
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(cosigner)]) + cosigner,
            seconds.to_bytes(8, "big"),
            bytes([len(origin)]) + origin,
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def check_signature(key: VerifierKey, size: int, root: bytes, signature: bytes) -> None:
    """Raise `NoteInvalid` unless `signature` is the key's own over the checkpoint of that size and root."""
    _check_signature(_checkpoint_text(key, size, root), key, signature)


def write_note(key: VerifierKey, size: int, root: bytes, signature: bytes) -> Note:
    """Return the signed checkpoint as a note."""
    return Note(_checkpoint_text(key, size, root), (SignatureLine(key.name, key.key_id, signature),))


def note_bytes(note: Note) -> bytes:
    """Return a note as `parse_note` reads it."""
    encoded = (
        f"— {line.name} {base64.b64encode(line.key_id + line.signature).decode('ascii')}\n" for line in note.lines
    )
    return note.text + b"\n" + "".join(encoded).encode()


def _checkpoint_text(key: VerifierKey, size: int, root: bytes) -> bytes:
    return f"{key.name}\n{size}\n{base64.b64encode(root).decode('ascii')}\n".encode()


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read a checkpoint's text: origin, size, root; raises `NoteInvalid`."""
    lines = text.decode("utf-8").split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise NoteInvalid("a checkpoint is an origin, a size and a root, a line each")
    root = strict_base64(lines[2])
    if len(root) != 32:
        raise NoteInvalid("a checkpoint's root is 32 bytes")
    return Checkpoint(lines[0], strict_number(lines[1]), root)


def strict_number(text: str) -> int:
    """Read a decimal number below 2^63 without sign, spaces or leading zeros; raises `NoteInvalid`."""
    is_plain = text.isascii() and text.isdigit() and len(text) <= 19 and (text == "0" or text[0] != "0")
    if not is_plain or int(text) >= 1 << 63:
        raise NoteInvalid("a number is decimal, without leading zeros, below 2^63")
    return int(text)


def strict_base64(text: str) -> bytes:
    """Read canonical, padded base64; raises `NoteInvalid`."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise NoteInvalid("base64 is malformed") from error
    if base64.b64encode(content).decode("ascii") != text:
        raise NoteInvalid("base64 is not canonical")
    return content


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)
