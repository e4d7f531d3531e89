"""A deployment's identities in a temporary folder, under clocks that a test moves, and a forge for bad tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox.deployment import Deployment
from sandbox.identity import Authenticator
from sandbox.identity.enrolment import Scope, certificate_path, ensure_certificate, found_identity, write_token
from sandbox.identity.pki import thumbprint
from sandbox.settings import IdentitySettings
from sandbox.stages import Cancellation, Credential, ProposedCall
from sandbox.values import JsonObject

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""
HOUR = 3600
AGENT = Scope(roles=("agent",), tools=("shop.*",), claims={"region": "EU"}, actors=())


@dataclass
class Clock:
    """Both clocks of an authenticator."""

    wall: float = NOW
    ticking: float = 100.0

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.ticking += seconds


@dataclass
class Kit:
    """A deployment with the identity `agent`."""

    deployment: Deployment
    token: str
    settings: IdentitySettings = field(default_factory=IdentitySettings)
    clock: Clock = field(default_factory=Clock)

    @property
    def certificate(self) -> bytes:
        return certificate_path(self.deployment, "agent").read_bytes()

    def authenticator(self) -> Authenticator:
        return Authenticator(self.deployment, self.settings, lambda: self.clock.wall, lambda: self.clock.ticking)

    def credential(self, token: str | None = None) -> Credential:
        return Credential(self.certificate, self.token if token is None else token)

    def mint(self, name: str = "agent", scope: Scope = AGENT, lifetime_s: int = HOUR) -> str:
        return write_token(self.deployment, self.settings, name, scope, lifetime_s=lifetime_s, now=self.clock.wall)

    def other_certificate(self, name: str = "mallory") -> bytes:
        return ensure_certificate(self.deployment, name, NOW)[0]

    def claims(self, **changed: object) -> dict[str, object]:
        """Return good claims with some changed; a value of `...` leaves a claim out."""
        good: dict[str, object] = {
            "iss": "sandbox",
            "sub": "agent",
            "aud": "sandbox",
            "iat": int(NOW),
            "exp": int(NOW) + HOUR,
            "jti": "0123456789abcdef01234567",
            "cnf": {"x5t#S256": encoded(thumbprint(self.certificate))},
            "roles": ["agent"],
            "tools": ["*"],
        }
        return {name: value for name, value in (good | changed).items() if value is not ...}

    def forge(
        self,
        claims: Mapping[str, object] | bytes | None = None,
        header: Mapping[str, object] | bytes | None = None,
        key: Ed25519PrivateKey | None = None,
    ) -> str:
        """Sign anything; by default with the deployment's own token key."""
        payload = claims if isinstance(claims, bytes) else json.dumps(claims or self.claims()).encode()
        head = header if isinstance(header, bytes) else json.dumps(header or {"alg": "Ed25519", "typ": "JWT"}).encode()
        signed = f"{encoded(head)}.{encoded(payload)}"
        return f"{signed}.{encoded((key or self.token_key()).sign(signed.encode()))}"

    def token_key(self) -> Ed25519PrivateKey:
        key = load_pem_private_key((self.deployment.keys / "token.key").read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey)
        return key


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def payload_of(token: str) -> JsonObject:
    claims = json.loads(decoded(token.split(".")[1]))
    assert isinstance(claims, dict)
    return claims


def make_kit(root: Path, now: float = NOW) -> Kit:
    """Make the identity half of a deployment folder, with default settings and a token of one hour."""
    deployment = Deployment(root)
    for folder in (deployment.pki / "clients", deployment.keys, deployment.tokens, deployment.state):
        folder.mkdir(parents=True)
    deployment.settings.write_text("")
    found_identity(deployment, "shop.example.com", ["tools.shop.example.com", "192.0.2.7"], now)
    kit = Kit(deployment, "", clock=Clock(wall=now))
    kit.token = kit.mint()
    return kit


def proposed(credential: Credential) -> ProposedCall:
    return ProposedCall(
        door="grpc",
        credential=credential,
        tool="shop.query",
        arguments_json=b"{}",
        request_id="",
        validate_only=False,
        cancellation=Cancellation(),
        received_at=0.0,
    )
