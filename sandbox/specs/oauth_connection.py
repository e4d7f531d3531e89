"""Which authorization server lends a connection's tokens, and for which scopes? Reads `auth.oauth` of a connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, cast, final

from sandbox.reasons import quoted
from sandbox.specs.findings import Rule, choices, suggestion
from sandbox.specs.secret_places import SecretPlaces
from sandbox.specs.toml_values import is_table, texts
from sandbox.specs.trust import Note, check_address, read_ca, read_networks
from sandbox.specs.urls import Url, split_url
from sandbox.toolspec import OAuth, SecretSource

KEYS: Final = (
    *("token_url", "revoke_url", "grant", "client_id", "client_secret", "client_auth", "scopes", "audience"),
    *("resource", "networks", "ca"),
)
GRANTS: Final = ("client_credentials", "token_exchange")
CLIENT_AUTHS: Final = ("basic", "body")
SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")
"""RFC 6749, section 3.3, and a length."""
_CLIENT_ID: Final = re.compile(r"[\x20-\x7e]{1,256}")
_URL: Final = "`https://HOST/PATH`"


def read_oauth(value: object, secret: SecretSource | None, places: SecretPlaces, note_auth: Note) -> OAuth | None:
    """Return what `auth.oauth` says, but for the client's secret, which was read before; notes all that is wrong."""
    reader = _Noting(note_auth)
    if not is_table(value):
        reader.note(Rule.CONNECTION_VALUE, "auth", f"`oauth` is a table with {choices(KEYS)}")
        return None
    for key in value:
        if key not in KEYS:
            reader.note(Rule.CONNECTION_KEY, "auth", f"unknown key {quoted(key)} in `oauth`{suggestion(key, KEYS)}")
    token = _url(value, "token_url", reader.note)
    revoke = _url(value, "revoke_url", reader.note) if "revoke_url" in value else None
    if token and revoke and (token[0].host, token[0].port) != (revoke[0].host, revoke[0].port):
        reader.note(Rule.CONNECTION_VALUE, "auth", "`revoke_url` is at another host than `token_url`; one is accepted")
    grant = _one_of(value, "grant", GRANTS, reader.note)
    client_auth = _one_of({"client_auth": "basic", **value}, "client_auth", CLIENT_AUTHS, reader.note)
    client_id = value.get("client_id")
    if not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
        reader.note(Rule.CONNECTION_VALUE, "auth", "`oauth` needs a `client_id`: 1 to 256 printable ASCII characters")
    scopes = texts(value.get("scopes"))
    if not scopes or not all(SCOPE.fullmatch(scope) for scope in scopes):
        message = '`oauth` needs `scopes`, the most that a spec may name; a list such as `["customers.read"]`'
        reader.note(Rule.CONNECTION_CEILING, "auth", f"{message} is accepted")
    audience, resource = (_text(value, key, reader.note) for key in ("audience", "resource"))
    networks = read_networks(value.get("networks"), reader.note)
    ca = read_ca(value.get("ca"), places, reader.note)
    if token is not None:
        check_address(token[0].host, networks, "token_url", reader.note)
    if reader.is_wrong or token is None or secret is None:
        return None
    return OAuth(
        grant=cast("Literal['client_credentials', 'token_exchange']", grant),
        host=token[0].host,
        port=token[0].port,
        token_url=token[1],
        token_path=_path(*token),
        revoke_path=None if revoke is None else _path(*revoke),
        client_id=str(client_id),
        client_secret=secret,
        client_auth=cast("Literal['basic', 'body']", client_auth),
        scopes=frozenset(scopes),
        audience=audience,
        resource=resource,
        networks=networks,
        ca=ca,
    )


@final
class _Noting:
    """Notes problems at `auth`, where all of them stand, and knows whether there were any."""

    def __init__(self, note_auth: Note) -> None:
        self._note_auth = note_auth
        self.is_wrong = False

    def note(self, rule: Rule, key: str, message: str) -> None:
        """Note one; `key` is within `oauth`."""
        self.is_wrong = True
        self._note_auth(rule, "auth", f"`oauth`: {message}" if key != "auth" else message)


def _url(value: Mapping[str, object], key: str, note: Note) -> tuple[Url, str] | None:
    written = value.get(key)
    if not isinstance(written, str):
        note(Rule.CONNECTION_VALUE, "auth", f"`oauth` needs a {quoted(key)}; {_URL} is accepted")
        return None
    complaint, url = split_url(written)
    if url is not None and url.scheme != "https":
        complaint = f"is plain HTTP; {_URL} is accepted"
    if url is None or complaint:
        # INVARIANT: what stands there is not told: it may hold a login.
        note(Rule.CONNECTION_VALUE, "auth", f"{quoted(key)} {complaint}")
        return None
    return url, written


def _path(url: Url, written: str) -> str:
    """Return the path as it was written, also where it ends with `/`."""
    return url.path + "/" if written.endswith("/") or not url.path else url.path


def _one_of(value: Mapping[str, object], key: str, accepted: tuple[str, ...], note: Note) -> str:
    given = value.get(key)
    if not isinstance(given, str) or given not in accepted:
        note(Rule.CONNECTION_VALUE, "auth", f"`oauth` needs a {quoted(key)}; accepted: {choices(accepted)}")
        return ""
    return given


def _text(value: Mapping[str, object], key: str, note: Note) -> str:
    given = value.get(key, "")
    if not isinstance(given, str) or len(given) > 1_000 or not (given.isascii() and given.isprintable()):
        note(Rule.CONNECTION_VALUE, "auth", f"{quoted(key)} in `oauth` is a text of printable ASCII")
        return ""
    return given
