"""How do identities come to be in a deployment? CA, certificates, tokens and revocations, as files.

A private key is written once and never replaced; certificates and tokens are replaced whole, so that a service that
rereads them meets the old file or the new one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.deployment import Deployment, Misconfigured, read_private, replace_file, write_private
from sandbox.identity.issuer import make_token_key, mint
from sandbox.identity.pki import (
    Authority,
    key_to_pem,
    make_key,
    names_of,
    public_key_of,
    read_certificate,
    thumbprint,
    to_pem,
)
from sandbox.problems import did_you_mean
from sandbox.reasons import quoted
from sandbox.settings import IdentitySettings
from sandbox.values import JsonObject

SERVER: Final = "server"
"""What `sandbox cert renew` calls the service's own certificate."""

BEARER: Final = ".bearer"
"""What the name of a bearer token's file has after the identity's: it is shown and revoked as `NAME.bearer`."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names that are files and certificate names alike."""

_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
"""SPIFFE ID, section 2.1: lower case; short enough for a certificate's common name."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a token says of its subject."""

    roles: tuple[str, ...]
    tools: tuple[str, ...]
    claims: JsonObject
    actors: tuple[str, ...]
    """The nearest first."""


def check_name(name: str) -> None:
    """Raise `Misconfigured` unless `name` can name an identity."""
    if not _NAME.fullmatch(name):
        allowed = "letters, digits, `.`, `_` and `-` are accepted, at most 63, a letter or digit first"
        raise Misconfigured(f"identity {quoted(name)}: {allowed}")
    if name.endswith(BEARER):
        reason = f"names that end in `{BEARER}` are those of bearer tokens' files; choose another name"
        raise Misconfigured(f"identity {quoted(name)}: {reason}")
    if name == SERVER:
        raise Misconfigured(f"identity {quoted(name)}: the service itself is called so; choose another name")


def check_trust_domain(name: str) -> None:
    """Raise `Misconfigured` unless `name` can name a service."""
    if not _TRUST_DOMAIN.fullmatch(name):
        allowed = "lower-case letters, digits, `.`, `_` and `-` are accepted, at most 63, such as `shop.example.com`"
        raise Misconfigured(f"service name {quoted(name)}: {allowed}")


def found_identity(deployment: Deployment, name: str, hosts: Sequence[str] = (), now: float | None = None) -> None:
    """Make the CA, the server's certificate and the token key of a new deployment, whose folders exist.

    `name` heads the SPIFFE ids; `hosts` are names under which clients reach the service, beside those of this machine.
    """
    check_trust_domain(name)
    moment = time.time() if now is None else now
    authority, server = Authority.make(name, moment), make_key()
    write_private(deployment.pki / "ca.key", key_to_pem(authority.key))
    replace_file(deployment.pki / "ca.pem", to_pem(authority.certificate), 0o644)
    write_private(deployment.pki / "server.key", key_to_pem(server))
    certificate = authority.sign_server(server.public_key(), hosts, moment)
    replace_file(deployment.pki / "server.pem", certificate, 0o644)
    write_private(deployment.keys / "token.key", make_token_key())
    deployment.revocations.touch(0o600, exist_ok=False)


def certificate_path(deployment: Deployment, name: str) -> Path:
    """Where the certificate of the client `name` lies."""
    return deployment.pki / "clients" / f"{name}.pem"


def token_path(deployment: Deployment, name: str) -> Path:
    """Where the token of `name` lies."""
    return deployment.tokens / f"{name}.jwt"


def names_known(deployment: Deployment) -> list[str]:
    """Return the identities that have a certificate or a token, sorted."""
    files = [*(deployment.pki / "clients").glob("*.pem"), *deployment.tokens.glob("*.jwt")]
    return sorted({file.stem.removesuffix(BEARER) for file in files})


def read_token(deployment: Deployment, name: str) -> str:
    """Read the token of `name`; raises `Misconfigured` with the names there are."""
    try:
        return token_path(deployment, name).read_text("ascii").strip()
    except FileNotFoundError as error:
        known = names_known(deployment)
        hint = did_you_mean(name, known) or f"; make one with {quoted(f'sandbox token new {name}')}"
        raise Misconfigured(f"there is no token of {quoted(name)}{hint}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{token_path(deployment, name)}: not a token") from error


def ensure_certificate(deployment: Deployment, name: str, now: float | None = None) -> tuple[bytes, bool]:
    """Return the client certificate of `name` as PEM, made now if there is none in force; and whether it was made."""
    check_name(name)
    path = certificate_path(deployment, name)
    if path.exists():
        certificate = path.read_bytes()
        if certificate_ends(certificate) > (time.time() if now is None else now):
            return certificate, False
        return renew_client(deployment, name, now), True
    return _sign_client(deployment, name, _public_key(path.with_suffix(".key")), now), True


def write_token(  # noqa: PLR0913 - one keyword a fact
    deployment: Deployment,
    settings: IdentitySettings,
    name: str,
    scope: Scope,
    *,
    lifetime_s: int,
    now: float | None = None,
) -> str:
    """Mint a token for `name`, bound to its certificate, and put it in the place of the one before."""
    certificate, _ = ensure_certificate(deployment, name, now)
    token = mint(
        read_private(deployment.keys / "token.key"),
        settings,
        subject=name,
        certificate_thumbprint=thumbprint(certificate),
        roles=scope.roles,
        tools=scope.tools,
        claims=scope.claims,
        actors=scope.actors,
        lifetime_s=lifetime_s,
        now=now,
    )
    replace_file(token_path(deployment, name), token.encode() + b"\n", 0o600)
    return token


def write_bearer_token(  # noqa: PLR0913 - one keyword a fact
    deployment: Deployment,
    settings: IdentitySettings,
    name: str,
    scope: Scope,
    *,
    resource: str,
    lifetime_s: int,
    now: float | None = None,
) -> str:
    """Mint a token for `name` that is bound to no certificate and good for `resource` alone; replaces the one before.

    It needs no certificate and makes none.
    """
    check_name(name)
    token = mint(
        read_private(deployment.keys / "token.key"),
        settings,
        subject=name,
        resource=resource,
        roles=scope.roles,
        tools=scope.tools,
        claims=scope.claims,
        actors=scope.actors,
        lifetime_s=lifetime_s,
        now=now,
    )
    replace_file(token_path(deployment, name + BEARER), token.encode() + b"\n", 0o600)
    return token


def renew_server(deployment: Deployment, hosts: Sequence[str] = (), now: float | None = None) -> bytes:
    """Sign the server's key anew, for the names of its old certificate and `hosts`; returns the certificate as PEM.

    A new key is made only where there is none, because two files cannot change at one moment.
    """
    path = deployment.pki / "server.pem"
    names = names_of(path.read_bytes(), str(path)) if path.exists() else []
    public_key = _public_key(deployment.pki / "server.key")
    certificate = _authority(deployment).sign_server(public_key, [*names, *hosts], time.time() if now is None else now)
    replace_file(path, certificate, 0o644)
    return certificate


def renew_client(deployment: Deployment, name: str, now: float | None = None) -> bytes:
    """Sign the key of `name` anew; the key itself may lie elsewhere. Tokens stay bound to the certificate before."""
    check_name(name)
    path = certificate_path(deployment, name)
    if not path.exists():
        known = names_known(deployment)
        hint = did_you_mean(name, known) or f"; make one with {quoted(f'sandbox token new {name}')}"
        raise Misconfigured(f"there is no certificate of {quoted(name)}{hint}")
    return _sign_client(deployment, name, public_key_of(path.read_bytes(), str(path)), now)


def certificate_ends(certificate_pem: bytes) -> int:
    """Return when a certificate ends, in seconds since 1970 UTC."""
    return int(read_certificate(certificate_pem, "certificate").not_valid_after_utc.timestamp())


def _sign_client(deployment: Deployment, name: str, key: ec.EllipticCurvePublicKey, now: float | None) -> bytes:
    certificate = _authority(deployment).sign_client(key, name, time.time() if now is None else now)
    replace_file(certificate_path(deployment, name), certificate, 0o644)
    return certificate


def _authority(deployment: Deployment) -> Authority:
    return Authority.from_pem((deployment.pki / "ca.pem").read_bytes(), read_private(deployment.pki / "ca.key"))


def _public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Return the public half of the key in `path`, made now if there is none."""
    if not path.exists():
        made = make_key()
        write_private(path, key_to_pem(made))
        return made.public_key()
    try:
        key = serialization.load_pem_private_key(read_private(path), None)
    except (ValueError, TypeError) as error:
        raise Misconfigured(f"{path}: not a private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Misconfigured(f"{path}: not an elliptic-curve key")
    return key.public_key()
