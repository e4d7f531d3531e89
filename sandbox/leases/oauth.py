"""With which credential is a target asked whose operator named an authorization server? A token for this call's scopes.

Where the server can revoke, the token is fetched for one call and void after it; else it is used again for the same
connection, scopes and caller until shortly before its own end.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, TypeAlias, final

from sandbox.leases.asking import CallBounds
from sandbox.leases.assertions import Assertions, Subject
from sandbox.leases.authorization_server import AccessToken, AuthorizationServer, NoToken
from sandbox.leases.once import Once
from sandbox.leases.sources import Secrets
from sandbox.outbound.wire import Resolve, system_resolve
from sandbox.reasons import ASK_LATER, Reason, Refused, quoted
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import Connection, HttpTarget, OAuth

MARGIN_S: Final = 30.0
"""A token this close to its end is not used again: clocks differ, and a call takes its time."""
MAX_REMEMBERED: Final = 1024
"""Tokens of one connection."""

_Key: TypeAlias = tuple[tuple[str, ...], Subject | None]


@final
class Tokens:
    """The access tokens of one connection."""

    def __init__(self, connection: Connection, auth: OAuth, server: AuthorizationServer) -> None:
        """Lend what `server` gives."""
        self.connection = connection
        self.auth = auth
        self._server = server
        self._lock = threading.Lock()
        self._remembered: OrderedDict[_Key, AccessToken] = OrderedDict()
        self._once: Once[_Key, AccessToken] = Once(NoToken)

    @property
    def is_revoked(self) -> bool:
        """Whether a token is void once its call is over."""
        return self.auth.revoke_path is not None

    def take(self, scopes: tuple[str, ...], subject: Subject, bounds: CallBounds) -> AccessToken:
        """Return a token for a call; raises `Refused`, which says nothing of why there is none."""
        try:
            if self.is_revoked:
                return self._asked(scopes, subject, bounds)
            key = self._key(scopes, subject)
            return self._known(key) or self._once.ask(
                key, lambda: self._known(key) or self._remember(key, self._asked(scopes, subject, bounds)), bounds
            )
        except NoToken as error:
            raise self._none(str(error)) from error

    def _asked(self, scopes: tuple[str, ...], subject: Subject, bounds: CallBounds) -> AccessToken:
        try:
            return self._server.token(scopes, subject, bounds)
        except Refused as refused:
            if refused.reason is Reason.EXECUTOR_UNAVAILABLE:
                warn_often("secret unreadable", self.connection.name, causes=refused.message)
                raise NoToken("client secret") from refused
            raise

    def give_back(self, token: AccessToken, bounds: CallBounds) -> None:
        """End a call's token if the server can; never raises."""
        if self.is_revoked:
            self._server.give_back(token.text, bounds)

    def forget(self, scopes: tuple[str, ...], subject: Subject, token: AccessToken | None) -> None:
        """Use a token no more that its target does not take; one that is remembered since then stays."""
        key = self._key(scopes, subject)
        with self._lock:
            if self._remembered.get(key) is token:
                self._remembered.pop(key, None)

    def _key(self, scopes: tuple[str, ...], subject: Subject) -> _Key:
        # INVARIANT: an exchanged token stands for its caller, and nobody else is given it.
        return scopes, subject if self.auth.grant == "token_exchange" else None

    def _known(self, key: _Key) -> AccessToken | None:
        with self._lock:
            token = self._remembered.get(key)
        return token if token is not None and time.monotonic() < token.ends - MARGIN_S else None

    def _remember(self, key: _Key, token: AccessToken) -> AccessToken:
        with self._lock:
            self._remembered[key] = token
            self._remembered.move_to_end(key)
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return token

    def _none(self, word: str) -> Refused:
        warn_often("oauth token refused", self.connection.name, causes=word)
        server = f"the authorization server of connection {quoted(self.connection.name)}"
        message = f"{server} lends no usable token; {ASK_LATER}"
        return Refused(Reason.EXECUTOR_UNAVAILABLE, message, rule="leases/token", retry_after_s=1.0)


@final
@dataclass(slots=True, kw_only=True)
class TokenLease:
    """The right to ask one host within scopes, lent for a block; the token is there within the block only."""

    connection: str
    scope: str
    """Scheme and host that the token is sent to, and its scopes."""
    digest: bytes
    """SHA-256 over the public facts: connection, its digest, origin, grant, scopes, how it ends. Nobody's name."""
    bounds: CallBounds = field(repr=False)
    _tokens: Tokens = field(repr=False)
    _scopes: tuple[str, ...] = field(repr=False)
    _subject: Subject = field(repr=False)
    _token: AccessToken | None = field(default=None, repr=False)

    @property
    def header(self) -> tuple[str, str] | None:
        """Name and value of the header that carries the token."""
        return None if self._token is None else ("Authorization", f"Bearer {self._token.text.reveal()}")

    @property
    def expires_at(self) -> float | None:
        """When the token ends at the latest, in seconds since 1970 UTC; None outside the block."""
        return None if self._token is None else self._token.expires_at

    def tells(self, text: str) -> bool:
        """Whether `text` holds the token."""
        return self._token is not None and self._token.text.stands_in(text)

    def doubt(self) -> None:
        """Use this token for no later call: its target does not take it."""
        self._tokens.forget(self._scopes, self._subject, self._token)

    def __enter__(self) -> TokenLease:
        """Get the token; raises `Refused`."""
        self._token = self._tokens.take(self._scopes, self._subject, self.bounds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            self._tokens.give_back(token, self.bounds)


def token_lease(
    tokens: Tokens, target: HttpTarget, scopes: Sequence[str], subject: Subject, bounds: CallBounds
) -> TokenLease:
    """Return the lease of one call."""
    connection, auth = tokens.connection, tokens.auth
    wanted = " ".join(scopes)
    ends = "revoked after its call" if tokens.is_revoked else "expiring"
    facts = f"oauth\n{connection.name}\n{connection.digest}\n{target.origin}\n{auth.grant}\n{wanted}\n{ends}\n"
    return TokenLease(
        connection=connection.name,
        scope=f"{target.origin} {wanted}",
        digest=hashlib.sha256(facts.encode()).digest(),
        bounds=bounds,
        _tokens=tokens,
        _scopes=tuple(scopes),
        _subject=subject,
    )


def tokens_of(
    connections: Mapping[str, Connection],
    secrets: Secrets,
    assertions: Assertions | None,
    resolve: Resolve = system_resolve,
) -> Mapping[str, Tokens]:
    """Return the tokens of each connection that has an authorization server; raises `Misconfigured`."""
    return {
        name: Tokens(each, auth, AuthorizationServer(each, auth, secrets, assertions, resolve))
        for name, each in connections.items()
        if isinstance(each.target, HttpTarget) and isinstance(auth := each.target.auth, OAuth)
    }
