"""What does a dsn say, of whichever engine? Where the server is, how to trust it, and who reads its catalogue.

A dsn is a secret as a whole: nothing of it is ever quoted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

from sandbox.leases.sources import VAULT_S, Secret, read_secret
from sandbox.reasons import Reason, Refused, quoted
from sandbox.toolspec import SecretSource


@final
@dataclass(frozen=True, slots=True)
class Server:
    """Where a database is, and how its server is known to be the right one."""

    parameters: Mapping[str, str] = field(repr=False)
    """Those of the engine's own file, without user and password."""


@final
@dataclass(frozen=True, slots=True)
class Dsn:
    """A server, and the login that connects to see its catalogue."""

    server: Server
    user: str = field(repr=False)
    password: Secret | None


def read_dsn(source: SecretSource, connection: str, parse: Callable[[str], Dsn], seconds: float = VAULT_S) -> Dsn:
    """Read a connection's dsn and `parse` it, within `seconds` or so; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
    what = f"the dsn of connection {quoted(connection)}"
    try:
        return parse(read_secret(source, what, seconds).reveal())
    except ValueError as error:
        raise Refused(Reason.EXECUTOR_UNAVAILABLE, f"{what} {error}") from None


def is_local(host: str) -> bool:
    """Whether a host is this machine: a socket's folder, or a loopback address."""
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
