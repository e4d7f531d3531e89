"""How is a tree signed? C2SP signed notes, verifier keys and checkpoints, with Ed25519 and with ML-DSA-44.

https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-cosignature
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

ED25519: Final = b"\x01"
"""The signature type of plain Ed25519 in key ids and verifier keys."""
ML_DSA_44: Final = b"\x06"
"""The signature type of ML-DSA-44 cosignatures, which logs should sign with too (tlog-checkpoint, "Signatures")."""

_SEALING: Final = b"sandbox/v1 checkpoint seal"
"""Sets the key that seals apart from the one that signs."""

_NO_TIME: Final = bytes(8)
"""Timestamp 0: no statement that this is the largest tree there was at some time."""


def key_id(name: str, public_key: bytes, kind: bytes = ED25519) -> bytes:
    """Return the four bytes that name a key: SHA-256 of name, newline, type and key."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes, kind: bytes = ED25519) -> str:
    """Return the line of a `.vkey` file: `name+hash+base64(type, key)`."""
    encoded = base64.b64encode(kind + public_key).decode("ascii")
    return f"{name}+{key_id(name, public_key, kind).hex()}+{encoded}"


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """Return the text that is signed: origin, size and root, a line each."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n".encode()


def cosigned_message(origin: str, size: int, root: bytes) -> bytes:
    """Return what the ML-DSA-44 key signs: `cosigned_message` of tlog-cosignature, "ML-DSA-44 signed message".

    The log is its own cosigner, so `origin` stands twice; it signs the whole tree, from leaf 0. Origins have at most
    255 bytes.
    """
    name = origin.encode()
    prefixed = len(name).to_bytes(1, "big") + name
    bounds = bytes(8) + size.to_bytes(8, "big")
    return b"subtree/v1\n\x00" + prefixed + _NO_TIME + prefixed + bounds + root


def signature_line(name: str, identifier: bytes, signature: bytes) -> bytes:
    """Return a signature line of a note, with its line feed."""
    return f"— {name} {base64.b64encode(identifier + signature).decode('ascii')}\n".encode()


@final
class MlDsaSigner:
    """Signs checkpoints of one log so that a quantum computer cannot forge them. 0.3 to 2 ms each: not for every batch.

    Hedged (FIPS 204, 3.4): the same tree gives other bytes each time.
    """

    def __init__(self, origin: str, private_key: MLDSA44PrivateKey) -> None:
        """Sign as `origin`."""
        self._origin = origin
        self._key = private_key
        public = private_key.public_key().public_bytes_raw()
        self._id = key_id(origin, public, ML_DSA_44)
        self.verifier_key = verifier_key(origin, public, ML_DSA_44)

    def line(self, size: int, root: bytes) -> bytes:
        """Return the signature line: a `timestamped_signature` of tlog-cosignature, "Format"."""
        signature = self._key.sign(cosigned_message(self._origin, size, root))
        return signature_line(self._origin, self._id, _NO_TIME + signature)


@final
class NoteSigner:
    """Signs checkpoints of one log."""

    def __init__(self, origin: str, private_key: Ed25519PrivateKey, ml_dsa: MlDsaSigner | None = None) -> None:
        """Sign as `origin`; `ml_dsa` is for whoever adds the second line."""
        self.origin = origin
        self.ml_dsa = ml_dsa
        self._key = private_key
        public = private_key.public_key().public_bytes_raw()
        self._id = key_id(origin, public)
        self._sealing = hashlib.sha256(_SEALING + private_key.private_bytes_raw()).digest()
        self.verifier_key = verifier_key(origin, public)

    def sign(self, size: int, root: bytes) -> bytes:
        """Return the Ed25519 signature over a tree. Deterministic (RFC 8032): the same tree, the same bytes."""
        return self._key.sign(checkpoint_text(self.origin, size, root))

    def seal(self, size: int, root: bytes) -> bytes:
        """Return what is stored with a batch before its signature is made, for what is signed must be durable first.

        Without it, whoever can write the log's file could have us sign rows of theirs as if a crash had left them.
        """
        return hmac.digest(self._sealing, checkpoint_text(self.origin, size, root), "sha256")

    def is_sealed(self, size: int, root: bytes, seal: bytes) -> bool:
        """Whether a stored seal is ours."""
        return hmac.compare_digest(self.seal(size, root), seal)

    def is_ours(self, size: int, root: bytes, signature: bytes) -> bool:
        """Whether a stored signature is ours: Ed25519 makes the same one again."""
        return self.sign(size, root) == signature

    def note(self, size: int, root: bytes, signature: bytes) -> bytes:
        """Return the checkpoint: text, blank line, Ed25519 signature line."""
        return checkpoint_text(self.origin, size, root) + b"\n" + signature_line(self.origin, self._id, signature)
