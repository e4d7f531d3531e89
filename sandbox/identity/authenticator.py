"""Who asks? A TLS client certificate and a token bound to it, proven on every request; strangers get one sentence.

Never trusts a header, never accepts an algorithm it did not choose, never believes a token for longer than
`identity.cache_seconds` without looking up revocation again.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from sandbox.deployment import Deployment, read_private
from sandbox.identity.issuer import ALGORITHM, RESERVED, base64url
from sandbox.identity.pki import thumbprint
from sandbox.identity.revocations import Revocations
from sandbox.identity.strict_json import parse_object
from sandbox.reasons import Reason, Refused
from sandbox.settings import IdentitySettings
from sandbox.stages import AuthenticatedCall, Credential, Principal, ProposedCall
from sandbox.values import JsonObject, JsonValue

ALGORITHMS: Final = [ALGORITHM, "EdDSA"]
"""Both names of one signature; nothing else verifies."""

MAX_TOKEN_BYTES: Final = 16 * 1024
MAX_CACHED: Final = 4096
MAX_ACTORS: Final = 8

_INVALID: Final = "the token does not verify; ask the operator for a new one (`sandbox token new`)"


@final
class Authenticator:
    """Proves principals by the deployment's token key."""

    def __init__(
        self, deployment: Deployment, settings: IdentitySettings, clock: Callable[[], float] = time.time
    ) -> None:
        """Read `keys/token.key`; raises `Misconfigured` if others can read it. `clock` is seconds since 1970 UTC."""
        private = OKPKey.import_key(read_private(deployment.keys / "token.key"))
        self._key = OKPKey.import_key(private.as_pem(private=False))
        self._settings = settings
        self._clock = clock
        self._revocations = Revocations(deployment.revocations)
        self._believed: dict[tuple[str, bytes], tuple[Principal, float]] = {}

    def authenticate(self, proposed: ProposedCall) -> AuthenticatedCall:
        """Prove the caller of a call."""
        return AuthenticatedCall(proposed=proposed, principal=self.principal(proposed.credential))

    def principal(self, credential: Credential) -> Principal:
        """Prove the caller; raises `Refused` with a `CREDENTIAL_…` reason."""
        now = self._clock()
        known = self._believed.get((credential.token, credential.certificate_pem))
        if known is not None and now < known[1]:
            return known[0]
        principal = self._proven(credential, now)
        if len(self._believed) >= MAX_CACHED:
            self._believed.clear()
        believed_until = min(now + self._settings.cache_seconds, principal.expires_at)
        self._believed[credential.token, credential.certificate_pem] = (principal, believed_until)
        return principal

    def _proven(self, credential: Credential, now: float) -> Principal:
        if not credential.certificate_pem:
            raise Refused(Reason.CREDENTIAL_MISSING, "no client certificate; this service speaks mutual TLS only")
        if not credential.token:
            raise Refused(Reason.CREDENTIAL_MISSING, "no token; send metadata `authorization: Bearer JWT`")
        claims = self._verified_claims(credential.token)
        presented = self._certificate_digest(credential.certificate_pem, now)
        self._check_standard_claims(claims, now)
        _check_binding(claims, presented)
        principal = _principal(claims, credential.token, presented)
        if self._revocations.is_revoked(principal.token_id):
            raise Refused(Reason.CREDENTIAL_INVALID, "the token is revoked; ask the operator for a new one")
        return principal

    def _verified_claims(self, token: str) -> JsonObject:
        if len(token) > MAX_TOKEN_BYTES:
            message = f"the token has {len(token)} bytes; at most {MAX_TOKEN_BYTES} are accepted"
            raise Refused(Reason.CREDENTIAL_INVALID, message)
        try:
            verified = jws.deserialize_compact(token.encode("ascii"), self._key, algorithms=ALGORITHMS)
            header = verified.headers()
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise Refused(Reason.CREDENTIAL_INVALID, _INVALID) from error
        if "crit" in header or header.get("typ", "JWT") not in {"JWT", "at+jwt"}:
            raise Refused(Reason.CREDENTIAL_INVALID, _INVALID)
        claims = parse_object(verified.payload)
        if claims is None:
            raise Refused(Reason.CREDENTIAL_INVALID, _INVALID)
        return claims

    def _certificate_digest(self, pem: bytes, now: float) -> bytes:
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise Refused(Reason.CREDENTIAL_INVALID, "the client certificate cannot be read") from error
        begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        if not begins - self._settings.clock_skew_seconds <= now < ends:
            message = "the client certificate is not valid now; renew it with `sandbox cert renew`"
            raise Refused(Reason.CREDENTIAL_EXPIRED, message)
        return thumbprint(pem)

    def _check_standard_claims(self, claims: JsonObject, now: float) -> None:
        skew = self._settings.clock_skew_seconds
        expires_at, not_before = _seconds(claims, "exp"), _seconds(claims, "nbf")
        issued_at = _seconds(claims, "iat")
        if expires_at is None or issued_at is None:
            _invalid()
        if now >= expires_at:
            message = "the token has expired; mint a new one with `sandbox token new`"
            raise Refused(Reason.CREDENTIAL_EXPIRED, message)
        if now + skew < max(issued_at, not_before or 0):
            raise Refused(Reason.CREDENTIAL_EXPIRED, "the token is not valid yet; compare the clocks of both machines")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._settings.issuer or self._settings.audience not in audiences:
            raise Refused(Reason.CREDENTIAL_INVALID, "the token was issued for another service")


def _check_binding(claims: JsonObject, presented: bytes) -> None:
    confirmation = claims.get("cnf")
    bound_to = confirmation.get("x5t#S256") if isinstance(confirmation, Mapping) else None
    if not isinstance(bound_to, str) or not hmac.compare_digest(bound_to.encode(), base64url(presented).encode()):
        raise Refused(Reason.CREDENTIAL_INVALID, "the token is bound to another client certificate")


def _principal(claims: JsonObject, token: str, certificate_digest: bytes) -> Principal:
    expires_at = _seconds(claims, "exp")
    if expires_at is None:
        _invalid()
    return Principal(
        subject=_name(claims.get("sub")),
        actors=_actors(claims.get("act")),
        roles=frozenset(_names(claims.get("roles", []))),
        tools=tuple(_names(claims.get("tools", ["*"]))),
        claims={name: value for name, value in claims.items() if name not in RESERVED},
        token_id=_name(claims.get("jti")),
        token_digest=hashlib.sha256(token.encode()).digest(),
        certificate_digest=certificate_digest,
        expires_at=expires_at,
    )


def _actors(chain: JsonValue) -> tuple[str, ...]:
    actors: list[str] = []
    while chain is not None:
        if not isinstance(chain, Mapping) or len(actors) >= MAX_ACTORS:
            _invalid()
        actors.append(_name(chain.get("sub")))
        chain = chain.get("act")
    return tuple(actors)


def _seconds(claims: JsonObject, name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        _invalid()
    return int(value)


def _names(value: JsonValue) -> list[str]:
    if not isinstance(value, list):
        _invalid()
    return [_name(item) for item in value]


def _name(value: JsonValue) -> str:
    if not isinstance(value, str) or not value or len(value) > 256:
        _invalid()
    return value


def _invalid() -> NoReturn:
    raise Refused(Reason.CREDENTIAL_INVALID, "the token's claims are not what this service issues or accepts")
