"""What does a URL that an operator wrote say, if all readers agree on it? Scheme, host, port and a path."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal, NamedTuple, cast
from urllib.parse import SplitResult, urlsplit

SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@-]+")
"""What a fixed part of a path may hold: nothing that is encoded, so that it reads the same to everybody."""

_HOST_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LIKE_A_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
BASE_URL: Final = "`https://HOST`, with a port and a path if need be,"


class Url(NamedTuple):
    """The parts of a URL."""

    scheme: Literal["https", "http"]
    host: str
    """A DNS name in lower case, or an address without brackets."""
    port: int
    path: str
    """Empty, or with a leading `/`; without the last `/`."""


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


def split_url(written: str) -> tuple[str, Url | None]:
    """Return the parts of a base URL, or what is wrong with it."""
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:
        return f"is no URL; {BASE_URL} is accepted", None
    host = host_of(parts.hostname or "") if _is_whole(parts) else None
    path = parts.path.removesuffix("/")
    complaint = ""
    if not written.isascii() or not written.isprintable() or any(c in written for c in ' \\<>"`{|}^%?#'):
        complaint = f"holds a query, a fragment, or what a URL has only encoded; {BASE_URL} is accepted"
    elif parts.scheme not in {"https", "http"} or not parts.netloc or "@" in parts.netloc:
        complaint = f"is no address of HTTP, or holds a login; {BASE_URL} is accepted"
    elif host is None:
        complaint = "has a host that readers dispute; a DNS name, `192.0.2.7` or `[2001:db8::7]` is accepted"
    elif any(not SEGMENT.fullmatch(part) or part in {".", ".."} for part in path.split("/")[1:]):
        complaint = f"has a path with empty or moving segments; {BASE_URL} is accepted"
    if complaint or host is None:
        return complaint, None
    scheme = cast("Literal['https', 'http']", parts.scheme)
    return "", Url(scheme, host, port or (443 if scheme == "https" else 80), path)


def _is_whole(parts: SplitResult) -> bool:
    """Whether host and port are all of the authority, and brackets hold an IPv6 address and nothing else does."""
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return parts.netloc.lower() in {shown, f"{shown}:{parts.port}"} and parts.port != 0
