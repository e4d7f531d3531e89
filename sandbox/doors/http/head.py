"""Is this a request that we answer at all? Its head and its body, before anybody asks whose it is.

Against pages of others in a browser (cross-origin, DNS rebinding), and against whoever sends without end.
https://modelcontextprotocol.io/specification/2026-07-28/basic/transports#security-warning
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.types import Receive, Scope

from sandbox.doors.http.problems import Problem
from sandbox.reasons import quoted
from sandbox.settings import HttpSettings

BODY_S: Final = 15.0
"""How long the body of a request may take."""
_ONCE: Final = (b"host", b"authorization", b"content-type", b"content-length", b"origin", b"content-encoding")
_PORTLESS_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")

Headers = Mapping[bytes, bytes]


def head_of(scope: Scope, hosts: frozenset[str], settings: HttpSettings) -> Headers:
    """Return the headers by lower-case name; raises `Problem` for a head that is not for us."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers and name in _ONCE:
            raise Problem(400, "invalid_argument", f"the header {quoted(_shown(name))} is sent twice; once is accepted")
        headers[name] = value
    host, origin = _shown(headers.get(b"host", b"")).lower(), _shown(headers.get(b"origin", b""))
    if host not in hosts:
        message = f"this service is not called {quoted(host)}; `http.allowed_hosts` lists the names that are accepted"
        raise Problem(421, "permission_denied", message)
    if origin and origin not in settings.allowed_origins:
        message = f"pages of {quoted(origin)} may not ask here; `http.allowed_origins` lists those that may"
        raise Problem(403, "permission_denied", message)
    if scope["query_string"]:
        message = "no query is accepted after the path; a token goes into the header `authorization: Bearer TOKEN`"
        raise Problem(400, "invalid_argument", message)
    return headers


def hosts_of(address: str, settings: HttpSettings) -> frozenset[str]:
    """Return the names under which the service may be asked: its address, loopback's names, and those allowed."""
    _, _, port = address.rpartition(":")
    named = {f"{name}:{port}" for name in _PORTLESS_LOOPBACK}
    public = settings.public_url.partition("://")[2].partition("/")[0]
    return frozenset(name.lower() for name in (address, public, *named, *settings.allowed_hosts) if name)


async def body_of(headers: Headers, receive: Receive, max_bytes: int) -> bytes:
    """Read the whole body; raises `Problem` for one that is too large, compressed, or does not come."""
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity":
        raise Problem(415, "unimplemented", f"{quoted(_shown(encoding))} is no encoding that is read; `identity` is")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Problem(400, "canceled", "the caller hung up before its request was whole")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > max_bytes:
                    raise _too_large(max_bytes)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as error:
        message_of_it = f"the body did not come within {BODY_S:g} s"
        raise Problem(408, "deadline_exceeded", message_of_it, (b"connection", b"close")) from error


def _too_large(max_bytes: int) -> Problem:
    message = f"the body is larger than {max_bytes} bytes, which `server.max_message_bytes` sets"
    return Problem(413, "resource_exhausted", message, (b"connection", b"close"))


def _shown(value: bytes) -> str:
    return value.decode("latin-1")
