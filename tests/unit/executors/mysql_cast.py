"""A shop in MariaDB, set up as its administrator would, and plans that run there without a gate before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executor_cast import CANARY
from mariadb_server import Server

from sandbox.deployment import write_private
from sandbox.doctor.mysql_script import mysql_setup_script
from sandbox.executors.engine import Confinement, Fetched
from sandbox.executors.grant_shape import GrantShape, grant_shape
from sandbox.executors.mysql import MysqlExecutor
from sandbox.leases import Leases, LoginLease
from sandbox.reasons import Refused
from sandbox.stages import Cancellation, Rights, SqlPlan
from sandbox.toolspec import Connection, Digest, FileSecret, ServerTarget, SqlCeiling, TableRule
from sandbox.values import Cell

SHOP = """
CREATE TABLE orders (id int PRIMARY KEY, region text, cents bigint, note text, customer int);
CREATE TABLE customers (id int PRIMARY KEY, name text, mail text, card text, born text, level int);
CREATE TABLE secrets (id int PRIMARY KEY, word text);
INSERT INTO orders VALUES (1, 'EU', 100, '{CANARY}', 1), (2, 'US', -9223372036854775808, '{CANARY}', 2),
  (3, 'EU', 300, '{CANARY}', 3), (4, '{CANARY}', 400, '{CANARY}', 1);
INSERT INTO customers VALUES (1, 'Ada Lovelace', 'ada@example.com', '4111111111111111', '1815-12-10', 1),
  (2, 'Alan Turing', 'alan@example.org', '5500000000000004', '1912-06-23', 2), (3, 'Édouard', NULL, '123', 'x', 3);
INSERT INTO secrets VALUES (1, '{CANARY}');
""".replace("{CANARY}", CANARY)

RULES: Mapping[str, TableRule] = {
    "orders": TableRule(
        table="orders", columns=("id", "region", "cents", "customer"), row_filter="region = claim('region')"
    ),
    "customers": TableRule(table="customers", columns=("id", "name", "born")),
}

KEY = bytes(range(32))
LOOKS_ONLY = "looks_only"


@dataclass
class MysqlShop:
    """Tools' login on one database of a real server."""

    server: Server
    folder: Path
    database: str
    rules: Mapping[str, TableRule] = field(default_factory=lambda: RULES)
    name: str = ""
    """Of the connection: one a database, for what is set up belongs to the whole server."""

    def __post_init__(self) -> None:
        self.name = self.name or self.database
        self.folder.mkdir(exist_ok=True, parents=True)
        key = self.folder / "lease.key"
        if not key.exists():
            write_private(key, KEY)
        dsn = self.folder / "shop.dsn"
        dsn.unlink(missing_ok=True)
        write_private(dsn, self.server.url(self.database, user=LOOKS_ONLY, password="looks").encode())
        self.connection = Connection(
            name=self.name,
            engine="mysql",
            target=ServerTarget(FileSecret(str(dsn))),
            ceiling=SqlCeiling(None),
            digest=Digest("c" * 64),
        )
        self.shape = grant_shape(self.name, self.rules)
        self.leases = Leases({self.name: self.connection}, key)
        self.executor = MysqlExecutor(self.connection)
        self.confinement = Confinement(key=Digest("k"), tables=self.rules, views=frozenset(), max_bytes=256 * 1024)

    def lease(self, *, reads_claims: bool = False) -> LoginLease:
        lease = self.leases.lend(self.name, self.shape.login, reads_claims=reads_claims)
        assert isinstance(lease, LoginLease)
        return lease

    def plan(self, sql: str, *, parameters: Mapping[str, Cell] | None = None, **more: Any) -> SqlPlan:
        bounds: dict[str, Any] = {"max_seconds": 5.0, "max_rows": 1_000, "max_bytes": 256 * 1024}
        bounds |= {name: more.pop(name) for name in tuple(more) if name in bounds}
        return SqlPlan(
            dialect="mysql",
            connection=self.name,
            connection_digest=Digest("c" * 64),
            login=self.shape.login,
            proposed_sql=sql,
            sql_to_run=sql,
            parameters=parameters or {},
            claims=more,
            rights=Rights(
                relations=tuple(rule.table for rule in self.rules.values()), columns=(), functions=(), claims=()
            ),
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
        query = "SELECT INFO FROM information_schema.PROCESSLIST WHERE USER = '{}' AND COMMAND <> 'Sleep'"
        return [str(text) for (text,) in self.server.ask(query.format(self.shape.login))]

    def sessions(self) -> int:
        """Return how many sessions the tool's login has."""
        query = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = '{}'"
        ((count,),) = self.server.ask(query.format(self.shape.login))
        return int(str(count))

    def script(self, shapes: Sequence[GrantShape] | None = None) -> str:
        """Return what `sandbox doctor --setup-sql` prints."""
        wanted = [self.shape] if shapes is None else shapes
        return mysql_setup_script(self.name, self.database, wanted, KEY, self.executor.read_catalogue())

    def set_up(self, shapes: Sequence[GrantShape] | None = None) -> None:
        """Run the script as the administrator."""
        done = self.server.run_script(self.script(shapes))
        assert done.returncode == 0, done.stderr

    @property
    def password(self) -> str:
        """What the tool's login proves."""
        return self.lease().password.reveal()


def founded(server: Server, folder: Path, database: str, script: str = SHOP, **more: Any) -> MysqlShop:
    """Make the shop's database anew, and the login that sees its catalogue."""
    server.make_database(database, script)
    server.ask(
        f"CREATE OR REPLACE USER {LOOKS_ONLY}@'%' IDENTIFIED BY 'looks'; GRANT REFERENCES ON *.* TO {LOOKS_ONLY}@'%'"
    )
    return MysqlShop(server, folder, database, **more)


def made(server: Server, folder: Path, database: str, script: str = SHOP, **more: Any) -> MysqlShop:
    """Make the shop's database anew and set it up."""
    shop = founded(server, folder, database, script, **more)
    shop.set_up()
    return shop
