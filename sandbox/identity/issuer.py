"""How does the built-in issuer make a token? A short JWT bound to one client certificate (RFC 7519, RFC 8705)."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Sequence
from typing import Final

from joserfc import jwt
from joserfc.jwk import OKPKey

from sandbox.deployment import Misconfigured
from sandbox.settings import IdentitySettings
from sandbox.values import JsonObject, JsonValue

ALGORITHM: Final = "Ed25519"
"""RFC 9864; the name `EdDSA` is deprecated."""

RESERVED: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "act", "txn", "roles", "tools"})
"""Claims with a meaning of their own; row filters and policies read the others."""


def make_token_key() -> bytes:
    """Make the issuer's key: an Ed25519 private key as PEM."""
    return OKPKey.generate_key("Ed25519").as_pem(private=True)


def mint(  # noqa: PLR0913 - one keyword a claim
    token_key: bytes,
    settings: IdentitySettings,
    *,
    subject: str,
    certificate_thumbprint: bytes,
    roles: Sequence[str],
    tools: Sequence[str] = ("*",),
    claims: JsonObject | None = None,
    actors: Sequence[str] = (),
    lifetime_s: int,
    now: float | None = None,
) -> str:
    """Mint a token for `subject` that works only with the certificate of that thumbprint.

    Raises `Misconfigured` if `claims` uses a reserved name.
    """
    own = dict(claims or {})
    if taken := sorted(RESERVED & own.keys()):
        raise Misconfigured(f"claim `{taken[0]}` has a meaning of its own; choose another name")
    issued_at = int(time.time() if now is None else now)
    payload: dict[str, JsonValue] = own | {
        "iss": settings.issuer,
        "sub": subject,
        "aud": settings.audience,
        "iat": issued_at,
        "exp": issued_at + lifetime_s,
        "jti": secrets.token_hex(12),
        "cnf": {"x5t#S256": base64url(certificate_thumbprint)},
        "roles": list(roles),
        "tools": list(tools),
    }
    if actors:
        payload["act"] = _chain(actors)
    key = OKPKey.import_key(token_key)
    return jwt.encode({"alg": ALGORITHM, "typ": "JWT"}, payload, key, algorithms=[ALGORITHM])


def base64url(content: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _chain(actors: Sequence[str]) -> JsonObject:
    """Nest actors as RFC 8693, section 4.1 has it: the nearest outermost."""
    nested: dict[str, JsonValue] = {}
    for actor in reversed(actors):
        nested = {"sub": actor} | ({"act": nested} if nested else {})
    return nested
