"""Which server is asked, and how is it known to be the right one? Makes the `Destination` of a configured host."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from typing import Final

from sandbox.deployment import Misconfigured
from sandbox.outbound.wire import Destination, Resolve

_CUT_IS_CLOSED: Final[int] = getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
"""Not there with an older OpenSSL, which never does."""


def destination(  # noqa: PLR0913 - one keyword a fact
    *, host: str, port: int, is_secure: bool, ca: str | None, networks: Sequence[str], resolve: Resolve, whose: str
) -> Destination:
    """Return the destination; raises `Misconfigured`, which begins with `whose`, for a `ca` that cannot be used."""
    return Destination(
        host=host,
        port=port,
        tls=_tls(ca, whose) if is_secure else None,
        networks=tuple(ipaddress.ip_network(text) for text in networks),
        resolve=resolve,
    )


def _tls(ca: str | None, whose: str) -> ssl.SSLContext:
    # WHY: not `create_default_context`, which writes session keys where the environment says (SSLKEYLOGFILE).
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # WHY: with OpenSSL 3 Python takes a connection that was cut for one that was closed, and a body without its end for
    # a whole one.
    context.options &= ~_CUT_IS_CLOSED
    if ca is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=ca)
    except OSError as error:
        message = f"{whose} the file of `ca` cannot be used; PEM certificates are accepted"
        raise Misconfigured(message) from error
    return context


def request_bytes(method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes | None) -> bytes:
    """Return a request as it is sent; its headers are ASCII."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("ascii") + (body or b"")
