"""How do contents rest? Each payload under a key of its own, padded, bound to its call, committed to by its record.

AES-GCM commits neither to its key nor, once the key is gone, to anything; so the record holds a hash that names the
data key and an HMAC that names the plaintext, under a key derived from the data key (research: a bare SHA-256 of a user
id is guessed in minutes and survives erasure; a hash of 256 random bits is not guessed).
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from sandbox.receipts.keys import KEY_BYTES, NONCE_BYTES
from sandbox.receipts.randomness import Draw, draw
from sandbox.stores.log import StoredPayload
from sandbox.v1.record_pb2 import PayloadDescriptor, Record

_NONCE: Final = bytes(NONCE_BYTES)
"""Zero: every data key encrypts once."""
_LENGTH_BYTES: Final = 4
_SMALLEST: Final = 256
_LARGEST_POWER: Final = 64 * 1024

_DERIVE: Final = b"sandbox/v1 payload keys"
_NAME_KEY: Final = b"sandbox/v1 payload key commitment"
_XOR_36: Final = bytes(byte ^ 0x36 for byte in range(256))
_XOR_5C: Final = bytes(byte ^ 0x5C for byte in range(256))
_REST_36: Final = b"\x36" * (64 - KEY_BYTES)
_REST_5C: Final = b"\x5c" * (64 - KEY_BYTES)
"""What the zeros become that fill a key of `KEY_BYTES` up to SHA-256's block of 64 bytes."""
_sha256 = hashlib.sha256
_sha512 = hashlib.sha512


class PayloadUnreadable(Exception):
    """The stored bytes are not what the record commits to, or their key is gone."""


@final
class SealedPayload(Struct, frozen=True):
    """A payload ready to be stored, and what its record says of it."""

    descriptor_field: bytes
    """The field `payloads` of a `Record`, serialised."""
    subject: int
    wrapped_key: bytes
    ciphertext: bytes


@final
class SubjectKey:
    """The key that wraps the data keys of one subject."""

    __slots__ = ("_wrapping", "pseudonym", "subject")

    def __init__(self, subject: int, key: bytes, pseudonym: bytes) -> None:
        """Hold the key of the store's subject `subject`."""
        self.subject = subject
        self.pseudonym = pseudonym
        self._wrapping = AESGCM(key)

    def seal(self, role: str, plaintext: bytes, call_id: bytes, draw: Draw = draw) -> SealedPayload:
        """Encrypt a payload of a call under a new data key."""
        random = draw(KEY_BYTES + NONCE_BYTES)
        key, nonce = random[:KEY_BYTES], random[KEY_BYTES:]
        encrypting, committing = _derived(key)
        bound_to = call_id + role.encode("ascii")
        padded = _padded(plaintext)
        ciphertext = AESGCM(encrypting).encrypt(_NONCE, padded, bound_to)
        field = _field_template(role, len(padded)) % (
            _sha256(ciphertext).digest(),
            _sha256(_NAME_KEY + key).digest(),
            _committed(committing, plaintext),
        )
        return SealedPayload(field, self.subject, nonce + self._wrapping.encrypt(nonce, key, bound_to), ciphertext)

    def open(self, descriptor: PayloadDescriptor, stored: StoredPayload, call_id: bytes) -> bytes:
        """Decrypt a payload and check it against its record; raises `PayloadUnreadable`."""
        bound_to = call_id + descriptor.role.encode("ascii")
        wrapped = stored.wrapped_key
        try:
            key = self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound_to)
            encrypting, committing = _derived(key)
            padded = AESGCM(encrypting).decrypt(_NONCE, stored.ciphertext, bound_to)
        except (InvalidTag, ValueError) as error:
            raise PayloadUnreadable("the payload does not decrypt under its subject's key") from error
        plaintext = _unpadded(padded)
        names_text = _committed(committing, plaintext)
        is_key = descriptor.key_commitment == _sha256(_NAME_KEY + key).digest()
        if not (is_key and hmac.compare_digest(descriptor.plaintext_commitment, names_text)):
            raise PayloadUnreadable("the payload is not the one that its record commits to")
        return plaintext


def _derived(key: bytes) -> tuple[bytes, bytes]:
    """Return the encrypting and the committing key of a data key.

    SHA-512 of a label and one uniformly random block of fixed length is a sound derivation and a third of HKDF's cost.
    """
    both = _sha512(_DERIVE + key).digest()
    return both[:KEY_BYTES], both[KEY_BYTES:]


def _committed(key: bytes, plaintext: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104) under a key of 32 bytes.

    `hmac.digest` gives the same bytes, but lets every other thread in between.
    """
    inner = _sha256(key.translate(_XOR_36) + _REST_36 + plaintext).digest()
    return _sha256(key.translate(_XOR_5C) + _REST_5C + inner).digest()


@functools.lru_cache(maxsize=256)
def _field_template(role: str, size_class: int) -> bytes:
    """Return the serialised field of a descriptor with places for ciphertext hash, key and plaintext commitment."""
    nothing = bytes(32)
    descriptor = PayloadDescriptor(
        role=role,
        ciphertext_sha256=nothing,
        size_class=size_class,
        key_commitment=nothing,
        plaintext_commitment=nothing,
    )
    serialised: bytes = Record(payloads=[descriptor]).SerializeToString(deterministic=True)
    return serialised.replace(b"%", b"%%").replace(nothing, b"%b")


def _padded(plaintext: bytes) -> bytes:
    needed = len(plaintext) + _LENGTH_BYTES
    if needed <= _SMALLEST:
        size = _SMALLEST
    elif needed <= _LARGEST_POWER:
        size = 1 << (needed - 1).bit_length()
    else:
        size = -(-needed // _LARGEST_POWER) * _LARGEST_POWER
    return (len(plaintext).to_bytes(_LENGTH_BYTES, "big") + plaintext).ljust(size, b"\x00")


def _unpadded(padded: bytes) -> bytes:
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    if length + _LENGTH_BYTES > len(padded):
        raise PayloadUnreadable("the payload's length is larger than its padding")
    return padded[_LENGTH_BYTES : _LENGTH_BYTES + length]
