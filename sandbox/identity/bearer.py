"""Which token is believed without a client certificate? One that says so, for our resource alone, and not for long.

Whoever holds such a token may use it (RFC 6750), so it must be of no use elsewhere (RFC 8707) and end soon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from sandbox.identity.tokens import seconds_of
from sandbox.reasons import Reason, Refused, quoted
from sandbox.stages import Principal
from sandbox.values import JsonObject

_BINDING: Final = "cnf"


@final
@dataclass(frozen=True, slots=True)
class BearerRule:
    """What a bearer token must be to be accepted."""

    resource: str
    """The URL of the MCP endpoint: its one audience."""
    longest_s: int
    """From `iat` to `exp`."""

    def is_meant_by(self, claims: JsonObject) -> bool:
        """Whether the claims are those of a bearer token for this resource."""
        return is_unbound(claims) and audiences_of(claims) == [self.resource]


def is_unbound(claims: JsonObject) -> bool:
    """Whether the token names no certificate at all; one that names it badly is bound, to nothing."""
    return _BINDING not in claims


def audiences_of(claims: JsonObject) -> list[object]:
    """Return the audiences of a token (RFC 7519, section 4.1.3)."""
    audience = claims.get("aud")
    return [*audience] if isinstance(audience, list) else [audience]


def check_bearer(claims: JsonObject, principal: Principal, rule: BearerRule) -> None:
    """Raise `Refused` unless the token may be believed by itself; issuer, time and revocation are checked elsewhere."""
    # INVARIANT: a token that names a certificate is never believed without it.
    if not is_unbound(claims):
        message = "the token is bound to a client certificate and the request carries none; present it"
        raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/bearer-bound")
    # INVARIANT: for us alone: whom else the token is shown to could present it here.
    if audiences_of(claims) != [rule.resource]:
        message = f"the token is for another audience; a bearer token is for {quoted(rule.resource)} alone"
        raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/bearer-audience")
    issued_at = seconds_of(claims, "iat")
    if issued_at is None or principal.expires_at - issued_at > rule.longest_s:
        longest = f"{rule.longest_s // 60} min at the most"
        message = f"the token lives too long; a bearer token lives {longest}, which `http.bearer_minutes` sets"
        raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/bearer-life")


def check_not_bearer(claims: JsonObject, rule: BearerRule | None) -> None:
    """Raise `Refused` for a bearer token beside a certificate: it speaks for nobody's, and for no other door."""
    if rule is not None and rule.is_meant_by(claims):
        message = "a bearer token is accepted at the HTTP door without a client certificate, and beside none"
        raise Refused(Reason.CREDENTIAL_INVALID, message, rule="identity/bearer-beside-certificate")
