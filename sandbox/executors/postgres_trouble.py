"""Why was a PostgreSQL server not reached, or a login not let in? A fixed word for operators, from what libpq says.

# WHY: libpq keeps the words of such an error and not its SQLSTATE. They are looked at and never told: they name hosts,
logins and databases. A server that speaks another language than English is understood by libpq's own part alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.executors.server_trouble import Trouble

_BUSY: Final = (
    r"too many (clients|connections)|remaining connection slots|no more connections|the database system is"
    r"|not currently accepting connections|terminating connection"
)
"""Full (53300), starting, stopping, or closed for now (57P01, 57P03, 55000)."""
_LOGIN: Final = (
    r"authentication failed|role \".*\" does not exist|not permitted to log in|pg_hba\.conf|no password supplied"
)
_TLS: Final = (
    r"SSL error|support SSL|SSL connection|SSL negotiation|certificate verify|certificate file|server certificate"
    r"|private key file"
)
_SAID: Final[Mapping[Trouble, str]] = MappingProxyType(
    {
        "busy": _BUSY,
        "database": r'database ".*" does not exist|permission denied for database',
        "method": r"authentication method requirement|server requested .* authentication|none of the server's SASL",
        "login": _LOGIN,
        "tls": _TLS,
        "resolve": r"could not translate host name|could not parse network address|failed to resolve host",
        "timed_out": r"timeout expired",
        "connect": r"Is the server running|Connection refused|could not connect|No route|unreachable|No such file",
    }
)
"""The first that fits: of several hosts, the one that was got furthest with says most."""

SENTENCES: Final[Mapping[Trouble, str]] = MappingProxyType(
    {
        "busy": "the server is full, starts or stops",
        "database": "the server has no such database, or the login may not connect to it",
        "login": "the server does not let the login in: another password, no such role, or no line in pg_hba.conf",
        "method": "the server asks for the password in another way than is accepted",
        "tls": "TLS fails: the server speaks none, or its certificate is not what the dsn trusts",
        "resolve": "its host has no address",
        "timed_out": "its server does not answer in time",
        "connect": "nobody takes a connection at its address",
        "other": "its server does not answer as PostgreSQL does, or ended the connection",
    }
)


def trouble_of(said: str) -> Trouble:
    """Return what kept a connection from being made, of what libpq says."""
    for trouble, pattern in _SAID.items():
        if re.search(pattern, said):
            return trouble
    return "other"
