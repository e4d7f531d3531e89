"""What does PostgreSQL let through with no gate before it? What its login was granted, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_cast import CANARY
from postgres_cast import PostgresShop, made
from postgres_server import Server

from sandbox.executors.engine import PlanStale
from sandbox.reasons import Reason, Refused


@pytest.fixture(scope="module", params=["postgres", "postgres_15"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Server:
    server = request.getfixturevalue(request.param)
    assert isinstance(server, Server)
    made(server, tmp_path_factory.mktemp("shop"), "alone")
    return server


@pytest.fixture
def shop(database: Server, tmp_path: Path) -> Iterator[PostgresShop]:
    shop = PostgresShop(database, tmp_path, "alone")
    yield shop
    shop.executor.close()


SIDE_EFFECTS = [
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_notify('a', 'b')",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_sleep(3)",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_cancel_backend(pg_backend_pid())",
    "SELECT pg_export_snapshot()",
    "SELECT pg_reload_conf()",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT query_to_xml('SELECT * FROM public.secrets', true, true, '')",
    "SELECT set_config('role', 'owner', false)",
    "SELECT set_config('session_authorization', 'owner', false)",
    "SET ROLE owner",
    "EXPLAIN ANALYZE SELECT * FROM public.secrets",
    "SELECT * FROM public.customers FOR UPDATE",
    "COPY (SELECT 1) TO PROGRAM 'true'",
]


@pytest.mark.requirement("postgres:alone:effects")
@pytest.mark.parametrize("sql", SIDE_EFFECTS)
def test_no_effect_no_file_and_no_other_role(shop: PostgresShop, sql: str) -> None:
    with pytest.raises((PlanStale, Refused)) as caught:
        shop.run(sql)

    assert not isinstance(caught.value, Refused) or caught.value.reason is Reason.SQL_FAILED
    assert shop.query("SELECT current_user::text") == [(shop.shape.login,)]


HIDDEN = [
    "SELECT id FROM public.orders WHERE 1000 / (cents - 400) < 0",
    "SELECT id FROM public.orders WHERE CAST(region AS text) <> '' AND 100 / (id - 4) <> 0",
    "SELECT count(*) FROM public.orders WHERE CASE WHEN id = 4 THEN CAST(region AS integer) ELSE 1 END = 1",
    "SELECT max(100 / (id - 2)) FROM public.orders",
]


@pytest.mark.requirement("postgres:alone:rows")
@pytest.mark.parametrize("sql", HIDDEN)
def test_nothing_of_a_statement_meets_a_row_that_the_filter_hides(shop: PostgresShop, sql: str) -> None:
    """Each of these would fail over a hidden row, and so tell of it."""
    assert shop.query(sql, region="EU") != []


@pytest.mark.requirement("postgres:alone:rows")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM public.orders",
        "SELECT o FROM public.orders AS o",
        "SELECT row_to_json(o) FROM public.orders AS o",
        "SELECT a.id, b.region FROM public.orders AS a FULL JOIN public.orders AS b ON a.id <> b.id",
        "SELECT (SELECT max(region) FROM public.orders) FROM public.customers",
        "SELECT string_agg(region, ',' ORDER BY id) OVER () FROM public.orders",
        "SELECT most_common_vals::text FROM pg_catalog.pg_stats",
        "SELECT * FROM public.orders TABLESAMPLE SYSTEM (100)",
        "SELECT query FROM pg_catalog.pg_stat_activity",
    ],
)
def test_no_shape_of_statement_shows_a_hidden_row(shop: PostgresShop, sql: str) -> None:
    try:
        found = shop.query(sql, region="EU")
    except (PlanStale, Refused) as told:
        found = [(repr(told),)]

    assert CANARY not in repr(found)
    assert "US" not in repr(found)
