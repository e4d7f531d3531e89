"""Why was a MariaDB server not reached, or a login not let in? A fixed word for operators, from the error's number.

https://mariadb.com/kb/en/mariadb-error-codes/
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.executors.server_trouble import Trouble

_NUMBERS: Final[Mapping[Trouble, frozenset[int]]] = MappingProxyType(
    {
        "busy": frozenset({1040, 1041, 1053, 1129, 1203, 1226, 1927, 4031}),
        "database": frozenset({1044, 1049}),
        "login": frozenset({1045, 1130, 1698, 1862, 4150, 4151}),
        "method": frozenset({1251, 1275, 1524, 2059}),
        "tls": frozenset({3159}),
    }
)
"""Full or stopping; no such database or no right to it; not this login; not so."""
REFUSED: Final = frozenset({"database", "login", "method"})
"""What will be no other when it is tried again."""

SENTENCES: Final[Mapping[Trouble, str]] = MappingProxyType(
    {
        "busy": "the server is full, starts or stops",
        "database": "no database of that name is there for the login; a dsn's login needs REFERENCES on it",
        "login": "the server does not let the login in: another password, no such account, or not from this host",
        "method": "the account proves itself in another way than `mysql_native_password`, which alone is accepted",
        "tls": "TLS fails: the server speaks none, or its certificate is not what the dsn trusts",
        "resolve": "its host has no address",
        "timed_out": "its server does not answer in time",
        "connect": "nobody takes a connection at its address",
        "other": "its server does not answer as MariaDB does, or ended the connection",
    }
)


def trouble_of(number: int) -> Trouble:
    """Return what kept a connection from being made, of an error's number."""
    for trouble, numbers in _NUMBERS.items():
        if number in numbers:
            return trouble
    return "other"
