"""Does a statement end where its client has gone? On engines in files; the servers' stand in their own modules."""

from __future__ import annotations

from pathlib import Path

import duckdb_cast
import pytest
from conftest import Service
from whole_cast import QUERY, check_vanished

from sandbox.client import Client
from sandbox.founding import create_deployment
from sandbox.serving import opened_house

pytestmark = pytest.mark.requirement("executors:stop:vanished")


def test_on_sqlite(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    check_vanished(service.client(), monkeypatch)


def test_on_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = create_deployment(tmp_path / "whole", with_example=False, agent_claims={"region": "EU"})
    path = duckdb_cast.make_database(tmp_path / "shop.duckdb")
    deployment.connections.write_text(f'[shop]\nengine = "duckdb"\npath = "{path}"\nceiling = {{tables = "all"}}\n')
    (deployment.toolspecs / "shop.query.yaml").write_text(QUERY.replace("public.", "").replace("PostgreSQL", "DuckDB"))
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        check_vanished(Client.from_deployment(deployment.root, "agent", door.address), monkeypatch)
