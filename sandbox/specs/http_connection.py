"""Which service does a connection of engine `http` lead to, and how far? Reads one table of `connections.toml`."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast, final, get_args
from urllib.parse import SplitResult, urlsplit

from sandbox.reasons import quoted
from sandbox.specs.findings import Findings, Rule, suggestion
from sandbox.specs.toml_values import is_table, texts
from sandbox.toml_places import TomlPlaces
from sandbox.toolspec import EnvSecret, FileSecret, HttpAuth, HttpCeiling, HttpMethod, HttpTarget, SecretSource

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
SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@-]+")
"""What a fixed part of a path may hold: nothing that is encoded, so that it reads the same to everybody."""

_HOST_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LIKE_A_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_BASE_URL: Final = "`https://HOST`, with a port and a path if need be,"
_CEILING: Final = '`ceiling = {methods = ["GET"], paths = ["/v1/customers/*"]}`, or openly `"all"` for either,'
_AUTH: Final = '`{bearer = {env = "NAME"}}` or `{header = "X-Api-Key", value = {file = "secrets/NAME"}}`'
_REFERENCE: Final = '`{env = "NAME"}` or `{file = "secrets/NAME"}`'


class _BaseUrl(NamedTuple):
    scheme: Literal["https", "http"]
    host: str
    port: int
    prefix: str


def read_http_target(
    name: str, entry: Mapping[str, object], root: Path, findings: Findings, places: TomlPlaces
) -> HttpTarget | None:
    """Return where the connection `name` leads; None if anything is wrong, all of which is noted."""
    before = len(findings.problems)
    reader = _TargetReader(name, entry, root, findings, places)
    target = reader.read()
    return target if len(findings.problems) == before else None


def host_of(written: str) -> str | None:
    """Return a host as it is asked for; None for one that readers dispute: `0177.1`, `2130706433`, `fe80::1%eth0`."""
    lowered = written.lower()
    try:
        address = ipaddress.ip_address(lowered)
    except ValueError:
        labels = lowered.split(".")
        is_name = len(lowered) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in labels)
        return lowered if is_name and not _LIKE_A_NUMBER.fullmatch(labels[-1]) else None
    return None if "%" in lowered else str(address)


@final
class _TargetReader:
    """Takes the keys of one connection."""

    def __init__(
        self, name: str, entry: Mapping[str, object], root: Path, findings: Findings, places: TomlPlaces
    ) -> None:
        self._name = name
        self._entry = entry
        self._root = root
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
        networks, auth, ca = self._networks(), self._auth(), self._ca()
        if base is None:
            return None
        if base.scheme == "http" and ca is not None:
            self._note(Rule.CONNECTION_VALUE, "ca", "`ca` is for `https://`; this `base_url` is plain HTTP")
        return HttpTarget(
            scheme=base.scheme,
            host=base.host,
            port=base.port,
            prefix=base.prefix,
            auth=auth,
            networks=networks,
            ca=ca,
            ceiling=ceiling,
        )

    def _note(self, rule: Rule, key: str, message: str) -> None:
        mark = self._places.of(self._name, key)
        self._findings.add(rule, mark, message, may_show_line=not self._may_hold_secret)

    def _base_url(self) -> _BaseUrl | None:
        written = self._entry.get("base_url")
        if not isinstance(written, str):
            message = f"connection {quoted(self._name)} needs a `base_url`; {_BASE_URL} is accepted"
            self._note(Rule.CONNECTION_VALUE, "base_url", message)
            return None
        complaint, base = _split(written)
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

    def _networks(self) -> tuple[str, ...]:
        value = self._entry.get("networks")
        if value is None:
            return ()
        networks: list[str] = []
        if not texts(value):
            message = '`networks` names nothing; a list such as `["10.1.0.0/16"]` is accepted'
            self._note(Rule.CONNECTION_VALUE, "networks", message)
        for text in texts(value):
            try:
                networks.append(str(ipaddress.ip_network(text)))
            except ValueError:
                message = f"network {quoted(text)}; an address or a range such as `10.1.0.0/16` is accepted"
                self._note(Rule.CONNECTION_VALUE, "networks", message)
        return tuple(networks)

    def _auth(self) -> HttpAuth | None:
        value = self._entry.get("auth")
        if value is None:
            return None
        if is_table(value) and set(value) == {"bearer"}:
            secret = self._secret(value["bearer"])
            return None if secret is None else HttpAuth("Authorization", "Bearer ", secret)
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
        if is_table(value) and len(value) == 1:
            variable, path = value.get("env"), value.get("file")
            if isinstance(variable, str) and _VARIABLE.fullmatch(variable):
                return EnvSecret(variable)
            if isinstance(path, str) and path and path.isprintable():
                return FileSecret(self._absolute(path))
        # INVARIANT: what stands there is not told: it may be the secret itself.
        message = f"a secret stands in no connection; where it lies is accepted: {_REFERENCE}"
        self._note(Rule.CONNECTION_VALUE, "auth", message)
        return None

    def _ca(self) -> str | None:
        value = self._entry.get("ca")
        if value is None:
            return None
        if not isinstance(value, str) or not value or not value.isprintable():
            self._note(Rule.CONNECTION_VALUE, "ca", "`ca` is the path of a PEM file with certificates")
            return None
        path = self._absolute(value)
        if not Path(path).is_file():
            message = f"there is no file {quoted(value)}; a PEM file with certificates is accepted"
            self._note(Rule.CONNECTION_PATH, "ca", message)
        return path

    def _absolute(self, path: str) -> str:
        return os.path.normpath(self._root.absolute() / path)


def _split(written: str) -> tuple[str, _BaseUrl | None]:
    """Return the parts of a base URL, or what is wrong with it."""
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:
        return f"is no URL; {_BASE_URL} is accepted", None
    host = host_of(parts.hostname or "") if _is_whole(parts) else None
    prefix = parts.path.removesuffix("/")
    complaint = ""
    if not written.isascii() or not written.isprintable() or any(c in written for c in ' \\<>"`{|}^%?#'):
        complaint = f"holds a query, a fragment, or what a URL has only encoded; {_BASE_URL} is accepted"
    elif parts.scheme not in {"https", "http"} or not parts.netloc or "@" in parts.netloc:
        complaint = f"is no address of HTTP, or holds a login; {_BASE_URL} is accepted"
    elif host is None:
        complaint = "has a host that readers dispute; a DNS name, `192.0.2.7` or `[2001:db8::7]` is accepted"
    elif any(not SEGMENT.fullmatch(part) or part in {".", ".."} for part in prefix.split("/")[1:]):
        complaint = f"has a path with empty or moving segments; {_BASE_URL} is accepted"
    if complaint or host is None:
        return complaint, None
    scheme = cast("Literal['https', 'http']", parts.scheme)
    return "", _BaseUrl(scheme, host, port or (443 if scheme == "https" else 80), prefix)


def _is_whole(parts: SplitResult) -> bool:
    """Whether host and port are all of the authority, and brackets hold an IPv6 address and nothing else does."""
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return parts.netloc.lower() in {shown, f"{shown}:{parts.port}"} and parts.port != 0
