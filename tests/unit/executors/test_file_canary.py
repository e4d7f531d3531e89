"""Is an engine of files believed to confine only where it did so, statement by statement?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from sandbox.executors import file_canary
from sandbox.executors.ending import failed, timed_out
from sandbox.executors.engine import Confinement, Fetched, PlanStale
from sandbox.executors.file_canary import slips_of_file_engine
from sandbox.executors.sqlite import SqliteExecutor
from sandbox.stages import Cancellation, Lease, SqlPlan
from sandbox.toolspec import Connection, SqlEngine


class Answering:
    """An executor that stops what is forbidden as it is told to, and shows what may be seen."""

    def __init__(self, connection: Connection, stop: Exception) -> None:
        self._sqlite, self._stop = SqliteExecutor(connection), stop

    def run(self, plan: SqlPlan, confinement: Confinement, lease: Lease, cancellation: Cancellation) -> Fetched:
        if plan.sql_to_run == "SELECT * FROM canary":
            return self._sqlite.run(plan, confinement, lease, cancellation)
        raise self._stop

    def close(self) -> None:
        self._sqlite.close()


def stopping(stop: Exception) -> Mapping[str, object]:
    return MappingProxyType({"sqlite": lambda connection: Answering(connection, stop)})


@pytest.mark.requirement("doctor:selftest:engine")
@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_an_engine_that_stops_all_lets_nothing_through(engine: SqlEngine) -> None:
    assert slips_of_file_engine(engine) == ()


@pytest.mark.requirement("doctor:selftest:engine")
@pytest.mark.parametrize(
    ("stop", "is_believed"),
    [
        (PlanStale("no"), True),
        (failed("other", "x"), True),
        (failed("out_of_memory", "x"), False),
        (timed_out(), False),
    ],
)
def test_only_what_the_engine_stops_counts_as_stopped(
    monkeypatch: pytest.MonkeyPatch,
    stop: Exception,
    is_believed: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    monkeypatch.setattr(file_canary, "EXECUTORS", stopping(stop))
    slips = slips_of_file_engine("sqlite")

    assert (slips == ()) is is_believed
    assert all("is not known" in slip for slip in slips)


@pytest.mark.requirement("doctor:selftest:engine")
def test_why_a_canary_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho more >&2; echo IO Error: no room >&2; exit 1\n", "ascii")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    (slip,) = slips_of_file_engine("duckdb")

    assert "cannot be made in" in slip
    assert "(IO Error: no room)" in slip
