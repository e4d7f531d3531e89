"""Who asks? A TLS client certificate and a token bound to it, proven on every request; strangers get one sentence.

Where an operator turned that on, a bearer token is proven without a certificate (`bearer.py`).

Never trusts a header, never accepts an algorithm it did not choose, never believes a token for longer than
`identity.cache_seconds` without looking up revocation again.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from sandbox.deployment import Deployment
from sandbox.identity.bearer import BearerRule, audiences_of, check_bearer, check_not_bearer, is_unbound
from sandbox.identity.issuer import base64url
from sandbox.identity.revocations import Revocations
from sandbox.identity.tokens import TokenReader, bound_to, principal_of, seconds_of, unusable
from sandbox.reasons import Reason, Refused, quoted
from sandbox.settings import IdentitySettings
from sandbox.stages import AuthenticatedCall, Credential, Principal, ProposedCall
from sandbox.values import JsonObject

MAX_CACHED: Final = 4096
"""Tokens believed at once; about 2 KiB each."""

MAX_GREETED: Final = 4096
"""Tokens that are remembered to hold, for as long as principals are."""


@final
class Authenticator:
    """Proves principals by the deployment's token key."""

    def __init__(
        self,
        deployment: Deployment,
        settings: IdentitySettings,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        *,
        bearer: BearerRule | None = None,
    ) -> None:
        """Read `keys/token.key`; raises `Misconfigured` if others can read it.

        `clock` is seconds since 1970 UTC; `ticks` measures how long a token has been believed and never goes back.
        Without the rule `bearer` nobody is believed without a certificate.
        """
        self._tokens = TokenReader(deployment)
        self._settings = settings
        self._bearer = bearer
        self._clock = clock
        self._ticks = ticks
        self._revocations = Revocations(deployment.revocations)
        self._believed: dict[str, tuple[float, bytes, Principal]] = {}
        self._greeted: dict[tuple[str, bool], tuple[float, str]] = {}

    def authenticate(self, proposed: ProposedCall) -> AuthenticatedCall:
        """Prove the caller of a call."""
        return AuthenticatedCall(proposed=proposed, principal=self.principal(proposed.credential))

    def principal(self, credential: Credential) -> Principal:
        """Prove the caller; raises `Refused` with a `CREDENTIAL_…` reason."""
        # INVARIANT: an entry speaks for one token with one certificate, or with none; neither is looked up alone.
        known = self._believed.get(credential.token)
        if known is not None and self._ticks() < known[0] and known[1] == credential.certificate_pem:
            return known[2]
        return self._prove(credential)

    def _prove(self, credential: Credential) -> Principal:
        began, now = self._ticks(), self._clock()
        claims = self._claims_of(credential.token, has_certificate=bool(credential.certificate_pem))
        if not credential.certificate_pem:
            principal = principal_of(claims, credential.token, b"")
            ends = self.check_token(claims, principal, now, has_certificate=False)
        else:
            certificate = _read(credential.certificate_pem)
            digest = certificate.fingerprint(hashes.SHA256())
            _check_binding(claims, digest)
            principal = principal_of(claims, credential.token, digest)
            ends = min(self._check_certificate(certificate, now), self.check_token(claims, principal, now))
        self._believe(credential, principal, began + min(self._settings.cache_seconds, ends - now))
        return principal

    def _claims_of(self, token: str, *, has_certificate: bool) -> JsonObject:
        """Return the claims of a token of ours that has, or has not, a certificate beside it as it must."""
        if not has_certificate:
            self._bearer_rule()
        if not token:
            message = "the request carries no token; send the metadata `authorization: Bearer TOKEN`"
            raise Refused(Reason.CREDENTIAL_MISSING, message, rule="identity/token-missing")
        claims = self._tokens.claims_of(token)
        if has_certificate:
            check_not_bearer(claims, self._bearer)
        return claims

    def greet(self, token: str, *, has_certificate: bool = True) -> str:
        """Return whose token it is; raises `Refused` unless it holds now.

        Whether the peer's certificate, if it has one, is the one that the token is bound to is not asked.
        """
        known = self._greeted.get((token, has_certificate))
        if known is not None and self._ticks() < known[0]:
            return known[1]
        began, now = self._ticks(), self._clock()
        claims = self._claims_of(token, has_certificate=has_certificate)
        principal = principal_of(claims, token, b"")
        ends = self.check_token(claims, principal, now, has_certificate=has_certificate)
        if len(self._greeted) >= MAX_GREETED:
            self._greeted.clear()
        until = began + min(self._settings.cache_seconds, ends - now)
        self._greeted[token, has_certificate] = (until, principal.subject)
        return principal.subject

    def check_token(
        self, claims: JsonObject, principal: Principal, now: float, *, has_certificate: bool = True
    ) -> float:
        """Check everything about a token but its signature and its certificate; returns when it ends."""
        if has_certificate:
            self._check_service(claims, self._settings.audience)
        else:
            rule = self._bearer_rule()
            check_bearer(claims, principal, rule)
            self._check_service(claims, rule.resource)
        ends = self._check_time(claims, principal, now)
        self._check_revocation(principal)
        return ends

    def _bearer_rule(self) -> BearerRule:
        """Return what a token without a certificate must be; raises `Refused` where nobody is believed without one."""
        if self._bearer is None:
            message = "the request carries no client certificate; this service speaks mutual TLS only"
            raise Refused(Reason.CREDENTIAL_MISSING, message, rule="identity/certificate-missing")
        return self._bearer

    def _check_service(self, claims: JsonObject, audience: str) -> None:
        if claims.get("iss") != self._settings.issuer or audience not in audiences_of(claims):
            message = (
                "the token was issued by or for another service; `identity.issuer` and `identity.audience` tell which"
            )
            raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/token-audience")

    def _check_time(self, claims: JsonObject, principal: Principal, now: float) -> float:
        """Return when the token ends, the clocks' allowed difference included."""
        issued_at = seconds_of(claims, "iat")
        if issued_at is None:
            unusable()
        skew = self._settings.clock_skew_seconds
        if now >= principal.expires_at + skew:
            command = f"sandbox token new {principal.subject}{' --bearer' if is_unbound(claims) else ''}"
            renew = f"renew it with {quoted(command)}"
            message = f"the token ended at {_told(principal.expires_at)}; {renew}"
            raise Refused(Reason.CREDENTIAL_EXPIRED, message, rule="identity/token-expired")
        begins = max(issued_at, seconds_of(claims, "nbf") or 0)
        if now + skew < begins:
            message = f"the token begins at {_told(begins)}; compare the clocks of both machines"
            raise Refused(Reason.CREDENTIAL_EXPIRED, message, rule="identity/token-not-yet")
        return principal.expires_at + skew

    def _check_certificate(self, certificate: x509.Certificate, now: float) -> float:
        """Return when the certificate ends. The TLS layer looked at the handshake; a connection may live longer."""
        begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        if not begins - self._settings.clock_skew_seconds <= now < ends:
            message = "the client certificate is not valid now; renew it with `sandbox cert renew NAME`"
            raise Refused(Reason.CREDENTIAL_EXPIRED, message, rule="identity/certificate-expired")
        return ends

    def _check_revocation(self, principal: Principal) -> None:
        if self._revocations.is_revoked(principal.token_id):
            message = "the token has been revoked; only an operator can give a new one"
            raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/token-revoked")

    def _believe(self, credential: Credential, principal: Principal, until: float) -> None:
        if len(self._believed) >= MAX_CACHED:
            self._believed.clear()
        self._believed[credential.token] = (until, credential.certificate_pem, principal)


def _read(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        message = "the client certificate cannot be read"
        raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/certificate") from error


def _check_binding(claims: JsonObject, presented: bytes) -> None:
    if not hmac.compare_digest(bound_to(claims).encode(), base64url(presented).encode()):
        message = "the token is bound to another client certificate; present the one that it was minted for"
        raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/token-binding")


def _told(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "a time beyond reckoning"
