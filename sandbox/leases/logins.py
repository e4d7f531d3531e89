"""With which credential does a plan run on a server? As the one login that reads its tool's views and nothing else.

A server's passwords do not expire with a call, so the lease names itself standing; what confines it is what its
login was granted. Neither its repr nor any message shows a password.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import TracebackType
from typing import final

from sandbox.leases.keys import claims_login, login_password
from sandbox.leases.servers import Server
from sandbox.leases.sources import Secret
from sandbox.toolspec import Connection


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLease:
    """The right to log in as one role of one database, lent for a block; leaving the block takes nothing back."""

    connection: str
    server: Server
    login: str
    password: Secret
    claims_password: Secret | None = field(repr=False)
    """Of the login that may ask for the claims' key; lent only to a plan that reads claims."""
    scope: str
    """`LOGIN read-only`, with `+ claims` where claims are read."""
    digest: bytes
    """SHA-256 over the public facts: connection, its digest, scope, standing."""

    @property
    def expires_at(self) -> None:
        """Never: it is standing."""
        return

    def __enter__(self) -> LoginLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def login_lease(connection: Connection, server: Server, key: bytes, login: str, *, reads_claims: bool) -> LoginLease:
    """Make the lease of one login."""
    name, engine = connection.name, connection.engine
    scope = f"{login} read-only{' + claims' if reads_claims else ''}"
    facts = f"{engine}\n{name}\n{connection.digest}\n{scope}\nstanding\n"
    return LoginLease(
        connection=name,
        server=server,
        login=login,
        password=login_password(key, name, login, engine),
        claims_password=login_password(key, name, claims_login(name), engine) if reads_claims else None,
        scope=scope,
        digest=hashlib.sha256(facts.encode()).digest(),
    )
