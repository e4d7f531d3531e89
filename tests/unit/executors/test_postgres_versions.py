"""Do the oldest PostgreSQL and a read replica serve as the newest does?"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from postgres_cast import PostgresShop, eventually, made
from postgres_server import Server

from sandbox.executors.engine import PlanStale
from sandbox.reasons import Reason
from sandbox.stages import Truncation

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
REPLICATED_S = 30.0


def whole(shop: PostgresShop) -> None:
    """Take the ways that a call can go."""
    shop.executor.rehearse(shop.confinement, shop.lease())
    assert "public.orders" in shop.executor.read_catalogue().tables
    for _ in range(2):
        assert shop.query("SELECT id FROM public.orders ORDER BY id", region="EU") == [(1,), (3,)]
        assert shop.query("SELECT name FROM public.customers WHERE id = $1", parameters={"a": 2}) == [("Alan Turing",)]
        assert shop.run(ENDLESS, max_rows=5).truncation is Truncation.ROWS
        assert shop.refusal(ENDLESS.replace("SELECT i FROM", "SELECT count(*) FROM"), max_seconds=0.2).reason is (
            Reason.EXECUTION_TIMED_OUT
        )
        assert shop.refusal("SELECT 1/0").metadata == {"error": "division_by_zero"}
        with pytest.raises(PlanStale):
            shop.run("SELECT * FROM pg_catalog.pg_authid")
    assert shop.running() == []
    shop.executor.close()


@pytest.mark.requirement("postgres:versions:oldest")
def test_postgresql_15_serves(postgres_15: Server, tmp_path: Path) -> None:
    whole(made(postgres_15, tmp_path, "oldest"))


def has_arrived(standby: Server) -> bool:
    try:
        with standby.connect("replica") as reader:
            return reader.execute("SELECT to_regclass('public.arrived')").fetchall() != [(None,)]
    except psycopg.OperationalError:
        return False


@pytest.mark.requirement("postgres:replica:reads")
def test_a_read_replica_serves(primary_and_standby: tuple[Server, Server], tmp_path: Path) -> None:
    primary, standby = primary_and_standby
    made(primary, tmp_path / "primary", "replica").executor.close()
    with primary.connect("replica") as owner:
        owner.execute("CREATE TABLE public.arrived ()")
    assert eventually(lambda: has_arrived(standby), REPLICATED_S)

    shop = PostgresShop(standby, tmp_path / "standby", "replica")
    assert shop.query("SELECT pg_is_in_recovery()") == [(True,)]
    whole(shop)
