"""From what do the passwords of the tools' logins come? From one key of the deployment, so that none is stored.

The database holds verifiers only, which the set-up script computes from the same passwords.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from sandbox.deployment import Misconfigured, read_private, write_private
from sandbox.leases.sources import Secret

KEY_BYTES: Final = 32


def create_lease_key(path: Path) -> None:
    """Make `keys/lease.key`; an existing one is never replaced, or no login would be let in any more."""
    write_private(path, secrets.token_bytes(KEY_BYTES))


def read_lease_key(path: Path) -> bytes:
    """Read `keys/lease.key`; raises `Misconfigured`."""
    key = read_private(path)
    if len(key) != KEY_BYTES:
        raise Misconfigured(f"{path}: {len(key)} bytes; a lease key has {KEY_BYTES}")
    return key


def claims_login(connection: str) -> str:
    """Return the login that may ask for the key of a connection's claims, and nothing else.

    One a connection, for logins belong to a whole server, and its databases may be several connections.
    """
    return f"sandbox_claims_{hashlib.sha256(connection.encode()).hexdigest()[:12]}"


def login_password(key: bytes, connection: str, login: str, engine: str) -> Secret:
    """Return the password of a login of one connection, to a server of that engine."""
    made = hmac.digest(key, f"{engine}\n{connection}\n{login}".encode(), "sha256")
    return Secret(base64.urlsafe_b64encode(made).rstrip(b"=").decode("ascii"))
