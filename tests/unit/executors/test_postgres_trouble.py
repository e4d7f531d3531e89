"""Is an operator told which step to a PostgreSQL server fails, by the service as by the doctor, and an agent not?"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import postgres_cast
import pytest
from http_cast import Blunt
from postgres_cast import PostgresShop, made
from postgres_server import Server
from psycopg import pq

from sandbox.doctor.check_canary import CannotConnect, connect
from sandbox.executors.postgres import PostgresExecutor
from sandbox.executors.postgres_trouble import SENTENCES
from sandbox.reasons import Reason, Refused
from sandbox.toolspec import Connection, Digest, EnvSecret, ServerTarget, SqlCeiling

requirement = pytest.mark.requirement("postgres:trouble:told")

PASSWORD = "hush-4711"


@pytest.fixture
def server(postgres: Server) -> Server:
    postgres.make_database("trouble", postgres_cast.SHOP)
    with postgres.connect("trouble") as owner:
        owner.execute("DROP ROLE IF EXISTS troubled")
        owner.execute(f"CREATE ROLE troubled LOGIN PASSWORD '{PASSWORD}'".encode())
    return postgres


def parameters(dsn: str) -> Mapping[str, str]:
    options = pq.Conninfo.parse(dsn.encode())
    return {option.keyword.decode(): option.val.decode() for option in options if option.val}


def told(dsn: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return what the service says of a dsn that leads nowhere, and what the doctor does."""
    monkeypatch.setenv("TROUBLE_DSN", dsn)
    connection = Connection(
        name="shop",
        engine="postgres",
        target=ServerTarget(EnvSecret("TROUBLE_DSN")),
        ceiling=SqlCeiling(None),
        digest=Digest("c" * 64),
    )
    with pytest.raises(Refused) as refused:
        PostgresExecutor(connection).read_catalogue(5)
    assert refused.value.reason is Reason.EXECUTOR_UNAVAILABLE
    assert refused.value.retry_after_s > 0, "it may pass: nobody need mend a file"
    with pytest.raises(CannotConnect) as kept_out:
        connect(parameters(dsn))
    assert PASSWORD not in str(refused.value)
    return refused.value.message.partition(" cannot be asked now: ")[2], SENTENCES[kept_out.value.trouble]


@requirement
def test_each_step_that_fails_is_told_by_service_and_doctor_alike(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    here = f"host={server.folder}"
    with Blunt(b"N") as plain, Blunt(b"HTTP/1.1 400 Bad Request\r\n\r\n") as other:
        said = {
            "resolve": f"postgresql://troubled:{PASSWORD}@nowhere.invalid/trouble?sslmode=disable",
            "connect": f"postgresql://troubled:{PASSWORD}@127.0.0.1:{port}/trouble",
            "no socket": f"postgresql://troubled:{PASSWORD}@/trouble?host={tmp_path}",
            "tls": f"postgresql://troubled:{PASSWORD}@127.0.0.1:{plain.port}/trouble?sslmode=require",
            "other": f"postgresql://troubled:{PASSWORD}@127.0.0.1:{other.port}/trouble?sslmode=disable",
            "login": f"postgresql://troubled:{PASSWORD}x@/trouble?{here}",
            "no role": f"postgresql://nobody_4711:{PASSWORD}@/trouble?{here}",
            "database": f"postgresql://troubled:{PASSWORD}@/no_such_4711?{here}",
        }
        found = {step: told(dsn, monkeypatch) for step, dsn in said.items()}
    assert found["resolve"] == (SENTENCES["resolve"],) * 2
    assert found["connect"] == found["no socket"] == (SENTENCES["connect"],) * 2
    assert found["tls"] == (SENTENCES["tls"],) * 2
    assert found["other"] == (SENTENCES["other"],) * 2
    assert found["login"] == found["no role"] == (SENTENCES["login"],) * 2
    assert found["database"] == (SENTENCES["database"],) * 2


@requirement
def test_a_login_with_all_its_sessions_is_told_as_busy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with server.connect("trouble") as owner:
        owner.execute("ALTER ROLE troubled CONNECTION LIMIT 0")
    dsn = f"postgresql://troubled:{PASSWORD}@/trouble?host={server.folder}"
    assert told(dsn, monkeypatch) == (SENTENCES["busy"],) * 2


@requirement
def test_operators_are_told_why_a_tool_s_login_is_not_let_in_and_agents_are_not(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop: PostgresShop = made(postgres, tmp_path, "trouble_login")
    monkeypatch.setattr("sandbox.telemetry.events._often", {})
    with postgres.connect() as owner:
        owner.execute("ALTER DATABASE trouble_login CONNECTION LIMIT 0")
    busy = shop.refusal("SELECT id FROM public.customers")
    assert SENTENCES["busy"] in capsys.readouterr().err
    assert SENTENCES["busy"] not in busy.message
    assert busy.retry_after_s == 1.0
