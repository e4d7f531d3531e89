"""An authorization server, a connection that asks it, and leases of that connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from authorization_server import CLIENT, AuthorizationServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_cast import LOOPBACK, Papers, connection_to, make_papers

from sandbox.leases import CallBounds, Leases, Subject, TokenLease, read_assertions
from sandbox.outbound.wire import Resolve, system_resolve
from sandbox.toolspec import Connection, EnvSecret, HttpTarget, OAuth

Grant = Literal["client_credentials", "token_exchange"]
READ = ("customers.read",)
ALICE = Subject("alice", ("agent-7", "orchestrator"))
BOB = Subject("bob", ())


def write_assertion_key(path: Path) -> Ed25519PrivateKey:
    """Write the key that says for whom tokens are exchanged."""
    key = Ed25519PrivateKey.generate()
    path.touch(0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key


@dataclass
class Cast:
    """All of it. Its client's secret stands in the variable CRM_CLIENT_SECRET."""

    folder: Path
    papers: Papers
    server: AuthorizationServer
    key: Ed25519PrivateKey

    def oauth(self, grant: Grant = "client_credentials", **changes: object) -> OAuth:
        """Return what the operator wrote."""
        said = OAuth(
            grant=grant,
            host="127.0.0.1",
            port=self.server.port,
            token_url=f"https://127.0.0.1:{self.server.port}/oauth/token",
            token_path="/oauth/token",
            revoke_path=None,
            client_id=CLIENT[0],
            client_secret=EnvSecret("CRM_CLIENT_SECRET"),
            client_auth="basic",
            scopes=frozenset({"customers.read", "customers.write"}),
            audience="",
            resource="",
            networks=LOOPBACK,
            ca=str(self.papers.ca),
        )
        return replace(said, **changes)  # type: ignore[arg-type] - fields by their names

    def connection(self, auth: OAuth, port: int = 80) -> Connection:
        return connection_to(port, auth=auth)

    def leases(self, auth: OAuth, resolve: Resolve = system_resolve) -> Leases:
        """Return the leases of one generation whose connection `crm` asks this server."""
        connections = {"crm": self.connection(auth)}
        assertions = read_assertions(connections, self.folder / "assertion.key", "sandbox")
        return Leases(connections, self.folder / "no key", assertions, resolve)


@contextmanager
def played(folder: Path) -> Iterator[Cast]:
    """Set the stage."""
    papers = make_papers(folder)
    key = write_assertion_key(folder / "assertion.key")
    with AuthorizationServer(papers.server("127.0.0.1", "login.example.com")) as server:
        yield Cast(folder, papers, server, key)


def lent(
    leases: Leases, scopes: Sequence[str] = READ, subject: Subject = ALICE, bounds: CallBounds | None = None
) -> TokenLease:
    """Return a lease, not yet entered."""
    lease = leases.lend_http("crm", tuple(scopes), subject, bounds or CallBounds())
    assert isinstance(lease, TokenLease)
    return lease


def token_of(lease: TokenLease) -> str:
    """Return the token of a lease that is taken."""
    assert lease.header is not None
    name, value = lease.header
    assert (name, value[:7]) == ("Authorization", "Bearer ")
    return value[7:]


def target_of(connection: Connection) -> HttpTarget:
    assert isinstance(connection.target, HttpTarget)
    return connection.target


def when(moment: threading.Event, act: object) -> threading.Thread:
    """Start a thread that acts once `moment` has come."""

    def work() -> None:
        moment.wait(5)
        act()  # type: ignore[operator]

    thread = threading.Thread(target=work)
    thread.start()
    return thread
