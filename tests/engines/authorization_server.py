"""Which authorization server do the tests ask? A small one over TLS: issues, exchanges, revokes, remembers."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, unquote_plus

from http_cast import Target, reply

CLIENT = ("sandbox client", "cl1ent: s3cret+0451")
"""Id and secret, with characters that must be encoded (RFC 6749, section 2.3.1)."""

Change = Callable[[dict[str, object]], None]


@dataclass
class Issued:
    """One access token, and for whom and what."""

    form: Mapping[str, str]
    subject: str
    is_revoked: bool = False

    @property
    def scopes(self) -> list[str]:
        return self.form["scope"].split(" ")


@dataclass
class AuthorizationServer:
    """Issues a token to whoever proves to be the client; tests may change what it says."""

    tls: ssl.SSLContext
    issued: dict[str, Issued] = field(default_factory=dict)
    change: Change = lambda _: None
    """Changes a good answer before it is sent."""
    says: Callable[[socket.socket, bytes], None] | None = None
    """Answers the token endpoint in the place of all this."""
    revocation_says: Callable[[socket.socket, bytes], None] | None = None
    revoked: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.target = Target([self._answer], self.tls)
        self.target.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.target.__exit__()

    @property
    def port(self) -> int:
        return self.target.port

    def is_live(self, token: str) -> bool:
        """Whether a token opens anything: what a resource server asks by introspection."""
        return token in self.issued and not self.issued[token].is_revoked

    def _answer(self, line: socket.socket, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        says = self.says if path == "/oauth/token" else self.revocation_says
        if says is not None:
            says(line, request)
            return
        form = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        if _client(head.decode(), form) != CLIENT:
            line.sendall(reply(b'{"error": "invalid_client"}', "401 Unauthorized"))
        elif path == "/oauth/token":
            line.sendall(reply(json.dumps(self._issue(form)).encode()))
        elif path == "/oauth/revoke":
            if form["token"] in self.issued:
                self.issued[form["token"]].is_revoked = True
            self.revoked.set()
            line.sendall(reply(b""))

    def _issue(self, form: Mapping[str, str]) -> dict[str, object]:
        token = secrets.token_urlsafe(24)
        said: dict[str, object] = {"access_token": token, "token_type": "Bearer", "expires_in": 300}
        subject = ""
        if form["grant_type"].endswith("token-exchange"):
            subject = claims_of(form["subject_token"])["sub"]
            said["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        self.change(said)
        self.issued[str(said.get("access_token"))] = Issued(form, subject)
        return said


def _client(head: str, form: Mapping[str, str]) -> tuple[str, str]:
    """Return who asks, by header or by form."""
    for line in head.split("\r\n"):
        if line.startswith("Authorization: Basic "):
            name, _, secret = base64.b64decode(line[21:]).decode().partition(":")
            return unquote_plus(name), unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret", "")


def claims_of(token: str) -> dict[str, str]:
    """Return what a JWT says, its signature aside."""
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
