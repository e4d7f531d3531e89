"""What does a bench run against? The example shop, with a tool without rate limits."""

from __future__ import annotations

from pathlib import Path
from typing import Final

BENCH_TOOL: Final = "bench.order_by_id"

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


def make_bench_deployment(root: Path) -> None:
    """Make a deployment in `root`: the one of `sandbox init` with the bench's tool beside its own."""
    from sandbox.founding import create_deployment

    deployment = create_deployment(root, name="bench")
    (deployment.toolspecs / f"{BENCH_TOOL}.yaml").write_text(_SPEC, "utf-8")
