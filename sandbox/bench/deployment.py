"""What does a bench run against? The example shop, with a tool without rate limits."""

from __future__ import annotations

from pathlib import Path
from typing import Final

BENCH_TOOL: Final = "bench.order_by_id"
COLD_TOOL: Final = "bench.query"
"""Takes model-written SQL, so that each new text is parsed and proven."""

FLOODER: Final = "flooder"
"""Another principal than the one whose calls are timed."""

_SPEC: Final = """\
spec: tool/v1
name: bench.order_by_id
version: 1.0.0
owner: bench@example.com
summary: One order of the shop by its id.
use_when: A benchmark runs.
kind: sql
effects: read
connection: shop
input:
  id: {type: integer, help: The order's id}
statement: SELECT id, customer_id, region, cents, placed_on FROM orders WHERE id = :id
limits: {seconds: 5, max_rows: 10, max_bytes: 64KiB}
examples:
  - as: {region: EU}
    call: {id: 7}
    expect: {row_count: 1}
"""

_COLD_SPEC: Final = """\
spec: tool/v1
name: bench.query
version: 1.0.0
owner: bench@example.com
summary: Read the orders with SQL.
use_when: A benchmark floods the gate.
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


def make_bench_deployment(root: Path) -> None:
    """Make a deployment in `root`: the one of `sandbox init` with the bench's tools and a second agent beside."""
    from sandbox.founding import create_deployment
    from sandbox.identity.enrolment import Scope, write_token
    from sandbox.settings import read_settings

    deployment = create_deployment(root, name="bench")
    for tool, spec in ((BENCH_TOOL, _SPEC), (COLD_TOOL, _COLD_SPEC)):
        (deployment.toolspecs / f"{tool}.yaml").write_text(spec, "utf-8")
    settings, _ = read_settings(deployment.settings)
    scope = Scope(roles=("agent",), tools=("*",), claims={"region": "EU"}, actors=())
    write_token(deployment, settings.identity, FLOODER, scope, lifetime_s=86_400)
