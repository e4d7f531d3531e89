"""Which engines have a set-up script, and what holds a server to it? One entry an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias, final

from sandbox.doctor import mysql, postgres
from sandbox.doctor.findings import NOT_SET_UP, Finding
from sandbox.doctor.mysql_script import mysql_setup_script, mysql_undo_script
from sandbox.doctor.script import setup_script, undo_script
from sandbox.executors.grant_shape import GrantShape
from sandbox.leases import parse_mysql_dsn, parse_postgres_dsn, read_dsn
from sandbox.reasons import Fault
from sandbox.sql import Catalogue
from sandbox.toolspec import Connection, ServerTarget

Examine: TypeAlias = Callable[[Connection, ServerTarget, bytes, Sequence[GrantShape], Catalogue], tuple[Finding, ...]]
Script: TypeAlias = Callable[[Connection, bytes, Sequence[GrantShape], Catalogue, Mapping[str, Sequence[str]]], str]


@final
class SetUp(NamedTuple):
    """How the databases of one engine are set up and looked at."""

    checks: tuple[str, ...]
    """What each check looks at, in the order of telling; the first is made of databases that are not set up too."""
    examine: Examine
    """Run every check; raises `Undecided`, or `Refused` for a dsn that cannot be read."""
    script: Script
    """Print the script for the administrator, for shapes that tools of these names use, by shape."""
    undo: Callable[[str], str]
    """Print the script that takes everything of a connection back."""


def set_up_of(connection: Connection) -> SetUp:
    """Return how the database of a connection to a server is set up."""
    if connection.engine not in SERVERS:
        raise Fault("doctor: a server of an engine without a set-up script")
    return SERVERS[connection.engine]


def looked_at(connection: Connection, findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the names of the checks that `examine` made, which found these."""
    checks = set_up_of(connection).checks
    return checks if all(finding.check != NOT_SET_UP for finding in findings) else checks[:1]


def _examine_postgres(
    connection: Connection,
    target: ServerTarget,
    lease_key: bytes,
    shapes: Sequence[GrantShape],
    catalogue: Catalogue,
) -> tuple[Finding, ...]:
    name = connection.name
    dsn = read_dsn(target.dsn, name, parse_postgres_dsn)
    return postgres.examine(name, dsn, lease_key, shapes, catalogue, without_revokes=target.without_revokes)


def _postgres_script(
    connection: Connection,
    lease_key: bytes,
    shapes: Sequence[GrantShape],
    catalogue: Catalogue,
    tools: Mapping[str, Sequence[str]],
) -> str:
    return setup_script(connection.name, shapes, lease_key, catalogue, tools)


def _examine_mysql(
    connection: Connection,
    target: ServerTarget,
    lease_key: bytes,
    shapes: Sequence[GrantShape],
    catalogue: Catalogue,
) -> tuple[Finding, ...]:
    dsn = read_dsn(target.dsn, connection.name, parse_mysql_dsn)
    return mysql.examine(connection.name, dsn, lease_key, shapes, catalogue)


def _mysql_script(
    connection: Connection,
    lease_key: bytes,
    shapes: Sequence[GrantShape],
    catalogue: Catalogue,
    tools: Mapping[str, Sequence[str]],
) -> str:
    if not isinstance(connection.target, ServerTarget):
        raise Fault("doctor: a connection that is no server")
    dsn = read_dsn(connection.target.dsn, connection.name, parse_mysql_dsn)
    database = dsn.server.parameters["database"]
    return mysql_setup_script(connection.name, database, shapes, lease_key, catalogue, tools=tools)


SERVERS: Final[Mapping[str, SetUp]] = MappingProxyType(
    {
        "postgres": SetUp(tuple(postgres.CHECKS), _examine_postgres, _postgres_script, undo_script),
        "mysql": SetUp(tuple(mysql.CHECKS), _examine_mysql, _mysql_script, mysql_undo_script),
    }
)
"""By the engine's name in `connections.toml`."""
