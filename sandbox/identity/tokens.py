"""Did our issuer sign this token, and what does it say? The signature first; claims are read only once it holds.

The algorithm is ours to choose: a header that names another one, or carries a key or a link to one, is refused.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from typing import Final, NoReturn, final

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from sandbox.deployment import Deployment, Misconfigured, read_private
from sandbox.identity.issuer import ALGORITHM, MAX_TOKEN_BYTES, RESERVED
from sandbox.identity.strict_json import parse_object
from sandbox.reasons import Reason, Refused
from sandbox.stages import Principal
from sandbox.values import JsonObject, JsonValue

ALGORITHMS: Final = [ALGORITHM, "EdDSA"]
"""Both names of one signature; nothing else verifies."""

HEADER_NAMES: Final = frozenset({"alg", "typ", "kid"})
"""Anything else (`crit`, `jwk`, `jku`, `x5c`, `b64`, …) asks the verifier to behave otherwise, and is refused."""

TYPES: Final = frozenset({"JWT", "at+jwt"})
MAX_HEADER_BYTES: Final = 1024
MAX_ACTORS: Final = 8
MAX_NAME: Final = 256

_INVALID: Final = "the token does not verify; mint one for this service with `sandbox token new NAME`"
_UNUSABLE: Final = "the token's claims are not what this service issues; mint one with `sandbox token new NAME`"

# WHY: peers may still emit the old name; that joserfc calls it deprecated is no news to whoever runs the service.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)


@final
class TokenReader:
    """Reads tokens that the deployment's token key signed."""

    def __init__(self, deployment: Deployment) -> None:
        """Read `keys/token.key`; raises `Misconfigured` if others can read it or it is no Ed25519 key."""
        path = deployment.keys / "token.key"
        try:
            private = OKPKey.import_key(read_private(path))
        except (JoseError, ValueError, TypeError) as error:
            raise Misconfigured(f"{path}: not an Ed25519 private key in PEM") from error
        if not private.is_private or private.curve_name != "Ed25519":
            raise Misconfigured(f"{path}: not an Ed25519 private key in PEM")
        # INVARIANT: whoever verifies holds the public half only, so that no slip here can sign anything.
        self._key = OKPKey.import_key(private.as_pem(private=False))

    def claims_of(self, token: str) -> JsonObject:
        """Return the claims of a token whose signature holds; raises `Refused` with `CREDENTIAL_INVALID`."""
        if len(token) > MAX_TOKEN_BYTES:
            message = f"the token has {len(token)} characters; at most {MAX_TOKEN_BYTES} are accepted"
            raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/token-size")
        _check_header(token)
        try:
            payload = jws.deserialize_compact(token.encode("ascii"), self._key, algorithms=ALGORITHMS).payload
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _not_ours() from error
        claims = parse_object(payload)
        if claims is None:
            unusable()
        return claims


def _check_header(token: str) -> None:
    encoded, dot, _ = token.partition(".")
    if not dot or len(encoded) > MAX_HEADER_BYTES:
        raise _not_ours()
    try:
        header = parse_object(urlsafe_b64decode(encoded.encode("ascii")))
    except ValueError as error:
        raise _not_ours() from error
    if header is None or not header.keys() <= HEADER_NAMES:
        raise _not_ours()
    if header.get("alg") not in ALGORITHMS or header.get("typ", "JWT") not in TYPES:
        raise _not_ours()


def _not_ours() -> Refused:
    return Refused(Reason.CREDENTIAL_INVALID, _INVALID, rule="identity/token-signature")


def unusable() -> NoReturn:
    """Refuse a token that we signed and whose claims we would not have issued."""
    raise Refused(Reason.CREDENTIAL_INVALID, _UNUSABLE, rule="identity/token-claims")


def principal_of(claims: JsonObject, token: str, certificate_digest: bytes) -> Principal:
    """Read the claims into a principal, each with its one type; whether they hold now is `authenticator`'s to say."""
    expires_at = seconds_of(claims, "exp")
    if expires_at is None:
        unusable()
    return Principal(
        subject=_name(claims.get("sub")),
        actors=_actors(claims.get("act")),
        roles=frozenset(_names(claims.get("roles"))),
        tools=tuple(_names(claims.get("tools"))),
        claims={name: value for name, value in claims.items() if name not in RESERVED},
        token_id=_name(claims.get("jti")),
        token_digest=hashlib.sha256(token.encode()).digest(),
        certificate_digest=certificate_digest,
        expires_at=expires_at,
    )


def bound_to(claims: JsonObject) -> str:
    """Return the thumbprint, in base64url, of the certificate that the token works with; empty if there is none."""
    confirmation = claims.get("cnf")
    value = confirmation.get("x5t#S256") if isinstance(confirmation, Mapping) else None
    return value if isinstance(value, str) else ""


def seconds_of(claims: JsonObject, name: str) -> int | None:
    """Return a NumericDate (RFC 7519, section 2), whole seconds only; None where there is none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        unusable()
    return value


def _actors(chain: JsonValue) -> tuple[str, ...]:
    actors: list[str] = []
    while chain is not None:
        if not isinstance(chain, Mapping) or len(actors) >= MAX_ACTORS:
            unusable()
        actors.append(_name(chain.get("sub")))
        chain = chain.get("act")
    return tuple(actors)


def _names(value: JsonValue) -> list[str]:
    if not isinstance(value, list):
        unusable()
    return [_name(item) for item in value]


def _name(value: JsonValue) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_NAME:
        unusable()
    return value
