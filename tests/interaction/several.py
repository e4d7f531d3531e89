"""A service of several worker processes, and callers of whom each knows which worker answers."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import watchfiles

from sandbox.client import Client, ClientError, Result
from sandbox.deployment import Deployment
from sandbox.founding import create_deployment
from sandbox.v1 import record_pb2

PATIENCE_S = 60.0
GRACE_S = 60.0

POINT = """\
spec: tool/v1
name: many.order
version: 1.0.0
owner: shop@example.com
summary: One order by its id.
use_when: The id is known.
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

RARE = POINT.replace("many.order", "many.rare").replace("64KiB}", "64KiB, rate: 6/h}")

LONG = """\
spec: tool/v1
name: many.long
version: 1.0.0
owner: shop@example.com
summary: Counts for as long as it is told to.
use_when: Somebody must wait.
kind: sql
effects: read
connection: shop
input:
  most: {type: integer, help: Where counting ends}
statement: |
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most) SELECT count(*) AS n FROM n
limits: {seconds: 60, max_rows: 10, max_bytes: 64KiB}
examples:
  - call: {most: 10}
    expect: {row_count: 1}
"""

LONE = LONG.replace("many.long", "many.lone").replace("64KiB}", "64KiB, concurrency: 1}")

QUERY = """\
spec: tool/v1
name: many.query
version: 1.0.0
owner: shop@example.com
summary: Read the orders with SQL.
use_when: Nothing else fits.
kind: sql
effects: read
connection: shop
input:
  sql: {type: sql, help: One SELECT statement}
allow:
  tables:
    orders: {columns: [id, region, cents]}
limits: {seconds: 5, max_rows: 10, max_bytes: 64KiB}
examples:
  - call: {sql: SELECT count(*) FROM orders}
    expect: {row_count: 1}
"""

FOREVER = {"most": 10**12}


def make_deployment(root: Path) -> Deployment:
    """Make the example deployment with tools to be called by many."""
    deployment = create_deployment(root)
    for spec in (POINT, RARE, LONG, LONE, QUERY):
        name = spec.split("name: ")[1].split()[0]
        (deployment.toolspecs / f"{name}.yaml").write_text(spec, "utf-8")
    return deployment


@dataclass
class Several:
    """A running service."""

    deployment: Deployment
    process: subprocess.Popen[str]
    address: str
    ready: str
    stack: ExitStack = field(default_factory=ExitStack)

    def pids(self) -> list[int]:
        """Return the workers' processes, in the order in which they were started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        return [int(pid) for pid in children.split()]

    def client(self, name: str = "agent") -> Client:
        return self.stack.enter_context(Client.from_deployment(self.deployment.root, name, self.address))

    def clients(self, name: str = "agent", workers: int = 2) -> list[Client]:
        """Return callers of one identity, each connected to another worker."""
        found: dict[bytes, Client] = {}
        for _ in range(200):
            client = self.client(name)
            found.setdefault(worker_of(client), client)
            if len(found) == workers:
                return list(found.values())
        raise AssertionError("a worker was never reached")

    def is_answered_by_another(self, known: Collection[bytes]) -> bool:
        """Whether a new caller is answered by a worker that is not known yet."""
        with suppress(ClientError):
            return worker_of(self.client()) not in known
        return False

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until the service has brought it about; its log changes with what it does."""
        give_up = monotonic() + PATIENCE_S
        for _ in watchfiles.watch(self.deployment.state, rust_timeout=100, yield_on_timeout=True):
            if is_so():
                return
            assert monotonic() < give_up, "it never came about"


def worker_of(client: Client) -> bytes:
    """Return who answers a caller: the id of the process, which is in each of its records."""
    answer = client.call("many.order", {"id": 1})
    assert isinstance(answer, Result)
    extra = answer.receipt.text.split(b"\n")[1].removeprefix(b"extra ")
    return record_pb2.Record.FromString(base64.b64decode(extra)).boot_id


def answers(client: Client) -> bool:
    """Whether a caller is answered now."""
    with suppress(ClientError):
        return isinstance(client.call("many.order", {"id": 1}, timeout_s=5), Result)
    return False


@contextmanager
def serve(deployment: Deployment, workers: int = 2, **more: object) -> Iterator[Several]:
    command = [sys.executable, "-m", "sandbox.cli.main", "serve", "--workers", str(workers), "--grace", str(GRACE_S)]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--listen", "127.0.0.1:0", "--deployment", str(deployment.root)],
        stdout=subprocess.PIPE,
        text=True,
        **{"stderr": subprocess.PIPE, **more},  # type: ignore[call-overload]
    )
    assert process.stdout is not None
    ready = process.stdout.readline()
    assert ready, process.communicate()[1]
    service = Several(deployment, process, ready.split("grpc=")[1].split()[0], ready)
    lives = [os.pidfd_open(pid) for pid in service.pids()]
    try:
        with service.stack:
            yield service
    finally:
        process.kill()
        process.communicate()
        for life in lives:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(life, signal.SIGKILL)
            os.close(life)
