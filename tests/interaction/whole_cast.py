"""The shop on PostgreSQL as a deployment has it, from its connection to the script of its administrator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import postgres_cast
import pytest
from command_line import CommandLine
from executor_cast import CANARY
from postgres_server import Server

from sandbox.audit.verify import verify_receipt
from sandbox.client import Client, Refusal, Result
from sandbox.deployment import Deployment, write_private
from sandbox.executors import Executors
from sandbox.founding import create_deployment
from sandbox.stages import AuthorizedCall, ExecutedCall, Lease

CONNECTIONS = '[shop]\nengine = "postgres"\ndsn = {file = "secrets/shop.dsn"}\nceiling = {tables = "all"}\n'
QUERY = """\
spec: tool/v1
name: shop.query
version: 1.0.0
owner: shop@example.com
summary: Read the shop's orders and customers.
use_when: A question needs figures.
kind: sql
effects: read
connection: shop
input:
  sql: {type: sql, help: One PostgreSQL SELECT statement}
allow:
  tables:
    public.orders: {columns: [id, region, cents, customer], row_filter: "region = claim('region')"}
    public.customers: {columns: [id, name, mail], mask: {name: initials, mail: domain}}
limits: {seconds: 5, max_rows: 100, max_bytes: 64KiB}
examples:
  - as: {region: EU}
    call: {sql: "SELECT region, count(*) AS n, sum(cents) AS cents FROM orders GROUP BY region"}
    expect: {rows: [[EU, 2, "400"]]}
  - as: {region: EU}
    call: {sql: "DELETE FROM orders"}
    expect: {refused: SQL_NOT_READ_ONLY}
  - as: {}
    call: {sql: "SELECT id FROM orders"}
    expect: {refused: CLAIM_MISSING}
"""
BY_ID = """\
spec: tool/v1
name: shop.by_id
version: 1.0.0
owner: shop@example.com
summary: One order by its id.
use_when: The id is known.
kind: sql
effects: read
connection: shop
input:
  id: {type: integer, help: The order's id}
statement: SELECT id, cents FROM orders WHERE id = :id
examples:
  - call: {id: 3}
    expect: {rows: [[3, 300]]}
"""


def founded(server: Server, folder: Path, sandbox: CommandLine, host: Path | None = None) -> Deployment:
    """Return a deployment whose dsn's login sees the catalogue and reads nothing; `host` stands for the server's."""
    with server.connect("whole") as owner:
        owner.execute("DROP ROLE IF EXISTS catalogue")
        owner.execute("CREATE ROLE catalogue LOGIN PASSWORD 'sees-all-reads-nothing'")
    deployment = create_deployment(folder, with_example=False, agent_claims={"region": "EU"})
    deployment.connections.write_text(CONNECTIONS)
    (deployment.root / "secrets").mkdir(0o700)
    dsn = f"postgresql://catalogue:sees-all-reads-nothing@/whole?host={host or server.folder}"
    write_private(deployment.root / "secrets" / "shop.dsn", dsn.encode())
    deployment.lease_key.unlink()
    write_private(deployment.lease_key, postgres_cast.KEY)  # logins are the whole server's, and other tests use them
    sandbox.over(deployment.root)
    return deployment


def administer(server: Server, sandbox: CommandLine) -> None:
    """Run what the service prints, as the database's administrator."""
    script = sandbox.run("doctor", "--setup-sql", "shop")
    assert script.code == 0, script.err
    with server.connect("whole") as owner:
        owner.execute(script.out.encode())


def check_calls(served: Client, key: str) -> None:
    """Call each tool of the shop; what comes back is right, typed, masked and bears a receipt."""
    count = {"sql": "SELECT region, count(*) AS n, sum(cents) AS cents FROM orders GROUP BY region"}
    for answer in [served.call("shop.query", count) for _ in range(3)]:
        assert isinstance(answer, Result)
        assert answer.rows == (("EU", 2, "400"),)
        assert [column.type for column in answer.columns] == ["text", "integer", "text"]
        assert verify_receipt(answer.receipt.text, key).record.tool == "shop.query"
    masked = served.call("shop.query", {"sql": "SELECT * FROM customers ORDER BY id"})
    assert isinstance(masked, Result)
    assert masked.rows[0] == (1, "A.L.", "example.com")
    by_id = [served.call("shop.by_id", {"id": number}) for number in (3, 99, 1)]
    assert [one.rows for one in by_id if isinstance(one, Result)] == [((3, 300),), (), ((1, 100),)]


def check_refusals(served: Client, more: Mapping[str, str]) -> None:
    """Ask for what is not allowed, and for `more`, each with its reason; no refusal shows a hidden value."""
    refused = {
        "SELECT note FROM orders": "SQL_OBJECT_FORBIDDEN",
        "SELECT * FROM secrets": "SQL_OBJECT_FORBIDDEN",
        "DELETE FROM orders": "SQL_NOT_READ_ONLY",
        "SELECT 1; SELECT 2": "SQL_NOT_READ_ONLY",
    }
    for sql, reason in {**refused, **more}.items():
        answer = served.call("shop.query", {"sql": sql})
        assert isinstance(answer, Refusal), sql
        assert (sql, answer.reason) == (sql, reason)
        assert CANARY not in repr(answer)


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
GRACE_S = 0.25
"""Within which a statement ends whose client has gone."""


def check_vanished(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hang up in the midst of a statement that never ends; it ends at once, and the tool serves the next."""
    check_ended(lambda: client.call("shop.query", {"sql": ENDLESS}), client.close, monkeypatch)


def check_ended(ask: Callable[[], object], hang_up: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hang up while a statement runs; it ends at once."""
    begun, ended = threading.Event(), threading.Event()
    ended_at: list[float] = []
    execute = Executors.execute

    def watched(executors: Executors, authorized: AuthorizedCall, lease: Lease) -> ExecutedCall:
        begun.set()
        try:
            return execute(executors, authorized, lease)
        finally:
            ended_at.append(time.monotonic())
            ended.set()

    def asked() -> None:
        with suppress(Exception):  # whatever a client is told that hangs up
            ask()

    monkeypatch.setattr(Executors, "execute", watched)
    asking = threading.Thread(target=asked)
    asking.start()
    assert begun.wait(10)
    assert not ended.wait(0.3), "it runs"
    hung_up_at = time.monotonic()
    hang_up()
    assert ended.wait(10)
    assert ended_at[0] - hung_up_at < GRACE_S
    asking.join()
