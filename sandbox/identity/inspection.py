"""What does a token say, and would it be accepted now? For operators, who hold the token key."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.identity.authenticator import Authenticator
from sandbox.identity.bearer import BearerRule, audiences_of, is_unbound
from sandbox.identity.enrolment import (
    Scope,
    certificate_ends,
    certificate_path,
    names_known,
    read_token,
    renew_client,
    token_path,
    write_token,
)
from sandbox.identity.issuer import MAX_TOKEN_BYTES, base64url
from sandbox.identity.pki import thumbprint
from sandbox.identity.tokens import TokenReader, bound_to, principal_of, seconds_of
from sandbox.problems import did_you_mean
from sandbox.reasons import Refused, quoted
from sandbox.settings import IdentitySettings
from sandbox.stages import Credential
from sandbox.values import JsonObject

VALID: Final = "valid"

_TOKEN_ID: Final = re.compile(r"[0-9a-f]{24}")
"""As `issuer.mint` makes them."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A token of our key, read."""

    token_id: str
    subject: str
    scope: Scope
    issued_at: int
    expires_at: int
    certificate: str
    """The file of the certificate that it is bound to; empty if that is not in `pki/clients`."""
    resource: str
    """What a bearer token is good for; empty of a token that is bound to a certificate."""
    state: str
    """`valid`, or which check it fails now: `token-expired`, `token-revoked`, `certificate-expired`, …"""
    why: str
    """The sentence its holder is refused with; empty if valid."""


def inspect(
    deployment: Deployment,
    settings: IdentitySettings,
    token: str,
    now: float | None = None,
    bearer: BearerRule | None = None,
) -> Inspected:
    """Read a token and check it as the service would; raises `Refused` if our key did not sign it.

    `bearer` is what the service asks of a bearer token, if it accepts any.
    """
    moment = time.time() if now is None else now
    claims = TokenReader(deployment).claims_of(token)
    principal = principal_of(claims, token, b"")
    certificate = _certificate_of(deployment, bound_to(claims))
    authenticator = Authenticator(deployment, settings, lambda: moment, bearer=bearer)
    is_bearer = is_unbound(claims)
    state, why = VALID, ""
    try:
        if is_bearer:
            authenticator.principal(Credential(b"", token))
        elif certificate is None:
            authenticator.check_token(claims, principal, moment)
        else:
            authenticator.principal(Credential(certificate.read_bytes(), token))
    except Refused as refused:
        state, why = refused.rule.removeprefix("identity/"), refused.message
    return Inspected(
        token_id=principal.token_id,
        subject=principal.subject,
        scope=Scope(
            roles=tuple(sorted(principal.roles)),
            tools=principal.tools,
            claims=principal.claims,
            actors=principal.actors,
        ),
        issued_at=seconds_of(claims, "iat") or 0,
        expires_at=principal.expires_at,
        certificate="" if certificate is None else str(certificate),
        resource=" ".join(map(str, audiences_of(claims))) if is_bearer else "",
        state=state,
        why=why,
    )


def read_token_file(path: Path) -> str:
    """Read a token from any file; raises `Misconfigured` for what cannot be one."""
    with path.open("rb") as file:
        content = file.read(MAX_TOKEN_BYTES + 1)
    try:
        return content.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path}: not a token") from error


def token_id_of(deployment: Deployment, name: str) -> str:
    """Return the id of the newest token of `name`, or `name` itself if it is an id.

    Raises `Refused` if the file holds a token that our key did not sign: its id would say nothing.
    """
    if _TOKEN_ID.fullmatch(name) and not token_path(deployment, name).exists():
        return name
    if not token_path(deployment, name).exists():
        hint = did_you_mean(name, names_known(deployment)) or "; a name with a token or a token's id is accepted"
        raise Misconfigured(f"there is no token of {quoted(name)}{hint}")
    token = read_token(deployment, name)
    return principal_of(TokenReader(deployment).claims_of(token), token, b"").token_id


def renew_identity(
    deployment: Deployment, settings: IdentitySettings, name: str, now: float | None = None
) -> JsonObject:
    """Renew a client's certificate and bind its token to the new one; returns the facts for the command line.

    The token keeps its scope and its end. One that has ended or been revoked stays so.
    """
    moment = int(time.time() if now is None else now)
    before = _inspect_newest(deployment, settings, name, moment)
    certificate = renew_client(deployment, name, moment)
    facts: dict[str, str | int | None] = {
        "certificate": str(certificate_path(deployment, name)),
        "expires_at": certificate_ends(certificate),
        "token": None,
    }
    if before is None:
        return facts
    if before.state not in {VALID, "certificate-expired"}:
        return facts | {"why": f"not minted anew: {before.why}"}
    write_token(deployment, settings, name, before.scope, lifetime_s=before.expires_at - moment, now=moment)
    return facts | {"token": str(token_path(deployment, name))}


def _inspect_newest(deployment: Deployment, settings: IdentitySettings, name: str, now: float) -> Inspected | None:
    if not token_path(deployment, name).exists():
        return None
    return inspect(deployment, settings, read_token(deployment, name), now)


def _certificate_of(deployment: Deployment, digest: str) -> Path | None:
    for path in sorted((deployment.pki / "clients").glob("*.pem")):
        if base64url(thumbprint(path.read_bytes())) == digest:
            return path
    return None
