"""How does the built-in issuer make a token? A JWT bound to one client certificate (RFC 7519, RFC 8705).

Or, where an operator turned that on, one that is bound to nothing and good for one resource (RFC 8707).
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Sequence
from typing import Final

from joserfc import jwt
from joserfc.jwk import OKPKey

from sandbox.deployment import Misconfigured
from sandbox.reasons import quoted
from sandbox.settings import IdentitySettings
from sandbox.values import JsonObject, JsonValue

ALGORITHM: Final = "Ed25519"
"""RFC 9864; the name `EdDSA` is deprecated."""

RESERVED: Final = frozenset(
    {
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti"),  # RFC 7519, section 4.1
        *("cnf", "act", "may_act", "scope", "client_id", "txn"),  # other RFCs and drafts that speak of agents
        *("roles", "tools", "session"),  # ours
    }
)
"""Claims with a meaning of their own; row filters and policies read the others."""

MAX_TOKEN_BYTES: Final = 16 * 1024
"""Beyond it a token is not even looked at; a token of ours has about 500 bytes."""

_CLAIM_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TOOL_PATTERN: Final = re.compile(r"[A-Za-z0-9_.*-]{1,128}")
_SAID_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}")


def make_token_key() -> bytes:
    """Make the issuer's key: an Ed25519 private key as PEM."""
    return OKPKey.generate_key("Ed25519").as_pem(private=True)


def mint(  # noqa: PLR0913 - one keyword a claim
    token_key: bytes,
    settings: IdentitySettings,
    *,
    subject: str,
    certificate_thumbprint: bytes = b"",
    resource: str = "",
    roles: Sequence[str],
    tools: Sequence[str] = ("*",),
    claims: JsonObject | None = None,
    actors: Sequence[str] = (),
    lifetime_s: int,
    now: float | None = None,
) -> str:
    """Mint a token for `subject` that works only with the certificate of that thumbprint.

    Or a bearer token for `resource`, which works with none: without a resource there is always a binding.
    `actors` act for the subject, the nearest first. Raises `Misconfigured` for what no token can say.
    """
    own = dict(claims or {})
    _check(own, [subject, *roles, *actors], tools)
    issued_at = int(time.time() if now is None else now)
    payload: dict[str, JsonValue] = own | {
        "iss": settings.issuer,
        "sub": subject,
        "aud": resource or settings.audience,
        "iat": issued_at,
        "exp": issued_at + lifetime_s,
        "jti": secrets.token_hex(12),
        "roles": list(roles),
        "tools": list(tools),
    }
    if not resource:
        payload["cnf"] = {"x5t#S256": base64url(certificate_thumbprint)}
    if actors:
        payload["act"] = _chain(actors)
    key = OKPKey.import_key(token_key)
    token = jwt.encode({"alg": ALGORITHM, "typ": "JWT"}, payload, key, algorithms=[ALGORITHM])
    if len(token) > MAX_TOKEN_BYTES:
        raise Misconfigured(f"the token would have {len(token)} bytes; at most {MAX_TOKEN_BYTES} are accepted")
    return token


def base64url(content: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _check(claims: JsonObject, names: Sequence[str], tools: Sequence[str]) -> None:
    for claim in claims:
        if claim in RESERVED:
            raise Misconfigured(f"claim {quoted(claim)} has a meaning of its own; choose another name")
        if not _CLAIM_NAME.fullmatch(claim):
            raise Misconfigured(f"claim {quoted(claim)}: a name of letters, digits and `_` is accepted")
    try:
        json.dumps(claims, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise Misconfigured("a claim's value is not JSON; NaN and Infinity are not accepted") from error
    for name in names:
        if not _SAID_NAME.fullmatch(name):
            raise Misconfigured(f"name {quoted(name)}: 1 to 256 characters without control characters are accepted")
    for pattern in tools:
        if not _TOOL_PATTERN.fullmatch(pattern):
            raise Misconfigured(f"tool pattern {quoted(pattern)}: a tool's name or a pattern like `shop.*` is accepted")


def _chain(actors: Sequence[str]) -> JsonObject:
    """Nest actors as RFC 8693, section 4.1 has it: the nearest outermost."""
    nested: dict[str, JsonValue] = {}
    for actor in reversed(actors):
        outer: dict[str, JsonValue] = {"sub": actor}
        nested = outer | {"act": nested} if nested else outer
    return nested
