"""With which credential does a plan run? The least one, lent for one call."""

from __future__ import annotations

from sandbox.leases.asking import CallBounds
from sandbox.leases.assertions import Subject, read_assertions
from sandbox.leases.authorization_server import NoToken
from sandbox.leases.files import FileLease
from sandbox.leases.http import HttpLease
from sandbox.leases.keys import create_lease_key
from sandbox.leases.leases import Leases
from sandbox.leases.logins import LoginLease
from sandbox.leases.mysql_servers import parse_mysql_dsn
from sandbox.leases.oauth import TokenLease
from sandbox.leases.postgres_servers import parse_postgres_dsn
from sandbox.leases.servers import Dsn, Server, read_dsn
from sandbox.leases.sources import Secret

__all__ = [
    "CallBounds",
    "Dsn",
    "FileLease",
    "HttpLease",
    "Leases",
    "NoToken",
    "LoginLease",
    "Secret",
    "Server",
    "Subject",
    "TokenLease",
    "create_lease_key",
    "parse_mysql_dsn",
    "parse_postgres_dsn",
    "read_assertions",
    "read_dsn",
]
