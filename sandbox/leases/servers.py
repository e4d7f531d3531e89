"""What does a PostgreSQL dsn say? Where the server is, how to trust it, and who reads its catalogue.

A dsn is a secret as a whole: nothing of it is ever quoted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, final

import psycopg
from psycopg import pq

from sandbox.leases.sources import VAULT_S, Secret, read_secret
from sandbox.reasons import Reason, Refused, quoted
from sandbox.toolspec import SecretSource

SCHEMES: Final = ("postgresql://", "postgres://")
_OWN: Final = frozenset({"user", "password"})
_SERVER: Final = frozenset(
    {
        *("host", "hostaddr", "port", "dbname", "target_session_attrs", "load_balance_hosts", "channel_binding"),
        *("sslmode", "sslnegotiation", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslsni"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "gssencmode", "require_auth"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
    }
)
"""What a dsn may say beside its login. Not `options`: the state of a session is ours."""


@final
@dataclass(frozen=True, slots=True)
class Server:
    """Where a database is, and how its server is known to be the right one."""

    parameters: Mapping[str, str] = field(repr=False)
    """libpq's, or those of `mysql_servers.py`, without user and password."""


@final
@dataclass(frozen=True, slots=True)
class Dsn:
    """A server, and the login that connects to see its catalogue."""

    server: Server
    user: str = field(repr=False)
    password: Secret | None


def read_dsn(
    source: SecretSource, connection: str, seconds: float = VAULT_S, parse: Callable[[str], Dsn] | None = None
) -> Dsn:
    """Read and parse a connection's dsn, within `seconds` or so; raises `Refused` with `EXECUTOR_UNAVAILABLE`.

    PostgreSQL's unless the `parse` of another engine is given.
    """
    what = f"the dsn of connection {quoted(connection)}"
    try:
        return (parse or parse_dsn)(read_secret(source, what, seconds).reveal())
    except ValueError as error:
        raise Refused(Reason.EXECUTOR_UNAVAILABLE, f"{what} {error}") from None


def parse_dsn(text: str) -> Dsn:
    """Take a dsn apart; raises `ValueError` with what is wrong, and none of the dsn itself."""
    if not text.startswith(SCHEMES):
        raise ValueError("is no `postgresql://USER:PASSWORD@HOST:PORT/DATABASE` URL")
    try:
        options = pq.Conninfo.parse(text.encode())
    except psycopg.OperationalError:
        raise ValueError("is a `postgresql://` URL that cannot be read; special characters are %-escaped") from None
    said = {option.keyword.decode(): option.val.decode() for option in options if option.val}
    if unknown := sorted(set(said) - _SERVER - _OWN):
        raise ValueError(f"sets `{unknown[0]}`, which a dsn of a connection may not")
    if missing := sorted({"host", "dbname", "user"} - set(said)):
        raise ValueError(f"does not say its `{missing[0]}`")
    if "sslmode" not in said and not all(is_local(host) for host in said["host"].split(",")):
        message = "names a server elsewhere and no `sslmode`; `?sslmode=verify-full` is accepted, `disable` says openly"
        raise ValueError(f"{message} that the network is trusted")
    parameters = MappingProxyType({name: value for name, value in said.items() if name not in _OWN})
    password = Secret(said["password"]) if "password" in said else None
    return Dsn(Server(parameters), said["user"], password)


def is_local(host: str) -> bool:
    """Whether a host is this machine: a socket's folder, or a loopback address."""
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
