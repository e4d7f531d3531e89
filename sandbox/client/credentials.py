"""What does a client need to be let in? Certificate, key, token, CA and the log's public key, as files or bytes."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, final

import grpc

from sandbox.client.answers import NotAuthenticated, Unavailable

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.use_local_subchannel_pool", 1),
)

_DEPLOYMENTS_OWN: Final = frozenset({"ca.pem", "log.vkey"})
"""Files that belong to no identity."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the client is to the service, and which log key it believes."""

    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    token: str = field(repr=False)
    log_verifier_key: str
    """The line of `keys/log.vkey`. Receipts are verified with this and nothing else."""

    @classmethod
    def from_deployment(cls, deployment: str | os.PathLike[str], name: str) -> Self:
        """Read the identity `name` from a deployment folder on this machine.

        Raises `NotAuthenticated` naming the missing file, `Unavailable` where there is no deployment, or no whole one.
        """
        root = Path(deployment)
        try:
            return cls.from_files(
                ca=root / "pki" / "ca.pem",
                certificate=root / "pki" / "clients" / f"{name}.pem",
                key=root / "pki" / "clients" / f"{name}.key",
                token=root / "tokens" / f"{name}.jwt",
                log_key=root / "keys" / "log.vkey",
            )
        except FileNotFoundError as error:
            _check_deployment(root)
            if Path(error.filename).name in _DEPLOYMENTS_OWN:
                raise Unavailable(f"{error.filename}: there is no such file; every deployment has one") from error
            what = f"there is no such file; the identity `{name}` lacks it"
            how = f"`sandbox token new {name} --role ROLE` makes it"
            raise NotAuthenticated(f"{error.filename}: {what}; {how}", "CREDENTIAL_MISSING") from error

    @classmethod
    def from_files(cls, *, ca: Path, certificate: Path, key: Path, token: Path, log_key: Path) -> Self:
        """Read an identity from the five files that an operator hands out."""
        return cls(
            ca_pem=ca.read_bytes(),
            certificate_pem=certificate.read_bytes(),
            key_pem=key.read_bytes(),
            token=token.read_text("ascii").strip(),
            log_verifier_key=log_key.read_text("utf-8").strip(),
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return credentials for mutual TLS."""
        return grpc.ssl_channel_credentials(self.ca_pem, self.key_pem, self.certificate_pem)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what goes with every request."""
        return (("authorization", f"Bearer {self.token}"),)


def address_of(deployment: str | os.PathLike[str]) -> str:
    """Return HOST:PORT of the service running over a deployment on this machine.

    Raises `Unavailable` if none has been started there, or there is no deployment.
    """
    try:
        return (Path(deployment) / "state" / "address").read_text("ascii").strip()
    except FileNotFoundError:
        _check_deployment(Path(deployment))
        where = Path(deployment).resolve()
        if _is_served(where):
            message = f"the service over {where} is stopping, or not up yet: it takes no new calls"
            raise Unavailable(f"{message}; ask again once it serves", is_absent=True) from None
        raise Unavailable(f"no service runs over {where}; start one with `sandbox serve`", is_absent=True) from None


def _is_served(root: Path) -> bool:
    """Whether a service holds the deployment: from before it tells its address until its last call has ended."""
    try:
        descriptor = os.open(root / "state" / "serve.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _check_deployment(root: Path) -> None:
    """Raise `Unavailable` if the folder is none that `sandbox init` made."""
    if not (root / "sandbox.toml").is_file():
        message = f"{root.resolve()}: there is no deployment here; `sandbox init DIR` makes one"
        raise Unavailable(message) from None
