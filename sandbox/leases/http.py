"""With which credential is an HTTP target asked? The connection's standing secret, there for one call and then dropped.

Nothing at the target expires it, so the lease names itself standing; what confines it is the connection's ceiling, the
one host it is sent to, and that nobody but the executor sees it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import TracebackType
from typing import final

from sandbox.leases.asking import CallBounds
from sandbox.leases.sources import Secret, Secrets
from sandbox.reasons import ASK_LATER, Reason, Refused, quoted
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import Connection, HttpAuth, HttpTarget


@final
@dataclass(slots=True)
class HttpLease:
    """The right to ask one host, lent for a block; the secret is there within the block only."""

    connection: str
    scope: str
    """Scheme and host that it is sent to."""
    digest: bytes
    """SHA-256 over the public facts: connection, its digest, scope, header, standing."""
    bounds: CallBounds = field(repr=False)
    _secrets: Secrets = field(repr=False)
    _auth: HttpAuth | None = field(repr=False)
    _secret: Secret | None = field(default=None, repr=False)

    @property
    def header(self) -> tuple[str, str] | None:
        """Name and value of the header that carries the secret, within the block; None if the connection has none."""
        if self._auth is None or self._secret is None:
            return None
        return self._auth.header, self._auth.scheme + self._secret.reveal()

    def tells(self, text: str) -> bool:
        """Whether `text` holds the secret."""
        return self._secret is not None and self._secret.stands_in(text)

    @property
    def expires_at(self) -> None:
        """Never: it is standing."""
        return

    def __enter__(self) -> HttpLease:
        """Read the secret; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
        if self._auth is not None:
            self._secret = self._read(self._auth)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._secret = None

    def _read(self, auth: HttpAuth) -> Secret:
        # INVARIANT: the caller learns neither where the secret lies nor, like everybody else, any part of it.
        try:
            secret = self._secrets.read(auth.secret, f"connection {quoted(self.connection)}", self.bounds)
        except Refused as refused:
            if refused.reason is not Reason.EXECUTOR_UNAVAILABLE:
                raise  # the call was over before the secret came
            raise self._unreadable(refused.message) from refused
        if not secret.reveal().isascii():
            raise self._unreadable("a header carries ASCII, and the secret is something else")
        return secret

    def _unreadable(self, complaint: str) -> Refused:
        warn_often("secret unreadable", self.connection, causes=complaint)
        message = f"the secret of connection {quoted(self.connection)} cannot be read; {ASK_LATER}"
        return Refused(Reason.EXECUTOR_UNAVAILABLE, message, rule="leases/secret")


def http_lease(
    connection: Connection, target: HttpTarget, auth: HttpAuth | None, secrets: Secrets, bounds: CallBounds
) -> HttpLease:
    """Return the lease of one call on a connection whose secret is standing."""
    header = "" if auth is None else auth.header
    facts = f"http\n{connection.name}\n{connection.digest}\n{target.origin}\n{header}\nstanding\n"
    digest = hashlib.sha256(facts.encode()).digest()
    return HttpLease(connection.name, target.origin, digest, bounds, secrets, auth)
