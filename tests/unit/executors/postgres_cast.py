"""A shop in PostgreSQL, set up as its administrator would, and plans that run there without a gate before them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from executor_cast import CANARY
from postgres_proxy import Proxy, between
from postgres_server import Server

from sandbox.deployment import write_private
from sandbox.doctor.script import setup_script
from sandbox.executors.engine import Confinement, Fetched
from sandbox.executors.grant_shape import GrantShape, grant_shape
from sandbox.executors.postgres import PostgresExecutor
from sandbox.leases import Leases, LoginLease
from sandbox.reasons import Refused
from sandbox.stages import Cancellation, Rights, SqlPlan
from sandbox.toolspec import Connection, Digest, FileSecret, ServerTarget, SqlCeiling, TableRule
from sandbox.values import Cell

SHOP = """
CREATE TYPE public.mood AS ENUM ('glad', 'sad');
CREATE TABLE public.orders (id int PRIMARY KEY, region text, cents bigint, note text, customer int);
CREATE TABLE public.customers (id int PRIMARY KEY, name text, mail text, card text, born text, level int);
CREATE TABLE public.secrets (id int PRIMARY KEY, word text);
INSERT INTO public.orders VALUES (1, 'EU', 100, '{CANARY}', 1), (2, 'US', -9223372036854775808, '{CANARY}', 2),
  (3, 'EU', 300, '{CANARY}', 3), (4, '{CANARY}', 400, '{CANARY}', 1);
INSERT INTO public.customers VALUES (1, 'Ada Lovelace', 'ada@example.com', '4111111111111111', '1815-12-10', 1),
  (2, 'Alan Turing', 'alan@example.org', '5500000000000004', '1912-06-23', 2), (3, 'Édouard', NULL, '123', 'x', 3);
INSERT INTO public.secrets VALUES (1, '{CANARY}');
""".replace("{CANARY}", CANARY)

RULES: Mapping[str, TableRule] = {
    "public.orders": TableRule(
        table="public.orders",
        columns=("id", "region", "cents", "customer"),
        row_filter="region = claim('region')",
    ),
    "public.customers": TableRule(table="public.customers", columns=("id", "name", "born")),
}

KEY = bytes(range(32))


def eventually(is_so: Callable[[], bool], seconds: float) -> bool:
    """Ask until it is so, for as long as it may take."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
    return True


@contextmanager
def proxied(server: Server) -> Iterator[Proxy]:
    """Stand between the server and its clients."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, between(server.folder, Path(folder)) as proxy:
        yield proxy  # a short path, for a socket's may not be long


@contextmanager
def opened(shop: PostgresShop) -> Iterator[PostgresShop]:
    """Close the shop's sessions after the block."""
    yield shop
    shop.executor.close()


@dataclass
class PostgresShop:
    """Tools' login on one database of a real server."""

    server: Server
    folder: Path
    database: str
    rules: Mapping[str, TableRule] = field(default_factory=lambda: RULES)
    host: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True, parents=True)
        key = self.folder / "lease.key"
        if not key.exists():
            write_private(key, KEY)
        dsn = self.folder / "shop.dsn"
        dsn.unlink(missing_ok=True)
        host = quote(self.host or str(self.server.folder), safe="")
        write_private(dsn, f"postgresql://owner:{self.server.password}@/{self.database}?host={host}".encode())
        self.connection = Connection(
            name="shop",
            engine="postgres",
            target=ServerTarget(FileSecret(str(dsn))),
            ceiling=SqlCeiling(None),
            digest=Digest("c" * 64),
        )
        self.shape = grant_shape("shop", self.rules)
        self.leases = Leases({"shop": self.connection}, key)
        self.executor = PostgresExecutor(self.connection)
        self.confinement = Confinement(key=Digest("k"), tables=self.rules, views=frozenset(), max_bytes=256 * 1024)

    def lease(self, *, reads_claims: bool = False) -> LoginLease:
        lease = self.leases.lend("shop", self.shape.login, reads_claims=reads_claims)
        assert isinstance(lease, LoginLease)
        return lease

    def named(self, sql: str) -> str:
        """Put the views where a text names their tables."""
        for table, (schema, name) in self.shape.views.items():
            sql = sql.replace(table, f'"{schema}"."{name}"')
        return sql

    def plan(self, sql: str, *, parameters: Mapping[str, Cell] | None = None, **more: Any) -> SqlPlan:
        bounds: dict[str, Any] = {"max_seconds": 5.0, "max_rows": 1_000, "max_bytes": 256 * 1024}
        bounds |= {name: more.pop(name) for name in tuple(more) if name in bounds}
        return SqlPlan(
            dialect="postgres",
            connection="shop",
            connection_digest=Digest("c" * 64),
            login=self.shape.login,
            proposed_sql=sql,
            sql_to_run=self.named(sql),
            parameters=parameters or {},
            claims=more,
            rights=Rights(relations=(), columns=(), functions=(), claims=()),
            omitted=(),
            is_fenced=False,
            **bounds,
        )

    def run(self, sql: str, *, cancellation: Cancellation | None = None, **more: Any) -> Fetched:
        plan = self.plan(sql, **more)
        lease = self.lease(reads_claims=bool(plan.claims))
        return self.executor.run(plan, self.confinement, lease, cancellation or Cancellation())

    def query(self, sql: str, **more: Any) -> list[tuple[Any, ...]]:
        return list(self.run(sql, **more).rows)

    def refusal(self, sql: str, **more: Any) -> Refused:
        try:
            self.run(sql, **more)
        except Refused as refused:
            return refused
        raise AssertionError("it ran")

    def running(self) -> list[str]:
        """Return what the tool's login is running, as the engine tells."""
        query = "SELECT query FROM pg_stat_activity WHERE usename = %s AND state = 'active'"
        with self.server.connect(self.database) as connection:
            return [str(query) for (query,) in connection.execute(query, (self.shape.login,))]

    def sessions(self) -> int:
        """Return how many sessions the tool's login has."""
        with self.server.connect(self.database) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
            return int(connection.execute(query, (self.shape.login,)).fetchall()[0][0])

    def set_up(self, shapes: Sequence[GrantShape] | None = None) -> None:
        """Run what `sandbox doctor --setup-sql` prints, as the administrator."""
        script = setup_script("shop", [self.shape] if shapes is None else shapes, KEY, self.executor.read_catalogue())
        with self.server.connect(self.database) as owner:
            owner.execute(script.encode())


def made(server: Server, folder: Path, database: str) -> PostgresShop:
    """Make the shop's database anew and set it up."""
    server.make_database(database, SHOP)
    shop = PostgresShop(server, folder, database)
    shop.set_up()
    return shop
