"""For whom is a token asked? A statement of our own names the caller, to one authorization server, for one minute.

The caller's own token never leaves: it opens this service, and says more than an authorization server must know.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, final

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sandbox.deployment import Misconfigured, read_private
from sandbox.leases.sources import Secret
from sandbox.toolspec import Connection, HttpTarget, OAuth

LIFE_S: Final = 60
_HEADER: Final = b'{"alg":"EdDSA","typ":"JWT"}'
"""WHY: RFC 9864 calls it `Ed25519`, and hardly any authorization server knows that name."""


class Subject(NamedTuple):
    """Whom a call is for."""

    name: str
    """The `sub` of the caller's token."""
    actors: tuple[str, ...]
    """Who acts for it, the nearest first."""


@final
@dataclass(frozen=True, slots=True)
class Assertions:
    """Signs what this service says about its callers."""

    issuer: str
    _key: Ed25519PrivateKey

    def sign(self, subject: Subject, audience: str) -> Secret:
        """Return a JWT (RFC 7519) that names the subject to one audience."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": subject.name,
            "aud": audience,
            "iat": now,
            "exp": now + LIFE_S,
            "jti": secrets.token_hex(16),
        }
        if subject.actors:
            claims["act"] = _chain(subject.actors)
        signed = _base64url(_HEADER) + b"." + _base64url(orjson.dumps(claims))
        return Secret((signed + b"." + _base64url(self._key.sign(signed))).decode("ascii"))


def read_assertions(connections: Mapping[str, Connection], path: Path, issuer: str) -> Assertions | None:
    """Read the key if any connection exchanges tokens; raises `Misconfigured`. It is not the key that mints tokens."""
    if not any(isinstance(each.target, HttpTarget) and _exchanges(each.target) for each in connections.values()):
        return None
    makes = "`openssl genpkey -algorithm ed25519 -out FILE` makes one"
    try:
        key = serialization.load_pem_private_key(read_private(path), None)
    except Misconfigured as error:
        raise Misconfigured(f"{error}; a connection exchanges tokens, and {makes}") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured(f"{path}: not an Ed25519 private key in PEM; {makes}")
    return Assertions(issuer, key)


def _exchanges(target: HttpTarget) -> bool:
    return isinstance(target.auth, OAuth) and target.auth.grant == "token_exchange"


def _chain(actors: tuple[str, ...]) -> Mapping[str, object]:
    """Nest actors as RFC 8693, section 4.1 has it: the nearest outermost."""
    nested: dict[str, object] = {}
    for actor in reversed(actors):
        nested = {"sub": actor, "act": nested} if nested else {"sub": actor}
    return nested


def _base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
