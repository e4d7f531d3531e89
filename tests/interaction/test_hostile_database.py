"""What do callers hear of a database that hangs, floods or lies? One sentence and a receipt, and others are served."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Service
from postgres_cast import KEY, SHOP
from postgres_proxy import Proxy, between
from postgres_server import Server

from sandbox.audit.audit import audit_log
from sandbox.client import Client, Refusal, Result
from sandbox.deployment import Deployment, write_private
from sandbox.serving import opened_house

SECONDS = 0.5
SPEC = """\
spec: tool/v1
name: far.by_id
version: 1.0.0
owner: shop@example.com
summary: One order by its id.
kind: sql
effects: read
connection: far
input:
  id: {type: integer, help: The order's id}
statement: SELECT id, cents FROM orders WHERE id = :id
limits: {seconds: 0.5, max_rows: 10}
"""
CONNECTION = '\n[far]\nengine = "postgres"\ndsn = {file = "secrets/far.dsn"}\nceiling = {tables = "all"}\n'
ENDS = {"EXECUTOR_UNAVAILABLE", "EXECUTION_TIMED_OUT", "SQL_FAILED"}
TRUE_ROWS = ((3, 300),)


def row(*cells: bytes) -> bytes:
    """Return a DataRow message (protocol-message-formats)."""
    body = struct.pack("!h", len(cells)) + b"".join(struct.pack("!i", len(cell)) + cell for cell in cells)
    return b"D" + struct.pack("!i", len(body) + 4) + body


@pytest.fixture(scope="module")
def proxy(postgres: Server) -> Iterator[Proxy]:
    postgres.make_database("far", SHOP)
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,  # a socket's path is short
        between(postgres.folder, Path(folder)) as proxy,
    ):
        yield proxy


@pytest.fixture(scope="module")
def service(
    template: Deployment, postgres: Server, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The example shop, and a tool on a PostgreSQL whose every byte comes through a man in the middle."""
    deployment = Deployment(tmp_path_factory.mktemp("hostile") / "shop")
    shutil.copytree(template.root, deployment.root)
    with deployment.connections.open("a") as file:
        file.write(CONNECTION)
    (deployment.root / "secrets").mkdir(0o700)
    with postgres.connect("far") as owner:
        owner.execute("DROP ROLE IF EXISTS far_catalogue")
        owner.execute("CREATE ROLE far_catalogue LOGIN PASSWORD 'sees-all-reads-nothing'")
    dsn = f"postgresql://far_catalogue:sees-all-reads-nothing@/far?host={proxy.folder}"
    write_private(deployment.root / "secrets" / "far.dsn", dsn.encode())
    deployment.lease_key.unlink()
    write_private(deployment.lease_key, KEY)  # logins are the whole server's, and other tests use them
    (deployment.toolspecs / "far.by_id.yaml").write_text(SPEC)
    command = [sys.executable, "-m", "sandbox.cli.main", "doctor", "--setup-sql", "far"]
    script = subprocess.run(  # noqa: S603 - our own command
        [*command, "--deployment", str(deployment.root)], capture_output=True, check=True
    )
    with postgres.connect("far") as owner:
        owner.execute(script.stdout)
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door):
        assert house.loaded.unserved == {}
        yield Service(deployment, house, door.address)


def heard(client: Client) -> object:
    """Ask the far database; return the reason of the refusal, or the rows."""
    answer = client.call("far.by_id", {"id": 3})
    assert answer.receipt is not None  # type: ignore[union-attr]
    if isinstance(answer, Refusal):
        assert answer.message
        assert "\n" not in answer.message
        return answer.reason
    assert isinstance(answer, Result)
    return answer.rows


def assert_whole_again(service: Service, client: Client) -> None:
    for executor in service.house.loaded.executors._executors.values():
        executor.forget()
    assert heard(client) == TRUE_ROWS
    audit_log(service.deployment.log_database, (service.deployment.keys / "log.vkey").read_text("utf-8"))


@pytest.mark.requirement("postgres:stop:hostile-served")
def test_a_database_that_hangs_is_told_in_time_and_holds_up_nobody_else(
    service: Service, proxy: Proxy, client: Client
) -> None:
    assert heard(client) == TRUE_ROWS
    proxy.is_silent.set()
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        hanging = [pool.submit(heard, client) for _ in range(8)]
        near = client.call("shop.order", {"id": 1})
        assert isinstance(near, Result)
        reasons = {each.result(20) for each in hanging}
    assert reasons <= ENDS
    assert time.monotonic() - begun < SECONDS + 2.0
    proxy.is_silent.clear()

    assert_whole_again(service, client)


LIES = {
    "not of its type": (b"300", b"\xff\xfe0", "SQL_FAILED"),
    "a NUL byte": (b"300", b"3\x000", ((3, 3),)),  # where a number ends; it could have said 3 as well
    "another type": (struct.pack("!ih", 23, 4), struct.pack("!ih", 17, 4), "EXECUTOR_UNAVAILABLE"),
    "more columns": (row(b"3", b"300"), row(b"3", b"300", b""), "SQL_FAILED"),
    "an odd end": (b"SELECT 1\x00", b"SELECT \xff\x00", ((3, 300),)),
    "an error in odd words": (b"SELECT 1\x00", b"\x00\x00\x00\x00\x00\x00\x00\x00\x00", "SQL_FAILED"),
}
"""What the server says, what comes instead, and how the call ends: with a reason, or with rows."""


@pytest.mark.requirement("postgres:stop:hostile-served")
@pytest.mark.parametrize("lie", LIES)
def test_a_database_that_lies_breaks_one_call(service: Service, proxy: Proxy, client: Client, lie: str) -> None:
    truth, told, ending = LIES[lie]
    lied: list[bytes] = []

    def lying(sent: bytes) -> bytes:
        if truth in sent:
            lied.append(sent)
        return sent.replace(truth, told)

    assert heard(client) == TRUE_ROWS
    proxy.to_client = lying
    try:
        assert heard(client) == ending
        assert isinstance(client.call("shop.order", {"id": 1}), Result)
    finally:
        proxy.to_client = lambda same: same

    assert lied
    assert_whole_again(service, client)


@pytest.mark.requirement("postgres:stop:hostile-served")
@pytest.mark.parametrize("flood", [row(b"3", b"300") * 1_000, b"\xff" * 4_096], ids=["endless rows", "no messages"])
def test_a_database_that_never_stops_ends_no_call_late(
    service: Service, proxy: Proxy, client: Client, flood: bytes
) -> None:
    assert heard(client) == TRUE_ROWS
    proxy.flood = flood
    begun = time.monotonic()
    assert heard(client) in ENDS
    assert time.monotonic() - begun < SECONDS + 2.0
    proxy.flood = b""

    assert_whole_again(service, client)
