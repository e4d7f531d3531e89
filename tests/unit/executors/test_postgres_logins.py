"""How many sessions has a login, how long, and what is told where a server lets nobody in?"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from postgres_cast import PostgresShop, eventually, made, opened, proxied
from postgres_proxy import Proxy
from postgres_server import Server

from sandbox.doctor.roles import CONNECTION_LIMIT
from sandbox.executors import postgres_talk
from sandbox.executors.engine import Fetched
from sandbox.executors.postgres import PostgresExecutor
from sandbox.executors.postgres_session import Session
from sandbox.reasons import Reason, Refused

WIDE = "SELECT " + ", ".join(f"{number} AS {'x' * 60}{number}" for number in range(128))
NOT_NOW = (
    b"sorry, too many clients already",
    b'too many connections for role "sandbox_0123456789ab"',
    b"remaining connection slots are reserved for roles with the SUPERUSER attribute",
    b"the database system is starting up",
    b'database "shop" is not currently accepting connections',
    b"terminating connection due to administrator command",
)
NEVER = (
    b'password authentication failed for user "sandbox_0123456789ab"',
    b'role "sandbox_0123456789ab" is not permitted to log in',
    b'permission denied for database "shop"',
)


@pytest.fixture(scope="module")
def database(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    made(postgres, tmp_path_factory.mktemp("shop"), "logins")
    return postgres


@pytest.fixture
def shop(database: Server, tmp_path: Path) -> Iterator[PostgresShop]:
    with opened(PostgresShop(database, tmp_path, "logins")) as shop:
        yield shop


@pytest.fixture
def proxy(database: Server) -> Iterator[Proxy]:
    with proxied(database) as proxy:
        yield proxy


@pytest.fixture
def far_shop(database: Server, proxy: Proxy, tmp_path: Path) -> Iterator[PostgresShop]:
    with opened(PostgresShop(database, tmp_path, "logins", host=str(proxy.folder))) as shop:
        yield shop


@pytest.mark.requirement("postgres:session:places")
@pytest.mark.parametrize(("workers", "running", "idle"), [(1, 32, 24), (2, 16, 12), (32, 1, 1)])
def test_workers_share_what_one_process_may_have(
    shop: PostgresShop, monkeypatch: pytest.MonkeyPatch, workers: int, running: int, idle: int
) -> None:
    """All together fill no login: each may hold as many as run there, and as many as are idle."""
    shop.executor = PostgresExecutor(shop.connection, workers)
    together = threading.Barrier(running + 1, timeout=20)
    run = Session.run

    def waiting(*call: Any) -> Fetched:
        together.wait()
        together.wait()
        return run(*call)

    monkeypatch.setattr(Session, "run", waiting)
    with ThreadPoolExecutor(running) as pool:
        calls = [pool.submit(shop.query, "SELECT 1") for _ in range(running)]
        together.wait()
        assert shop.refusal("SELECT 1", max_seconds=0.1).reason is Reason.EXECUTION_TIMED_OUT
        together.wait()
        assert [call.result() for call in calls] == [[(1,)]] * running

    assert sum(map(len, shop.executor._idle._idle.values())) == idle
    assert workers * (running + idle) <= CONNECTION_LIMIT


def altered(database: Server, shop: PostgresShop, change: str) -> None:
    with database.connect() as owner:
        owner.execute(f"ALTER ROLE {shop.shape.login} {change}".encode())


def refused_with(words: bytes, shop: PostgresShop, proxy: Proxy, database: Server) -> Refused:
    """Have the server say these words where it has looked at the password."""
    password = shop.lease().password.reveal()
    fields = b"SFATAL\0VFATAL\0C00000\0M" + words + b"\0\0"
    answer = b"E" + struct.pack("!i", len(fields) + 4) + fields
    altered(database, shop, "PASSWORD 'another'")
    proxy.to_client = lambda sent: answer if b"C28P01" in sent else sent
    try:
        return shop.refusal("SELECT 1")
    finally:
        altered(database, shop, f"PASSWORD '{password}'")


@pytest.mark.requirement("postgres:session:refused-login")
def test_a_login_with_too_many_sessions_may_come_again(shop: PostgresShop, database: Server) -> None:
    altered(database, shop, "CONNECTION LIMIT 0")
    try:
        refused = shop.refusal("SELECT 1")
    finally:
        altered(database, shop, "CONNECTION LIMIT 64")

    assert (refused.reason, refused.retry_after_s) == (Reason.EXECUTOR_UNAVAILABLE, 1.0)
    assert "busy" in refused.message
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("postgres:session:refused-login")
@pytest.mark.parametrize("words", NOT_NOW)
def test_a_server_that_lets_nobody_in_for_now_may_be_asked_again(
    far_shop: PostgresShop, proxy: Proxy, database: Server, words: bytes
) -> None:
    refused = refused_with(words, far_shop, proxy, database)

    assert (refused.reason, refused.retry_after_s) == (Reason.EXECUTOR_UNAVAILABLE, 1.0)
    assert "busy" in refused.message


@pytest.mark.requirement("postgres:session:refused-login")
@pytest.mark.parametrize("words", NEVER)
def test_a_login_that_is_not_let_in_names_the_script(
    far_shop: PostgresShop, proxy: Proxy, database: Server, words: bytes
) -> None:
    refused = refused_with(words, far_shop, proxy, database)

    assert (refused.reason, refused.retry_after_s) == (Reason.EXECUTOR_UNAVAILABLE, 0.0)
    assert "sandbox doctor --setup-sql shop" in refused.message


@pytest.mark.requirement("postgres:session:kept")
@pytest.mark.parametrize(
    ("reason", "sql", "more"),
    [
        (Reason.ARGUMENT_INVALID, "SELECT $1::text", {"parameters": {"a": "\0"}}),
        (Reason.RESULT_TOO_LARGE, WIDE, {"max_bytes": 1}),
    ],
)
def test_a_refusal_before_anything_runs_costs_no_session(
    shop: PostgresShop, reason: Reason, sql: str, more: dict[str, Any]
) -> None:
    ((first,),) = shop.query("SELECT pg_catalog.pg_backend_pid()")
    for _ in range(2):  # prepared only now, and known already
        assert shop.refusal(sql, **more).reason is reason

    assert shop.query("SELECT pg_catalog.pg_backend_pid()") == [(first,)]


@pytest.mark.requirement("postgres:session:kept")
def test_an_idle_session_ends_though_nobody_calls(shop: PostgresShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast("dict[str, str]", postgres_talk._STATE), "idle_session_timeout", "1000")
    assert shop.query("SELECT 1") == [(1,)]
    assert len(shop.executor._idle._idle) == 1

    assert eventually(lambda: shop.sessions() == 0, 10.0)
    assert shop.query("SELECT 1") == [(1,)]
