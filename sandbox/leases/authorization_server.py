"""Which access token does an authorization server lend? One for exactly the scopes asked for, that ends.

# INVARIANT: of what the server answers nothing is told but a fixed word: its errors may quote what they were sent.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final
from urllib.parse import quote_plus, urlencode

from sandbox.leases.afterwards import RETURNS
from sandbox.leases.asking import CallBounds, Reply, ask
from sandbox.leases.assertions import Assertions, Subject
from sandbox.leases.sources import Secret, Secrets
from sandbox.outbound.destinations import destination
from sandbox.outbound.wire import Failed, Resolve, system_resolve
from sandbox.reasons import Fault, quoted
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import Connection, OAuth

TOKEN_S: Final = 10.0
REVOKE_S: Final = 5.0
NOT_REVOKED: Final = "oauth token not revoked"
LONGEST_S: Final = 86_400
"""A token that lives longer than a day is as good as standing, and refused."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
"""RFC 6749, appendix A.12, but for the space, which ends a credential in a header."""
_TOLD: Final = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
        *("invalid_scope", "invalid_target", "access_denied", "server_error", "temporarily_unavailable"),
    }
)
"""Codes of RFC 6749 and 8693 that are told as they are; every other text of the server's is `other`."""
_ACCESS_TOKENS: Final = frozenset(
    {"urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"}
)
_EXCHANGE: Final = (
    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
    ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
)
_FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")


class NoToken(Exception):
    """No token can be had, by a fixed word for operators."""


@final
@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and its end."""

    text: Secret
    expires_at: float
    """Seconds since 1970 UTC."""
    ends: float
    """The same, in `time.monotonic()` seconds."""


@final
class AuthorizationServer:
    """Asks one connection's authorization server."""

    def __init__(
        self,
        connection: Connection,
        auth: OAuth,
        secrets: Secrets,
        assertions: Assertions | None,
        resolve: Resolve = system_resolve,
    ) -> None:
        """Know where it is; raises `Misconfigured` for a `ca` that cannot be used."""
        self._connection = connection.name
        self._auth = auth
        self._secrets = secrets
        self._assertions = assertions
        self._to = destination(
            host=auth.host,
            port=auth.port,
            is_secure=True,
            ca=auth.ca,
            networks=auth.networks,
            resolve=resolve,
            whose=f"connections.toml: [{connection.name}] `oauth`:",
        )

    def token(self, scopes: Sequence[str], subject: Subject, bounds: CallBounds) -> AccessToken:
        """Ask for a token; raises `NoToken`, or `Refused` if a secret cannot be read or the call is over."""
        asked_at = time.monotonic()
        try:
            reply = self._post(self._auth.token_path, self._grant(scopes, subject), bounds, TOKEN_S)
        except Failed as failed:
            raise NoToken(failed.trouble) from None
        text = _token_of(reply)
        try:
            seconds = _checked(reply, scopes, is_exchange=self._auth.grant == "token_exchange")
            left_s = asked_at + seconds - time.monotonic()
            if left_s <= 0:
                raise NoToken("expires_in")
        except BaseException:
            self.give_back(Secret(text), bounds)  # nobody uses it, and nobody shall
            raise
        return AccessToken(Secret(text), time.time() + left_s, asked_at + seconds)

    def give_back(self, token: Secret, bounds: CallBounds) -> None:
        """Have a call's token made void (RFC 7009) if the server can do that; never raises."""
        if self._auth.revoke_path is not None:
            RETURNS.begin(lambda: self._revoke(token), NOT_REVOKED, self._connection, bounds)

    def _revoke(self, token: Secret) -> None:
        form = [("token", token.reveal()), ("token_type_hint", "access_token")]
        # The call is over, so its bounds are not these.
        bounds = CallBounds(time.monotonic() + REVOKE_S)
        status = self._post(self._auth.revoke_path or "", form, bounds, REVOKE_S).status
        if status != 200:
            warn_often(NOT_REVOKED, self._connection, causes=str(status))

    def _grant(self, scopes: Sequence[str], subject: Subject) -> list[tuple[str, str]]:
        form = [("grant_type", "client_credentials")]
        if self._auth.grant == "token_exchange":
            if self._assertions is None:
                raise Fault("leases: tokens are exchanged without a key to say for whom")
            form = [*_EXCHANGE, ("subject_token", self._assertions.sign(subject, self._auth.token_url).reveal())]
        form.append(("scope", " ".join(scopes)))
        form += [("audience", self._auth.audience)] if self._auth.audience else []
        form += [("resource", self._auth.resource)] if self._auth.resource else []
        return form

    def _post(self, path: str, form: list[tuple[str, str]], bounds: CallBounds, seconds: float) -> Reply:
        what = f"the client secret of connection {quoted(self._connection)}"
        secret = self._secrets.read(self._auth.client_secret, what, bounds).reveal()
        headers: list[tuple[str, str]] = [_FORM]
        if self._auth.client_auth == "basic":
            pair = f"{quote_plus(self._auth.client_id)}:{quote_plus(secret)}"
            headers.append(("Authorization", f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"))
        else:
            form = [*form, ("client_id", self._auth.client_id), ("client_secret", secret)]
        return ask(self._to, "POST", path, headers, urlencode(form).encode("ascii"), bounds, seconds)


def _token_of(reply: Reply) -> str:
    """Return the token of an answer, fit for a header; raises `NoToken`."""
    if reply.status != 200:
        error = reply.document.get("error")
        raise NoToken(error if isinstance(error, str) and error in _TOLD else f"status {reply.status}")
    text = reply.document.get("access_token")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise NoToken("malformed")
    return text


def _checked(reply: Reply, scopes: Sequence[str], *, is_exchange: bool) -> int:
    """Return how many seconds the token lives; raises `NoToken` unless it is of the kind and width asked for."""
    said = reply.document
    kind, given, seconds = said.get("token_type"), said.get("scope"), said.get("expires_in")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise NoToken("token_type")
    issued = said.get("issued_token_type")
    if is_exchange and not (isinstance(issued, str) and issued in _ACCESS_TOKENS):
        raise NoToken("issued_token_type")
    # RFC 6749, section 5.1: no scope told means the one asked for.
    if given is not None and not (isinstance(given, str) and set(given.split(" ")) <= {"", *scopes}):
        raise NoToken("wider scope")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= LONGEST_S:
        raise NoToken("expires_in")
    return seconds
