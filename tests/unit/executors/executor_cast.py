"""A shop in SQLite, tools on it, and callers: with the gate before them, and with the gate switched off."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from sandbox.executors import EXECUTORS, Executors
from sandbox.executors.engine import Confinement, Fetched
from sandbox.flow import Flow
from sandbox.leases import FileLease, Leases
from sandbox.reasons import Refused
from sandbox.settings import Settings
from sandbox.sql import folded
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import (
    AuthenticatedCall,
    AuthorizedCall,
    Cancellation,
    Credential,
    ExecutedCall,
    Permit,
    PlannedCall,
    Principal,
    ProposedCall,
    ReleasedResult,
    Rights,
    SqlPlan,
    ValidatedCall,
)
from sandbox.toolspec import Connection, Digest, FileTarget, SqlCeiling, TableRule, ToolLimits, ToolName, ToolSpec

CANARY = "CANARY-7319"
"""Stands in every cell that no tool may show."""

SHOP = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, region TEXT, cents INTEGER, note TEXT, customer INTEGER);
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, mail TEXT, card TEXT, born TEXT, level INTEGER);
CREATE TABLE secrets (id INTEGER PRIMARY KEY, word TEXT);
CREATE VIEW big_orders AS SELECT id, region, cents FROM orders WHERE note <> 'x';
CREATE VIEW words AS SELECT id, word FROM secrets;
CREATE INDEX orders_by_region ON orders (region);
INSERT INTO orders VALUES (1, 'EU', 100, '{CANARY}', 1), (2, 'US', -9223372036854775807 - 1, '{CANARY}', 2),
  (3, 'EU', 300, '{CANARY}', 3), (4, '{CANARY}', 400, '{CANARY}', 1);
INSERT INTO customers VALUES (1, 'Ada Lovelace', 'ada@example.com', '4111111111111111', '1815-12-10', 1),
  (2, 'Alan Turing', 'alan@example.org', '5500000000000004', '1912-06-23', 2), (3, 'Édouard', NULL, '123', 'x', 3);
INSERT INTO secrets VALUES (1, '{CANARY}');
""".replace("{CANARY}", CANARY)

EU: Mapping[str, TableRule] = {
    "orders": TableRule(
        table="orders", columns=("id", "region", "cents", "customer"), row_filter="region = claim('region')"
    ),
    "customers": TableRule(
        table="customers",
        columns=("id", "name", "mail", "card", "born"),
        masks={"name": "initials", "mail": "domain", "card": "last4", "born": "year"},
    ),
}


@functools.cache
def image(script: str) -> bytes:
    """Return the file that a script makes."""
    connection = apsw.Connection(":memory:")
    connection.execute(script)
    made = connection.serialize("main")
    connection.close()
    return made


def make_database(path: Path, script: str = SHOP) -> Path:
    path.write_bytes(image(script))
    return path


def change(path: Path, script: str) -> None:
    """Change a database from outside, as its owner may."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.execute(f"PRAGMA synchronous = OFF; {script}")
    connection.close()


ALL = SqlCeiling(None)


def connection_to(path: Path, ceiling: SqlCeiling = ALL) -> Connection:
    digest = Digest(hashlib.sha256(str(path).encode()).hexdigest())
    return Connection(name="shop", engine="sqlite", target=FileTarget(str(path)), ceiling=ceiling, digest=digest)


def tool(
    name: str = "shop.query",
    *,
    tables: Mapping[str, TableRule] | None = None,
    statement: str | None = None,
    inputs: tuple[str, ...] = ("sql",),
    limits: ToolLimits | None = None,
) -> ToolSpec:
    source = repr((name, tables, statement, limits)).encode()
    return ToolSpec(
        name=ToolName(name),
        version="1.0.0",
        owner="o@example.com",
        summary="s",
        use_when="u",
        kind="sql",
        effects="read",
        connection="shop",
        input_schema={"type": "object", "properties": {one: {} for one in inputs}, "additionalProperties": False},
        sql_argument=None if statement is not None else "sql",
        statement=statement,
        tables=tables if tables is not None else {},
        limits=limits or ToolLimits(),
        examples=(),
        file=f"{name}.yaml",
        source=source,
        digest=Digest(hashlib.sha256(source).hexdigest()),
    )


def open_table(name: str, *columns: str, row_filter: str | None = None) -> TableRule:
    return TableRule(table=name, columns=columns, row_filter=row_filter)


def principal(**claims: Any) -> Principal:
    return Principal(
        subject="alice",
        actors=(),
        roles=frozenset({"agent"}),
        tools=("*",),
        claims=claims,
        token_id="t",
        token_digest=b"",
        certificate_digest=b"",
        expires_at=2**40,
    )


@dataclass
class Shop:
    """Tools on one database, with everything a call passes from tracing to releasing."""

    path: Path
    specs: tuple[ToolSpec, ...]
    settings: Settings = field(default_factory=Settings)
    ceiling: SqlCeiling = ALL
    charged: list[str] = field(default_factory=list)
    connection: Connection | None = None
    """Instead of the one to the file at `path`."""
    lease_key: Path = Path("no lease.key")

    def __post_init__(self) -> None:
        connections = {"shop": self.connection or connection_to(self.path, self.ceiling)}
        self.leases = Leases(connections, self.lease_key)
        self.flow = Flow()
        specs = {spec.name: spec for spec in self.specs}
        self.executors = Executors(connections, specs, self.settings, self._charge, self.leases)

    def _charge(self, payer: Principal) -> None:
        self.charged.append(payer.subject)

    def validated(
        self, arguments: Mapping[str, Any], claims: Mapping[str, Any], name: str, cancellation: Cancellation | None
    ) -> ValidatedCall:
        spec = next((spec for spec in self.specs if spec.name == name), self.specs[0])
        proposed = ProposedCall(
            door="test",
            credential=Credential(b"", ""),
            tool=spec.name,
            arguments_json=b"{}",
            request_id="",
            validate_only=False,
            cancellation=cancellation or Cancellation(),
            received_at=0.0,
        )
        authenticated = AuthenticatedCall(proposed=proposed, principal=principal(**claims))
        return ValidatedCall(authenticated=authenticated, spec=spec, arguments=arguments)

    def plan(
        self, arguments: Mapping[str, Any], *, name: str = "", cancellation: Cancellation | None = None, **claims: Any
    ) -> PlannedCall:
        return self.executors.plan(self.flow.trace(self.validated(arguments, claims, name, cancellation)))

    def execute(self, planned: PlannedCall) -> ExecutedCall:
        authorized = AuthorizedCall(planned=planned, permit=Permit(policy_digest=Digest("p"), rule_ids=()))
        with self.leases.take(authorized) as lease:
            return self.executors.execute(authorized, lease)

    def call(self, arguments: Mapping[str, Any], **more: Any) -> ExecutedCall:
        return self.execute(self.plan(arguments, **more))

    def release(self, arguments: Mapping[str, Any], **more: Any) -> ReleasedResult:
        return self.flow.release(self.call(arguments, **more))

    def query(self, sql: str, **more: Any) -> list[tuple[Any, ...]]:
        return list(self.call({"sql": sql}, **more).rows)

    def refusal(self, arguments: Mapping[str, Any], **more: Any) -> Refused:
        try:
            self.call(arguments, **more)
        except Refused as refused:
            return refused
        raise AssertionError("it ran")


class Ungated:
    """An engine whose gate is switched off: it is told that every text has all the rights its tool could have."""

    def __init__(self, path: Path, tables: Mapping[str, TableRule], engine: str = "sqlite") -> None:
        connection = connection_to(path)
        self.executor = EXECUTORS[engine](connection)
        self.confinement = Confinement(
            key=Digest("k" * 64),
            tables={folded(rule.table): rule for rule in tables.values()},
            views=frozenset(tables) & {"big_orders", "words"},
            max_bytes=256 * 1024,
        )
        self.lease = FileLease("shop", str(path), "read-only", b"")
        self.rights = Rights(
            relations=tuple(sorted(rule.table for rule in tables.values())),
            columns=tuple(sorted((rule.table, column) for rule in tables.values() for column in rule.columns)),
            functions=tuple(sorted(set(DIALECTS[engine].functions) - {"claim"})),
            claims=(),
        )

    def plan(self, sql: str, *, is_fenced: bool = False, rights: Rights | None = None, **claims: Any) -> SqlPlan:
        return SqlPlan(
            dialect="sqlite",
            connection="shop",
            connection_digest=Digest("c"),
            proposed_sql=sql,
            sql_to_run=sql,
            parameters={},
            claims=claims or {"region": "EU"},
            rights=rights or self.rights,
            omitted=(),
            is_fenced=is_fenced,
            max_seconds=5.0,
            max_rows=1_000,
            max_bytes=256 * 1024,
        )

    def run(self, sql: str, **more: Any) -> Fetched:
        return self.executor.run(self.plan(sql, **more), self.confinement, self.lease, Cancellation())
