"""Which keys does the log live by? The signing key and the root of encryption, read only if nobody else can."""

from __future__ import annotations

import hmac
import secrets
from typing import Final, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sandbox.deployment import Deployment, Misconfigured, read_private, write_private
from sandbox.receipts.note import NoteSigner

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


def create_keys(deployment: Deployment, origin: str) -> None:
    """Make `keys/log.key`, `keys/log.vkey` and `keys/root.key` of a new deployment."""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(deployment.keys / "log.key", pem)
    signer = NoteSigner(origin, private)
    public = deployment.keys / "log.vkey"
    public.write_text(signer.verifier_key + "\n", "utf-8")
    public.chmod(0o644)
    write_private(deployment.keys / "root.key", secrets.token_hex(KEY_BYTES).encode() + b"\n")


def read_signer(deployment: Deployment, origin: str) -> NoteSigner:
    """Read `keys/log.key`; raises `Misconfigured` if it is not an Ed25519 key or `log.vkey` is another's."""
    path = deployment.keys / "log.key"
    try:
        private = load_pem_private_key(read_private(path), None)
    except (ValueError, TypeError) as error:
        raise Misconfigured(f"{path}: not a private key in PEM") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Misconfigured(f"{path}: not an Ed25519 key")
    signer = NoteSigner(origin, private)
    public = deployment.keys / "log.vkey"
    try:
        line = public.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{public}: the verifier key cannot be read") from error
    if line != signer.verifier_key:
        raise Misconfigured(f"{public}: not the public half of log.key under the origin `{origin}` of sandbox.toml")
    return signer


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
