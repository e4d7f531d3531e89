"""How is a tree signed? C2SP signed notes, verifier keys and checkpoints, with Ed25519.

https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519: Final = b"\x01"
"""The signature type of plain Ed25519 in key ids and verifier keys."""


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the four bytes that name a key: SHA-256 of name, newline, type and key."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes) -> str:
    """Return the line of `log.vkey`: `name+hash+base64(type, key)`."""
    encoded = base64.b64encode(ED25519 + public_key).decode("ascii")
    return f"{name}+{key_id(name, public_key).hex()}+{encoded}"


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """Return the text that is signed: origin, size and root, a line each."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n".encode()


@final
class NoteSigner:
    """Signs checkpoints of one log."""

    def __init__(self, origin: str, private_key: Ed25519PrivateKey) -> None:
        """Sign as `origin`."""
        self.origin = origin
        self._key = private_key
        public = private_key.public_key().public_bytes_raw()
        self._id = key_id(origin, public)
        self.verifier_key = verifier_key(origin, public)

    def sign(self, size: int, root: bytes) -> bytes:
        """Return the Ed25519 signature over a tree. Deterministic (RFC 8032): the same tree, the same bytes."""
        return self._key.sign(checkpoint_text(self.origin, size, root))

    def is_ours(self, size: int, root: bytes, signature: bytes) -> bool:
        """Whether a stored signature is ours: Ed25519 makes the same one again."""
        return self.sign(size, root) == signature

    def note(self, size: int, root: bytes, signature: bytes) -> bytes:
        """Return the checkpoint: text, blank line, signature line."""
        line = f"— {self.origin} {base64.b64encode(self._id + signature).decode('ascii')}\n"
        return checkpoint_text(self.origin, size, root) + b"\n" + line.encode()
