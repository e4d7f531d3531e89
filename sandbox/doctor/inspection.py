"""What does a look into one PostgreSQL database see? Its catalogue, and what it should be like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import LiteralString, final

import psycopg

from sandbox.doctor.findings import RUN_AGAIN
from sandbox.doctor.roles import OWNER, VIEWS_OWNER
from sandbox.doctor.views import View
from sandbox.executors.grant_shape import GrantShape
from sandbox.leases import Server
from sandbox.leases.keys import claims_login


@final
@dataclass(frozen=True, kw_only=True)
class Inspection:
    """One database, as its catalogue tells it to the dsn's login, and what it should be like."""

    connection: str
    database: psycopg.Connection
    """In one read-only transaction, with `search_path = pg_catalog`."""
    server: Server = field(repr=False)
    lease_key: bytes = field(repr=False)
    shapes: Sequence[GrantShape]
    views: Mapping[str, tuple[View, ...]]
    """By shape id."""
    without_revokes: bool = False
    """Whether functions with side effects may stay executable; told as warnings then."""

    def ask(self, query: LiteralString, **values: object) -> list[tuple[object, ...]]:
        """Return the rows of a query of the catalogue."""
        return self.database.execute(query, values).fetchall()

    @cached_property
    def version(self) -> int:
        """The server's version as a number, 180000 for 18."""
        return self.database.info.server_version

    @cached_property
    def is_standby(self) -> bool:
        """Whether it is a read replica, which lets nobody write."""
        return self.ask("SELECT pg_is_in_recovery()") == [(True,)]

    @cached_property
    def is_set_up(self) -> bool:
        """Whether the database holds any schema of ours; roles belong to the whole server, and tell nothing."""
        query = "SELECT FROM pg_namespace WHERE nspname = 'sandbox' OR nspname ~ '^sandbox_[0-9a-f]{12}$'"
        return bool(self.ask(query))

    @property
    def tool_logins(self) -> list[str]:
        """Those that are to be there, by name."""
        return [shape.login for shape in self.shapes]

    @property
    def claims_login(self) -> str:
        """The one that may ask for the key of the claims."""
        return claims_login(self.connection)

    @property
    def logins(self) -> list[str]:
        """The tools' and the claims'."""
        return [self.claims_login, *self.tool_logins]

    @property
    def owners(self) -> list[str]:
        """The roles that own what the script made."""
        return [OWNER, VIEWS_OWNER]

    @property
    def all_views(self) -> list[View]:
        """The views of every shape."""
        return [view for shape in self.shapes for view in self.views[shape.id]]

    @cached_property
    def concerned(self) -> frozenset[str]:
        """The roles whose objects tools' rows are among: owners of what our views read, of the database, superusers."""
        rows = self.ask(
            "SELECT oid::regrole::text FROM pg_roles WHERE rolsuper OR rolname = ANY (%(ours)s)"
            " UNION SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"
            " UNION SELECT t.relowner::regrole::text FROM pg_class AS c JOIN pg_rewrite AS r ON r.ev_class = c.oid"
            "   JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
            "     AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid"
            "   JOIN pg_class AS t ON t.oid = d.refobjid WHERE c.relowner = to_regrole(%(owner)s)",
            ours=self.owners,
            owner=VIEWS_OWNER,
        )
        return frozenset(str(name) for (name,) in rows)

    @cached_property
    def present(self) -> frozenset[str]:
        """Which of our roles there are."""
        rows = self.ask(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY (%(names)s)", names=[*self.logins, *self.owners]
        )
        return frozenset(str(name) for (name,) in rows)

    @cached_property
    def outdated(self) -> frozenset[str]:
        """Shapes that an earlier script made and no tool uses any more: names of schemas, and of logins."""
        rows = self.ask(
            "SELECT nspname FROM pg_namespace"
            " WHERE nspname ~ '^sandbox_[0-9a-f]{12}$' AND nspowner = to_regrole(%(owner)s)",
            owner=VIEWS_OWNER,
        )
        return frozenset(str(name) for (name,) in rows) - frozenset(shape.schema for shape in self.shapes)

    @property
    def run_again(self) -> str:
        """The command whose script mends what has no statement of its own."""
        return RUN_AGAIN.format(self.connection)


def missing_and_extra(
    expected: Iterable[tuple[str, ...]], found: Iterable[tuple[object, ...]]
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return what is expected and not found, and what is found and not expected, both sorted."""
    wanted, had = set(expected), {tuple(str(part) for part in row) for row in found}
    return sorted(wanted - had), sorted(had - wanted)
