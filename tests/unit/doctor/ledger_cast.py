"""A ledger in PostgreSQL that other people use as well, set up for two tools by the script that the doctor prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import psycopg
import pytest
from postgres_server import _DEBIAN, PYPI, Server, running

from sandbox.doctor.findings import Finding
from sandbox.doctor.postgres import examine
from sandbox.doctor.script import setup_script, undo_script
from sandbox.executors.grant_shape import GrantShape, grant_shape
from sandbox.executors.postgres_catalogue import TABLES, catalogue_of
from sandbox.executors.postgres_claims import KEY, SET, WHERE_AND_WHEN, signed
from sandbox.leases import Dsn
from sandbox.leases.keys import claims_login, login_password
from sandbox.leases.postgres_servers import parse_postgres_dsn
from sandbox.sql import Catalogue
from sandbox.toolspec import TableRule

HIDDEN: Final = "hidden-b7c1"
"""Stands wherever no tool may see."""
LEASE_KEY: Final = bytes(range(32))
CONNECTION: Final = "ledger"
PROGRAMS: Final = {18: PYPI, 15: _DEBIAN}

LEDGER: Final = f"""
CREATE SCHEMA sales;
CREATE TABLE public.orders (id bigint PRIMARY KEY, region text, cents bigint, customer text, mail text, note text);
CREATE TABLE public.customers (id bigint PRIMARY KEY, name text, born date, "order" text, a$b text, card text);
CREATE TABLE sales.targets (id bigint, goal bigint);
CREATE TABLE public.secrets (id bigint, word text);
CREATE SEQUENCE public.numbers;
INSERT INTO public.orders VALUES
  (1, 'EU', 100, 'Ada Lovelace', 'ada@example.com', '{HIDDEN}'), (2, 'US', 0, '{HIDDEN}', '{HIDDEN}', '{HIDDEN}'),
  (3, 'EU', 300, 'Alan Turing', 'alan@example.org', '{HIDDEN}'), (4, 'US', 7, '{HIDDEN}', '{HIDDEN}', '{HIDDEN}');
INSERT INTO public.customers VALUES
  (1, 'Ada', '1815-12-10', 'o', 'b', '{HIDDEN}'), (2, 'Alan', NULL, 'p', 'c', '{HIDDEN}');
INSERT INTO sales.targets VALUES (1, 987654321);
INSERT INTO public.secrets VALUES (1, '{HIDDEN}');
ANALYZE;
"""

RULES: Final[Mapping[str, TableRule]] = {
    "public.orders": TableRule(
        table="public.orders",
        columns=("id", "region", "cents", "customer", "mail"),
        row_filter="region = claim('region')",
        masks={"customer": "initials", "mail": "domain"},
    ),
    "public.customers": TableRule(table="public.customers", columns=("id", "name", "order", "a$b")),
}
OTHER_RULES: Final[Mapping[str, TableRule]] = {
    "sales.targets": TableRule(table="sales.targets", columns=("id", "goal")),
}
SHAPE: Final = grant_shape(CONNECTION, RULES)
OTHER_SHAPE: Final = grant_shape(CONNECTION, OTHER_RULES)
CLAIMS_LOGIN: Final = claims_login(CONNECTION)
CATALOGUE_LOGIN: Final = "looks_only"
CATALOGUE_PASSWORD: Final = "looks"
BYSTANDER: Final = "bystander"


@dataclass(frozen=True)
class Ledger:
    """One database of a server of its own."""

    server: Server
    database: str = "ledger"
    connection: str = CONNECTION

    @property
    def shapes(self) -> list[GrantShape]:
        return [grant_shape(self.connection, RULES), grant_shape(self.connection, OTHER_RULES)]

    def owner(self) -> psycopg.Connection:
        return self.server.connect(self.database)

    def run(self, script: str) -> None:
        with self.owner() as connection:
            connection.execute(script.encode())

    def catalogue(self) -> Catalogue:
        with self.owner() as connection:
            return catalogue_of(connection.execute(TABLES).fetchall())

    def script(self, *shapes: GrantShape) -> str:
        return setup_script(self.connection, shapes or self.shapes, LEASE_KEY, self.catalogue())

    def undo(self) -> None:
        self.run(undo_script(self.connection))

    def login(self, name: str = SHAPE.login) -> psycopg.Connection:
        password = login_password(LEASE_KEY, self.connection, name, "postgres").reveal()
        return self.server.connect(self.database, user=name, password=password)

    def dsn(self, user: str = CATALOGUE_LOGIN, password: str = CATALOGUE_PASSWORD) -> Dsn:
        host = quote(str(self.server.folder), safe="")
        return parse_postgres_dsn(f"postgresql://{user}:{password}@/{self.database}?host={host}")

    def findings(self, dsn: Dsn | None = None, *, without_revokes: bool = False) -> tuple[Finding, ...]:
        """Return what the doctor finds, without what it says of the test server's other databases."""
        found = examine(
            self.connection,
            dsn or self.dsn(),
            LEASE_KEY,
            self.shapes,
            self.catalogue(),
            without_revokes=without_revokes,
        )
        return tuple(finding for finding in found if finding.check != "other-database")

    def claims_key(self) -> bytes:
        with self.login(claims_login(self.connection)) as connection:
            (key,) = connection.execute(KEY).fetchone() or (b"",)
        return bytes(key)


@contextmanager
def ledger_on(version: int) -> Iterator[Ledger]:
    """Start a server of its own, for roles belong to a whole server, and make the ledger in it."""
    with running(PROGRAMS[version], version) as server:
        server.make_database("ledger", LEDGER)
        ledger = Ledger(server)
        ledger.run(
            f"CREATE ROLE {CATALOGUE_LOGIN} LOGIN PASSWORD 'looks'; CREATE ROLE {BYSTANDER} LOGIN PASSWORD 'stands';"
        )
        yield ledger


def told(connection: psycopg.Connection, claims: Mapping[str, str], key: bytes) -> str:
    """Tell claims to the transaction under way as the service does; return the token."""
    pid, began = connection.execute(WHERE_AND_WHEN).fetchone() or ("", "")
    token = signed(dict(claims), key, str(pid), str(began)).decode("ascii")
    connection.execute(SET.replace(b"$1", b"%s"), [token])
    return token


@contextmanager
def ledger_set_up(version: int) -> Iterator[Ledger]:
    """A ledger on which the script has run; skips where that version is not installed."""
    if not (PROGRAMS[version] / "postgres").exists():
        pytest.skip("needs Debian's package `postgresql-15`")
    with ledger_on(version) as made:
        made.run(made.script())
        yield made


PROBE: Final = "CREATE VIEW sales.probe AS SELECT * FROM {}; ALTER VIEW sales.probe OWNER TO sandbox_views"
"""A view as the tools have them, of what a test has made."""
