"""What does a soak run against? A deployment with tools of every kind, PostgreSQL's too, and settings that hurry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from held import sandbox

from sandbox.deployment import Deployment, write_private
from sandbox.founding import create_deployment

BY_ID: Final = "soak.order"
"""An author's statement; its spec is what reloads change."""
QUERY: Final = "soak.query"
"""The model's SQL."""
RARE: Final = "soak.rare"
"""May be called six times a minute."""
PG_BY_ID: Final = "ledger.entry"
PG_QUERY: Final = "ledger.query"

PLANS: Final = 512
"""Proven statements remembered by each worker: full within three minutes of a soak, where 4,096 would take an hour, and
a cache that fills could not be told from memory that leaks."""

BY_ID_SPEC: Final = """\
spec: tool/v1
name: soak.order
version: 1.0.0
owner: soak@example.com
summary: One order by its id.
kind: sql
effects: read
connection: shop
input:
  id: {type: integer, help: The order's id}
statement: SELECT id, region, cents FROM orders WHERE id = :id
limits: {seconds: 5, max_rows: 10, max_bytes: 64KiB}
examples:
  - call: {id: 1}
    expect: {row_count: 1}
"""
_QUERY_SPEC: Final = """\
spec: tool/v1
name: soak.query
version: 1.0.0
owner: soak@example.com
summary: Read the orders with SQL.
kind: sql
effects: read
connection: shop
input:
  sql: {type: sql, help: One SELECT statement}
allow:
  tables:
    orders: {columns: [id, region, cents], row_filter: "region = claim('region')"}
limits: {seconds: 5, max_rows: 10, max_bytes: 64KiB}
examples:
  - as: {region: EU}
    call: {sql: SELECT count(*) FROM orders}
    expect: {row_count: 1}
"""
_PG_BY_ID_SPEC: Final = """\
spec: tool/v1
name: ledger.entry
version: 1.0.0
owner: soak@example.com
summary: One entry by its id.
kind: sql
effects: read
connection: ledger
input:
  id: {type: integer, help: The entry's id}
statement: SELECT id, cents FROM entries WHERE id = :id
examples:
  - call: {id: 3}
    expect: {row_count: 1}
"""
_PG_QUERY_SPEC: Final = """\
spec: tool/v1
name: ledger.query
version: 1.0.0
owner: soak@example.com
summary: Read the entries with SQL.
kind: sql
effects: read
connection: ledger
input:
  sql: {type: sql, help: One PostgreSQL SELECT statement}
allow:
  tables:
    public.entries: {columns: [id, region, cents], row_filter: "region = claim('region')"}
limits: {seconds: 5, max_rows: 10, max_bytes: 64KiB}
examples:
  - as: {region: EU}
    call: {sql: SELECT count(*) AS n FROM entries}
    expect: {row_count: 1}
"""
_ENTRIES: Final = """
CREATE TABLE public.entries (id int PRIMARY KEY, region text, cents bigint);
INSERT INTO public.entries
  SELECT n, CASE n % 2 WHEN 0 THEN 'EU' ELSE 'US' END, n * 100 FROM generate_series(1, 1000) AS n;
CREATE ROLE catalogue LOGIN PASSWORD 'sees-all-reads-nothing';
"""


def make_deployment(root: Path) -> Deployment:
    """Make the example deployment with the tools on SQLite."""
    deployment = create_deployment(root, name="soak")
    rare = BY_ID_SPEC.replace(BY_ID, RARE).replace("64KiB}", "64KiB, rate: 6/min}")
    settings = deployment.settings.read_text("utf-8")
    deployment.settings.write_text(settings.replace("#plan_cache = 4096", f"plan_cache = {PLANS}"), "utf-8")
    for name, spec in ((BY_ID, BY_ID_SPEC), (QUERY, _QUERY_SPEC), (RARE, rare)):
        (deployment.toolspecs / f"{name}.yaml").write_text(spec, "utf-8")
    return deployment


@contextmanager
def ledger(deployment: Deployment) -> Iterator[None]:
    """Run the tests' PostgreSQL for the block, set up as its administrator would, with the tools that ask it."""
    sys.path.append(str(Path(__file__).parents[2] / "tests" / "engines"))
    engine = import_module("postgres_server")
    with engine.running(engine.PYPI, 18) as server:
        server.make_database("ledger", _ENTRIES)
        folder = deployment.root / "secrets"
        folder.mkdir(0o700)
        dsn = f"postgresql://catalogue:sees-all-reads-nothing@/ledger?host={server.folder}"
        write_private(folder / "ledger.dsn", dsn.encode())
        with deployment.connections.open("a", encoding="utf-8") as file:
            file.write('\n[ledger]\nengine = "postgres"\ndsn = {file = "secrets/ledger.dsn"}\n')
            file.write('ceiling = {tables = ["public.entries"]}\n')
        for name, spec in ((PG_BY_ID, _PG_BY_ID_SPEC), (PG_QUERY, _PG_QUERY_SPEC)):
            (deployment.toolspecs / f"{name}.yaml").write_text(spec, "utf-8")
        script = sandbox(deployment, "doctor", "--setup-sql", "ledger")
        if script.returncode:
            raise SystemExit(f"the set-up script was not printed: {script.stderr}")
        with server.connect("ledger") as owner:
            owner.execute(script.stdout.encode())
        yield
