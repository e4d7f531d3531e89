"""Which lease does a plan get? The one of its connection, and there of the login its tool's grant shape names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, assert_never, final

from sandbox.deployment import Misconfigured
from sandbox.leases.asking import CallBounds
from sandbox.leases.assertions import Assertions, Subject
from sandbox.leases.files import FileLease, file_lease
from sandbox.leases.http import HttpLease, http_lease
from sandbox.leases.keys import read_lease_key
from sandbox.leases.logins import LoginLease, login_lease
from sandbox.leases.mysql_servers import parse_mysql_dsn
from sandbox.leases.oauth import TokenLease, token_lease, tokens_of
from sandbox.leases.postgres_servers import parse_postgres_dsn
from sandbox.leases.servers import Dsn, Server, read_dsn
from sandbox.leases.sources import Secrets
from sandbox.outbound.wire import Resolve, system_resolve
from sandbox.reasons import ASK_LATER, Fault, Reason, Refused, quoted
from sandbox.stages import AuthorizedCall, HttpPlan
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import Connection, FileTarget, HttpAuth, HttpTarget, OAuth, ServerTarget

_PARSERS: Final[Mapping[str, Callable[[str], Dsn]]] = {"postgres": parse_postgres_dsn, "mysql": parse_mysql_dsn}
"""What reads the dsn of each engine with a server."""


@final
class Leases:
    """Lends leases: of a file or a login one, made once; of an HTTP target a new one each time."""

    def __init__(
        self,
        connections: Mapping[str, Connection],
        lease_key: Path,
        assertions: Assertions | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        """Know the operators' connections, where the key lies that logins' passwords come from, and who vouches.

        `assertions` says for whom tokens are exchanged. Raises `Misconfigured` for a `ca` that cannot be used.
        """
        self._connections = connections
        self._lease_key = lease_key
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str, bool], FileLease | LoginLease] = {}
        self._servers: dict[str, tuple[Server, bytes]] = {}
        self._secrets = Secrets()
        self._tokens = tokens_of(connections, self._secrets, assertions, resolve)

    def take(
        self, authorized: AuthorizedCall
    ) -> AbstractContextManager[FileLease | LoginLease | HttpLease | TokenLease]:
        """Lend the lease of the plan for the block; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
        plan = authorized.planned.plan
        if isinstance(plan, HttpPlan):
            authenticated = authorized.planned.traced.validated.authenticated
            principal = authenticated.principal
            bounds = CallBounds.of_call(plan.max_seconds, authenticated.proposed.cancellation)
            return self.lend_http(plan.connection, plan.scopes, Subject(principal.subject, principal.actors), bounds)
        try:
            return self.lend(plan.connection, plan.login, reads_claims=bool(plan.claims))
        except Refused as refused:
            # INVARIANT: a caller never learns where a secret lies; operators do.
            warn_often("secret unreadable", plan.connection, causes=refused.message)
            message = f"the credential of connection {quoted(plan.connection)} cannot be had now; {ASK_LATER}"
            raise Refused(Reason.EXECUTOR_UNAVAILABLE, message, rule="leases/secret", retry_after_s=1.0) from None

    def lend(self, connection: str, login: str, *, reads_claims: bool = False) -> FileLease | LoginLease:
        """Return the lease of a connection and its login; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
        key = (connection, login, reads_claims)
        lease = self._made.get(key)
        if lease is None:
            # A generation's rehearsal has made each before anybody calls, so nobody waits here for a vault.
            with self._lock:
                lease = self._made.get(key) or self._make(connection, login, reads_claims=reads_claims)
                self._made[key] = lease
        return lease

    def lend_http(
        self, name: str, scopes: tuple[str, ...], subject: Subject, bounds: CallBounds
    ) -> AbstractContextManager[HttpLease | TokenLease]:
        """Return the lease of an HTTP connection: entering it reads its secret, or gets a token for `subject`."""
        connection = self._connections.get(name)
        if connection is None or not isinstance(connection.target, HttpTarget):
            raise Fault("leases: a request names a connection that is no HTTP target")
        target = connection.target
        match target.auth:
            case OAuth():
                return token_lease(self._tokens[name], target, scopes, subject, bounds)
            case HttpAuth() | None:
                return http_lease(connection, target, target.auth, self._secrets, bounds)
            case _:
                assert_never(target.auth)

    def _make(self, name: str, login: str, *, reads_claims: bool) -> FileLease | LoginLease:
        connection = self._connections.get(name)
        if connection is None:
            raise Fault("leases: a plan names a connection that does not exist")
        match connection.target:
            case FileTarget():
                return file_lease(connection, connection.target)
            case ServerTarget():
                server, key = self._server(connection, connection.target)
                return login_lease(connection, server, key, login, reads_claims=reads_claims)
            case HttpTarget():
                raise Fault("leases: a statement names a connection that speaks no SQL")
            case _:
                assert_never(connection.target)

    def _server(self, connection: Connection, target: ServerTarget) -> tuple[Server, bytes]:
        known = self._servers.get(connection.name)
        if known is None:
            known = read_dsn(target.dsn, connection.name, _PARSERS[connection.engine]).server, self._key()
            self._servers[connection.name] = known
        return known

    def _key(self) -> bytes:
        try:
            return read_lease_key(self._lease_key)
        except Misconfigured as error:
            message = f"{error}; `sandbox doctor --setup-sql CONNECTION` makes a missing one, and the logins with it"
            raise Refused(Reason.EXECUTOR_UNAVAILABLE, message) from error
