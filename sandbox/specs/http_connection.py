"""Which service does a connection of engine `http` lead to, and how far? Reads one table of `connections.toml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, final, get_args

from sandbox.reasons import quoted
from sandbox.specs.findings import Findings, Rule, suggestion
from sandbox.specs.oauth_connection import read_oauth
from sandbox.specs.secret_places import SecretPlaces
from sandbox.specs.toml_values import is_table, texts
from sandbox.specs.trust import check_address, read_ca, read_networks
from sandbox.specs.urls import BASE_URL, SEGMENT, Url, split_url
from sandbox.toml_places import TomlPlaces
from sandbox.toolspec import HttpAuth, HttpCeiling, HttpMethod, HttpTarget, OAuth, SecretSource

KEYS: Final = ("engine", "base_url", "allow_plain", "auth", "networks", "ca", "ceiling")
CEILING_KEYS: Final = ("methods", "paths", "tools")
METHODS: Final[tuple[HttpMethod, ...]] = get_args(HttpMethod)
HEADER_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
OWN_HEADERS: Final = frozenset(
    {
        "host", "cookie", "content-length", "transfer-encoding", "content-encoding", "accept-encoding", "connection",
        "keep-alive", "te", "trailer", "upgrade", "expect", "proxy-connection", "proxy-authenticate",
        "proxy-authorization",
    }
)  # fmt: skip
"""Headers that say where a request ends, who sends it or how it is read: nobody but the executor writes them."""
STANDING_FOR: Final = re.compile(
    r"(x-)?(http-)?method(-override)?|x-(original|rewrite)-.*|(x-)?forwarded(-.*)?|x-real-ip"
)
"""Headers by which some targets take a request for another one, past the ceiling of methods and paths."""
_CEILING: Final = '`ceiling = {methods = ["GET"], paths = ["/v1/customers/*"]}`, or openly `"all"` for either,'
_AUTH: Final = (
    '`{bearer = {env = "NAME"}}`, `{header = "X-Api-Key", value = {file = "secrets/NAME"}}`, or a table `oauth`,'
)
_REFERENCE: Final = '`{env = "NAME"}`, `{file = "secrets/NAME"}` or `{vault = "secret/data/NAME#FIELD"}`'


def read_http_target(
    name: str, entry: Mapping[str, object], secrets: SecretPlaces, findings: Findings, places: TomlPlaces
) -> HttpTarget | None:
    """Return where the connection `name` leads; None if anything is wrong, all of which is noted."""
    before = len(findings.problems)
    reader = _TargetReader(name, entry, secrets, findings, places)
    target = reader.read()
    return target if len(findings.problems) == before else None


@final
class _TargetReader:
    """Takes the keys of one connection."""

    def __init__(
        self, name: str, entry: Mapping[str, object], secrets: SecretPlaces, findings: Findings, places: TomlPlaces
    ) -> None:
        self._name = name
        self._entry = entry
        self._secrets = secrets
        self._findings = findings
        self._places = places
        # INVARIANT: a secret that was written out, in `auth` or as a login, is not shown where lint is.
        self._may_hold_secret = "auth" in entry or "@" in str(entry.get("base_url", ""))

    def read(self) -> HttpTarget | None:
        for key in self._entry:
            if key not in KEYS:
                message = f"unknown key {quoted(key)} in a connection of engine `http`{suggestion(key, KEYS)}"
                self._note(Rule.CONNECTION_KEY, key, message)
        base, ceiling = self._base_url(), self._ceiling()
        networks = read_networks(self._entry.get("networks"), self._note)
        auth, ca = self._auth(), read_ca(self._entry.get("ca"), self._secrets, self._note)
        if base is None:
            return None
        check_address(base.host, networks, "base_url", self._note)
        if base.scheme == "http" and ca is not None:
            self._note(Rule.CONNECTION_VALUE, "ca", "`ca` is for `https://`; this `base_url` is plain HTTP")
        return HttpTarget(
            scheme=base.scheme,
            host=base.host,
            port=base.port,
            prefix=base.path,
            auth=auth,
            networks=networks,
            ca=ca,
            ceiling=ceiling,
        )

    def _note(self, rule: Rule, key: str, message: str) -> None:
        mark = self._places.of(self._name, key)
        self._findings.add(rule, mark, message, may_show_line=not self._may_hold_secret)

    def _base_url(self) -> Url | None:
        written = self._entry.get("base_url")
        if not isinstance(written, str):
            message = f"connection {quoted(self._name)} needs a `base_url`; {BASE_URL} is accepted"
            self._note(Rule.CONNECTION_VALUE, "base_url", message)
            return None
        complaint, base = split_url(written)
        if base is None:
            shown = "" if "@" in written else f" {quoted(written)}"
            self._note(Rule.CONNECTION_VALUE, "base_url", f"`base_url`{shown} {complaint}")
            return None
        is_plain = self._entry.get("allow_plain", False)
        if not isinstance(is_plain, bool):
            self._note(Rule.CONNECTION_VALUE, "allow_plain", "`allow_plain` is `true` or left out")
        elif base.scheme == "http" and not is_plain:
            message = "`http://` lets anybody on the way read and change it; `https://`, or openly `allow_plain = true`"
            self._note(Rule.CONNECTION_VALUE, "base_url", f"{message}, is accepted")
        return base

    def _ceiling(self) -> HttpCeiling:
        nothing = HttpCeiling(frozenset(), ())
        value = self._entry.get("ceiling")
        if not is_table(value):
            message = f"connection {quoted(self._name)} has no ceiling; {_CEILING} is required"
            self._note(Rule.CONNECTION_CEILING, "ceiling", message)
            return nothing
        for key in value:
            if key not in CEILING_KEYS:
                message = f"unknown key {quoted(key)} in a ceiling of `http`{suggestion(key, CEILING_KEYS)}"
                self._note(Rule.CONNECTION_KEY, "ceiling", message)
        methods, paths = value.get("methods"), value.get("paths")
        for what, given in (("methods", methods), ("paths", paths)):
            if given != "all" and not texts(given):
                message = f"the ceiling of {quoted(self._name)} names no {what}; {_CEILING} is accepted"
                self._note(Rule.CONNECTION_CEILING, "ceiling", message)
        for method in texts(methods):
            if method not in METHODS:
                message = f"unknown method {quoted(method)} in a ceiling{suggestion(method, METHODS)}"
                self._note(Rule.CONNECTION_CEILING, "ceiling", message)
        return HttpCeiling(
            None if methods == "all" else frozenset(texts(methods)),
            None if paths == "all" else tuple(self._pattern(path) for path in texts(paths)),
        )

    def _pattern(self, path: str) -> tuple[str, ...]:
        segments = tuple(path.removeprefix("/").split("/"))
        is_good = path.startswith("/") and all(
            (SEGMENT.fullmatch(segment) and segment not in {".", ".."} and "*" not in segment)
            or segment == "*"
            or (segment == "**" and index == len(segments) - 1)
            or (not segment and index == len(segments) - 1)
            for index, segment in enumerate(segments)
        )
        if not is_good:
            accepted = "`/a/b`, with `*` for any one segment and `**` for all that follow,"
            message = f"path {quoted(path)} in a ceiling; {accepted} is accepted"
            self._note(Rule.CONNECTION_CEILING, "ceiling", message)
        return segments

    def _auth(self) -> HttpAuth | OAuth | None:
        value = self._entry.get("auth")
        if value is None:
            return None
        if is_table(value) and set(value) == {"bearer"}:
            secret = self._secret(value["bearer"])
            return None if secret is None else HttpAuth("Authorization", "Bearer ", secret)
        if is_table(value) and set(value) == {"oauth"}:
            oauth = value["oauth"]
            secret = self._secret(oauth.get("client_secret") if is_table(oauth) else None)
            return read_oauth(oauth, secret, self._secrets, self._note)
        if not is_table(value) or set(value) != {"header", "value"}:
            self._note(Rule.CONNECTION_VALUE, "auth", f"`auth` is something else; {_AUTH} is accepted")
            return None
        header, secret = value["header"], self._secret(value["value"])
        if not isinstance(header, str) or not HEADER_NAME.fullmatch(header) or header.lower() in OWN_HEADERS:
            message = "`header` cannot carry a secret; a name such as `X-Api-Key` is accepted"
            self._note(Rule.CONNECTION_VALUE, "auth", message)
            return None
        return None if secret is None else HttpAuth(header, "", secret)

    def _secret(self, value: object) -> SecretSource | None:
        complaint = ""
        if is_table(value) and len(value) == 1:
            ((kind, where),) = value.items()
            source, complaint = self._secrets.source(kind, where, "the secret")
            if source is not None:
                return source
        # INVARIANT: what stands there is not told: it may be the secret itself.
        message = f"a secret stands in no connection; where it lies is accepted: {_REFERENCE}"
        is_of_a_vault = is_table(value) and set(value) == {"vault"}
        self._note(Rule.CONNECTION_VALUE, "auth", complaint if is_of_a_vault else message)
        return None
