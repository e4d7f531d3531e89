"""Which keys does the log live by? The signing key and the root of encryption, read only if nobody else can."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import Final, final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sandbox.deployment import Deployment, Misconfigured, read_private, write_private
from sandbox.receipts.note import MlDsaSigner, NoteSigner

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
MAX_NAME_BYTES: Final = 255
"""Of an origin under ML-DSA-44 (tlog-cosignature: `opaque log_origin<1..2^8-1>`)."""


LOG_KEY: Final = "log"
ML_DSA_KEY: Final = "log-mldsa44"
"""The names of the log's key pairs in `keys/`: `NAME.key` and `NAME.vkey`."""


def create_keys(deployment: Deployment, origin: str) -> None:
    """Make a new deployment's `keys/root.key` and the log's two pairs, `.key` and `.vkey`: `log` and `log-mldsa44`."""
    private = Ed25519PrivateKey.generate()
    _write_pair(deployment, LOG_KEY, private, NoteSigner(origin, private).verifier_key)
    post_quantum = MLDSA44PrivateKey.generate()
    _write_pair(deployment, ML_DSA_KEY, post_quantum, MlDsaSigner(origin, post_quantum).verifier_key)
    write_private(deployment.keys / "root.key", secrets.token_hex(KEY_BYTES).encode() + b"\n")


def read_signer(deployment: Deployment, origin: str) -> NoteSigner:
    """Read the log's keys; raises `Misconfigured` if one is of another kind or not the half of its `.vkey`.

    A deployment made before there were ML-DSA-44 keys has none, and signs with Ed25519 alone.
    """
    private = _read_pem(deployment.keys / f"{LOG_KEY}.key")
    if not isinstance(private, Ed25519PrivateKey):
        raise Misconfigured(f"{deployment.keys / LOG_KEY}.key: not an Ed25519 key")
    signer = NoteSigner(origin, private, _read_ml_dsa(deployment, origin))
    _check_public(deployment, LOG_KEY, signer.verifier_key, origin)
    return signer


def _read_ml_dsa(deployment: Deployment, origin: str) -> MlDsaSigner | None:
    secret, public = (deployment.keys / f"{ML_DSA_KEY}.{ending}" for ending in ("key", "vkey"))
    # INVARIANT: only the absence of both means "none": a lost private key must not silently cost the second line.
    if not (os.path.lexists(secret) or os.path.lexists(public)):
        return None
    private = _read_pem(secret)
    if not isinstance(private, MLDSA44PrivateKey):
        raise Misconfigured(f"{secret}: not an ML-DSA-44 key")
    if len(origin.encode()) > MAX_NAME_BYTES:
        raise Misconfigured(f"{secret}: signs for origins of at most {MAX_NAME_BYTES} bytes; sandbox.toml has a longer")
    signer = MlDsaSigner(origin, private)
    _check_public(deployment, ML_DSA_KEY, signer.verifier_key, origin)
    return signer


def _write_pair(
    deployment: Deployment, name: str, private: Ed25519PrivateKey | MLDSA44PrivateKey, verifier_key: str
) -> None:
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(deployment.keys / f"{name}.key", pem)
    public = deployment.keys / f"{name}.vkey"
    public.write_text(verifier_key + "\n", "utf-8")
    public.chmod(0o644)


def _read_pem(path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(read_private(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"{path}: not a private key in PEM") from error


def _check_public(deployment: Deployment, name: str, verifier_key: str, origin: str) -> None:
    public = deployment.keys / f"{name}.vkey"
    try:
        line = public.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{public}: the verifier key cannot be read") from error
    if line != verifier_key:
        raise Misconfigured(f"{public}: not the public half of {name}.key under the origin `{origin}` of sandbox.toml")


@final
class RootKey:
    """The key that all others hang on. Erase it and no payload can be read; every proof still verifies."""

    def __init__(self, secret: bytes) -> None:
        """Derive what is needed from 32 bytes."""
        self._secret = secret
        self._wrapping = AESGCM(self.derive(b"wrap"))

    @classmethod
    def read(cls, deployment: Deployment) -> RootKey:
        """Read `keys/root.key`: 64 hexadecimal digits."""
        path = deployment.keys / "root.key"
        try:
            secret = bytes.fromhex(read_private(path).decode("ascii").strip())
        except ValueError as error:
            raise Misconfigured(f"{path}: 64 hexadecimal digits are accepted") from error
        if len(secret) != KEY_BYTES:
            raise Misconfigured(f"{path}: {len(secret)} bytes; {KEY_BYTES} are accepted")
        return cls(secret)

    def derive(self, purpose: bytes, *parts: bytes) -> bytes:
        """Return HMAC-SHA-256 over a purpose and length-prefixed parts."""
        return keyed(self._secret, purpose, *parts)

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        """Encrypt a key."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Decrypt a key; raises `cryptography.exceptions.InvalidTag` for a foreign one."""
        return self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound_to)


def keyed(key: bytes, purpose: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 of a purpose and parts, each behind its length so that no two lists give the same bytes."""
    message = b"sandbox/v1 " + purpose + b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return hmac.digest(key, message, "sha256")
