"""What does OpenBao or HashiCorp Vault hold at a path? Asked as an AppRole, whose token is given back at once.

# INVARIANT: of what a vault answers nothing is told but the step that went wrong: its errors may quote its questions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeGuard, final

import orjson

from sandbox.deployment import Misconfigured, read_private
from sandbox.leases.afterwards import RETURNS
from sandbox.leases.asking import CallBounds, Reply, ask
from sandbox.outbound.destinations import destination
from sandbox.outbound.wire import Destination, Failed, system_resolve
from sandbox.reasons import quoted
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import VaultSecret, VaultServer
from sandbox.values import JsonObject

NOT_REVOKED: Final = "vault token not revoked"
STEP_S: Final = 3.0
"""For each of the three questions; a vault that takes longer is down."""
REMEMBERED_S: Final = 60.0
"""For how long a secret is believed at most."""
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_ANYWHERE: Final = ("0.0.0.0/0", "::/0")
"""WHY: a vault lies within; that it is the right one is what its certificate proves."""


class VaultRefused(Exception):
    """The secret cannot be had: one sentence for operators, without any part of it."""


def read_vault(secret: VaultSecret, bounds: CallBounds) -> tuple[str, float]:
    """Return the secret and for how many seconds it may be remembered.

    Raises `VaultRefused`, or `Refused` if the call that it is for is over.
    """
    try:
        return _Visit(secret.server, bounds).read(secret)
    except Failed as failed:
        raise VaultRefused(f"the vault gave no answer ({failed.trouble})") from None
    except Misconfigured as error:
        raise VaultRefused(f"the vault cannot be asked: {error}") from None


@final
class _Visit:
    """Logs in, reads one entry, and logs out."""

    def __init__(self, server: VaultServer, bounds: CallBounds) -> None:
        self._server = server
        self._bounds = bounds
        self._to: Destination = destination(
            host=server.host,
            port=server.port,
            is_secure=server.scheme == "https",
            ca=server.ca,
            networks=_ANYWHERE if server.scheme == "https" else _LOOPBACK,
            resolve=system_resolve,
            whose="sandbox.toml: [vault]",
        )

    def read(self, secret: VaultSecret) -> tuple[str, float]:
        token = self._login()
        try:
            return _field(secret, self._ask("GET", secret.path, token))
        finally:
            self._log_out(token)

    def _login(self) -> str:
        said = orjson.dumps({"role_id": _line(self._server.role_id), "secret_id": _line(self._server.secret_id)})
        reply = self._ask("POST", f"auth/{self._server.approle}/login", "", said)
        auth = reply.document.get("auth")
        token = auth.get("client_token") if _is_object(auth) else None
        if reply.status != 200 or not isinstance(token, str) or not _is_plain(token):
            raise VaultRefused(f"the vault lets the AppRole in by no token (status {reply.status})")
        return token

    def _log_out(self, token: str) -> None:
        def revoke() -> None:
            status = self._ask("POST", "auth/token/revoke-self", token, is_after=True).status
            if status not in {200, 204}:
                warn_often(NOT_REVOKED, f"vault {self._server.host}", causes=str(status))

        # WHY: the call waits for its secret, and has the rest of its time for its target.
        RETURNS.begin(revoke, NOT_REVOKED, f"vault {self._server.host}")

    def _ask(self, method: str, path: str, token: str, body: bytes = b"", *, is_after: bool = False) -> Reply:
        headers = [("X-Vault-Request", "true")]
        headers += [("X-Vault-Namespace", self._server.namespace)] if self._server.namespace else []
        headers += [("X-Vault-Token", token)] if token else []
        headers += [("Content-Type", "application/json")] if body else []
        return ask(self._to, method, f"/v1/{path}", headers, body, CallBounds() if is_after else self._bounds, STEP_S)


def _field(secret: VaultSecret, reply: Reply) -> tuple[str, float]:
    if reply.status != 200:
        raise VaultRefused(f"the vault lets nobody read {quoted(secret.path)} as this AppRole (status {reply.status})")
    if reply.document.get("lease_id"):
        # WHY: a secret that the vault made for this very token ends as the token is given back.
        message = (
            f"{quoted(secret.path)} makes a credential for each that asks; an entry of a key-value store is accepted"
        )
        raise VaultRefused(message)
    value = _fields(reply.document).get(secret.field)
    if not isinstance(value, str):
        raise VaultRefused(f"the vault has no text {quoted(secret.field)} at {quoted(secret.path)}")
    match reply.document.get("lease_duration"):
        case int() as seconds if seconds > 0:
            return value, min(REMEMBERED_S, seconds)
        case _:
            return value, REMEMBERED_S


def _fields(document: JsonObject) -> JsonObject:
    """Return the fields of an entry: of a store of version 2 they lie one level down, beside their `metadata`."""
    data = document.get("data")
    if not _is_object(data):
        return {}
    inner = data.get("data")
    return inner if _is_object(inner) and set(data) == {"data", "metadata"} else data


def _line(path: str) -> str:
    try:
        text = read_private(Path(path), "id for the vault").decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not _is_plain(text):
        raise Misconfigured(f"{path}: one line of ASCII is accepted")
    return text


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and len(text) <= 8192


def _is_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)
