"""Is one PostgreSQL database set up as its connection's tools need it? Every check, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import Final

import psycopg

from sandbox.deployment import Misconfigured
from sandbox.doctor.check_canary import CannotConnect, NotNow, check_canary, connect
from sandbox.doctor.check_code import check_code
from sandbox.doctor.check_objects import check_column_rights, check_functions, check_rights, check_schemas, check_views
from sandbox.doctor.check_reach import (
    check_builtin_functions,
    check_default_rights,
    check_granted_functions,
    check_other_databases,
    check_other_functions,
    check_ownership,
    check_reach,
    check_row_security,
)
from sandbox.doctor.check_roles import check_attributes, check_dsn_login, check_memberships, check_settings
from sandbox.doctor.findings import Finding, Undecided, not_set_up
from sandbox.doctor.inspection import Inspection
from sandbox.doctor.views import views_of
from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.postgres_trouble import SENTENCES
from sandbox.leases import Dsn
from sandbox.sql import Catalogue

OLDEST: Final = 150000

CHECKS: Final[Mapping[str, Callable[[Inspection], Iterator[Finding]]]] = MappingProxyType(
    {
        "the dsn's login": check_dsn_login,
        "attributes of roles": check_attributes,
        "memberships of roles": check_memberships,
        "settings of logins": check_settings,
        "schemas": check_schemas,
        "functions": check_functions,
        "views": check_views,
        "rights on views and functions": check_rights,
        "columns that the views may read": check_column_rights,
        "rights beyond the views": check_reach,
        "ownership": check_ownership,
        "functions taken from PUBLIC": check_builtin_functions,
        "functions granted by name": check_granted_functions,
        "functions with other rights": check_other_functions,
        "code that tables bring along": check_code,
        "default privileges": check_default_rights,
        "row security of tables": check_row_security,
        "other databases": check_other_databases,
        "each login on the canary": check_canary,
    }
)
"""What each check looks at, and the check; the order is the order of telling."""


def examine(  # noqa: PLR0913 - a connection, and what its tools need of it
    connection: str,
    dsn: Dsn,
    lease_key: bytes,
    shapes: Sequence[GrantShape],
    catalogue: Catalogue,
    *,
    without_revokes: bool = False,
) -> tuple[Finding, ...]:
    """Run every check on a database; raises `Undecided` where it cannot be looked at."""
    try:
        views = {shape.id: views_of(shape, catalogue) for shape in shapes}
    except Misconfigured as error:
        raise Undecided(str(error)) from error
    password = {} if dsn.password is None else {"password": dsn.password.reveal()}
    try:
        with closing(connect({**dsn.server.parameters, "user": dsn.user, **password})) as database:
            if database.info.server_version < OLDEST:
                raise Undecided(
                    f"the server is PostgreSQL {database.info.server_version // 10000}; 15 and newer are known"
                )
            database.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            look = Inspection(
                connection=connection,
                database=database,
                server=dsn.server,
                lease_key=lease_key,
                shapes=shapes,
                views=views,
                without_revokes=without_revokes,
            )
            findings: list[Finding] = []
            if not look.is_set_up:
                return (*check_dsn_login(look), not_set_up(connection))
            try:
                for check in CHECKS.values():
                    findings.extend(check(look))
            except NotNow as error:
                if all(finding.level != "error" for finding in findings):
                    raise Undecided(
                        f"the server does not let {error} in now: it is full, starts or stops, or the login has"
                        " all the sessions that it may have"
                    ) from error
            return tuple(findings)
    except CannotConnect as error:
        raise Undecided(f"the database cannot be asked now: {SENTENCES[error.trouble]}") from error
    except psycopg.Error as error:
        raise Undecided(f"the server did not answer a question about its catalogue ({error.sqlstate})") from error
