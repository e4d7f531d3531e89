"""What does a PostgreSQL connection's dsn say? Where the server is, how to trust it, and who reads its catalogue.

A dsn is a secret as a whole: nothing of it is ever quoted.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import psycopg
from psycopg import pq

from sandbox.leases.servers import Dsn, Server, is_local
from sandbox.leases.sources import Secret

_SCHEMES: Final = ("postgresql://", "postgres://")
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


def parse_postgres_dsn(text: str) -> Dsn:
    """Take a dsn apart into libpq's parameters; raises `ValueError` with what is wrong, and none of the dsn itself."""
    if not text.startswith(_SCHEMES):
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
