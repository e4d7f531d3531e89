"""Does a benchmark measure what it names?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from postgres_server import OWNER, Server

from sandbox.bench import call
from sandbox.bench.grounds import Ground, http_ground, postgres_ground, sqlite_ground
from sandbox.cli.bench import CALL_FIGURES
from sandbox.deployment import Deployment, Misconfigured
from sandbox.founding import create_deployment
from sandbox.trial import run_examples


@pytest.mark.requirement("house:bench:call")
@pytest.mark.parametrize(("on", "driver"), [(sqlite_ground, "driver"), (http_ground, "http-client")])
def test_every_figure_has_its_yardstick_in_the_same_run(
    monkeypatch: pytest.MonkeyPatch, on: Callable[[Deployment], AbstractContextManager[Ground]], driver: str
) -> None:
    many = len(call.CONCURRENCIES)
    monkeypatch.setattr(call, "CONCURRENCIES", (1,))
    told: list[str] = []

    figures = call.bench_call(0.5, told.append, on)

    assert len(figures) * many == CALL_FIGURES, "what `--help` says"
    names = [figure["name"] for figure in figures]
    assert names == [
        f"{name}{suffix}" for suffix in ("", "-stream") for name in ("bare-echo", "echo", "governed", driver)
    ]
    assert told == ["1 caller", "1 caller, streamed"]
    for figure in figures:
        assert figure["concurrency"] == 1
        assert figure["cpu_us"] > 0  # type: ignore[operator] - a number
        assert 0 < figure["p50_ms"] <= figure["p99_ms"]  # type: ignore[operator] - numbers


@pytest.mark.requirement("house:bench:call")
def test_on_postgresql_a_tool_is_set_up_asked_and_taken_back(postgres: Server, tmp_path: Path) -> None:
    def left() -> list[tuple[object, ...]]:
        with postgres.connect() as owner:
            names = owner.execute("SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles").fetchall()
        return sorted(names)

    before = left()
    deployment = create_deployment(tmp_path / "bench")
    dsn = f"postgresql://{OWNER}:{postgres.password}@/postgres?host={postgres.folder}"
    with postgres_ground(deployment, dsn) as ground:
        assert len(ground.measure(0.1).latencies_s) > 1
        (outcome,) = run_examples(deployment.root, ground.tool).outcomes
        assert outcome.is_as_expected, outcome.found
    assert left() == before


@pytest.mark.requirement("house:bench:call")
def test_a_server_that_cannot_be_used_is_told_without_its_password(tmp_path: Path) -> None:
    deployment = create_deployment(tmp_path / "bench")
    with (
        pytest.raises(Misconfigured, match="a superuser's dsn") as told,
        postgres_ground(deployment, "postgresql://me:hunter2@/postgres?host=/nowhere"),
    ):
        pass
    assert "hunter2" not in str(told.value)
