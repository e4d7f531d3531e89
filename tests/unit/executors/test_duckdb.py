"""Is each DuckDB statement in a process of its own that ends with its call, and holds no more than it may?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb
import duckdb_cast
import pytest
from executor_cast import EU, Shop, tool

from sandbox.confined import frames
from sandbox.confined.frames import Task
from sandbox.executors.duckdb import DuckdbExecutor
from sandbox.executors.duckdb_host import Host
from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation
from sandbox.toolspec import ToolLimits

if TYPE_CHECKING:
    import socket

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
BUSY = "SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return duckdb_cast.make_database(tmp_path / "shop.duckdb")


@pytest.fixture
def shop(path: Path) -> Iterator[Shop]:
    limits = ToolLimits(seconds=30.0)
    shop = Shop(Path(), (tool(tables=EU, limits=limits),), connection=duckdb_cast.connection_to(path))
    yield shop
    shop.executors.close()


def host_of(shop: Shop) -> Host:
    executor = shop.executors._executors["shop"]  # pyright: ignore[reportPrivateUsage] - its processes are looked at
    assert isinstance(executor, DuckdbExecutor)
    return executor._host  # pyright: ignore[reportPrivateUsage]


def helper_of(host: Host) -> int:
    assert host._helper is not None
    return host._helper.process.pid


def alive(helper: int) -> set[int]:
    """Return the helper and its children that are alive."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == helper and fields[0] != "Z":
                found.add(int(entry.name))
    return found


def are_gone(processes: set[int], helper: int) -> bool:
    deadline = time.monotonic() + 5
    while processes & alive(helper) and time.monotonic() < deadline:
        pass
    return not processes & alive(helper)


@contextmanager
def running(shop: Shop, sql: str = BUSY) -> Iterator[tuple[int, Callable[[], list[Reason]]]]:
    """Run an endless statement aside; hands out its process, and what cancels it and returns what it was told."""
    shop.query("SELECT 1")
    cancellation, told = Cancellation(), []

    def run() -> None:
        told.append(shop.refusal({"sql": sql}, cancellation=cancellation).reason)

    def cancelled() -> list[Reason]:
        cancellation.cancel()
        thread.join(10)
        return told

    thread = threading.Thread(target=run)
    thread.start()
    helper = helper_of(host_of(shop))
    while not (busy := [each for each in alive(helper) - {helper} if cpu_of(each) > 0.2]):
        pass
    try:
        yield busy[0], cancelled
    finally:
        cancelled()


@pytest.mark.requirement("executors:duckdb:process")
@pytest.mark.parametrize("sql", [ENDLESS, BUSY])
def test_a_cancelled_statement_is_dead_within_a_quarter_of_a_second(shop: Shop, sql: str) -> None:
    with running(shop, sql) as (busy, cancelled):
        begun = time.monotonic()
        told = cancelled()

        assert time.monotonic() - begun < 0.25
    assert told == [Reason.CALL_CANCELLED]
    assert busy not in alive(helper_of(host_of(shop)))


def cpu_of(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.requirement("executors:duckdb:process")
def test_no_statement_meets_another_ones_process(shop: Shop) -> None:
    shop.query("SELECT 1")
    helper = helper_of(host_of(shop))
    before = alive(helper)
    shop.query("SELECT 2")
    after = alive(helper)

    assert len(before - after) == 1


@pytest.mark.requirement("executors:duckdb:process")
def test_the_helper_is_started_again_when_it_is_gone(shop: Shop) -> None:
    assert shop.query("SELECT 1") == [(1,)]
    host = host_of(shop)
    assert host._helper is not None
    helper = host._helper.process.pid
    family = alive(helper)
    os.killpg(helper, signal.SIGKILL)
    host._helper.process.wait()
    assert are_gone(family, helper)  # a process that waits for a statement may end a moment after the helper

    assert shop.query("SELECT 2") == [(2,)]


@pytest.mark.requirement("executors:duckdb:process")
def test_with_the_service_every_process_goes(shop: Shop) -> None:
    shop.query("SELECT 1")
    helper = host_of(shop)._helper
    assert helper is not None
    family = alive(helper.process.pid)
    assert len(family) > 1
    helper.control.close()  # as the system does when the service dies

    assert are_gone(family, helper.process.pid)


@pytest.mark.requirement("executors:duckdb:process")
def test_with_the_service_s_own_end_a_running_statement_goes_too(shop: Shop) -> None:
    with running(shop) as (busy, _):
        helper = host_of(shop)._helper
        assert helper is not None
        helper.end()  # as Python does when the service ends

        assert are_gone({busy}, helper.process.pid)


@pytest.mark.requirement("executors:duckdb:process")
def test_closing_ends_what_is_idle_and_waits_for_the_call_under_way(shop: Shop) -> None:
    with running(shop) as (busy, cancelled):
        helper = helper_of(host_of(shop))
        shop.executors.close()

        assert busy in alive(helper)
        assert cancelled() == [Reason.CALL_CANCELLED]
    assert are_gone({helper, busy}, helper)
    shop.query("SELECT 1")
    helper = helper_of(host_of(shop))
    family = alive(helper)
    shop.executors.close()
    assert are_gone(family, helper)


@pytest.mark.requirement("executors:duckdb:process")
def test_a_late_cancellation_meets_no_other_process(shop: Shop) -> None:
    process = host_of(shop).process(Task("nowhere"), time.monotonic() + 30, Cancellation())
    number, kill = process._handle, process._kill
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as other:
        handle = os.pidfd_open(other.pid)
        process.close()
        os.dup2(handle, number)  # the system gives the number anew
        kill()  # as a cancellation does that was under way
        os.close(number)
        os.close(handle)
        other.communicate(timeout=10)

    assert other.returncode == 0


class Dripping:
    """A confined process that sends a byte a second."""

    now = 0.0

    def settimeout(self, _: float) -> None:
        return

    def recv(self, _: int) -> bytes:
        self.now += 1.0
        assert self.now < 10, "nobody looks at the time"
        return b"\1"


@pytest.mark.requirement("executors:duckdb:process")
def test_a_process_that_drips_wins_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    dripping = Dripping()
    monkeypatch.setattr(time, "monotonic", lambda: dripping.now)
    with pytest.raises(TimeoutError):
        frames.receive_reply(cast("socket.socket", dripping), until=3.0)

    assert dripping.now == 3.0


@pytest.mark.requirement("executors:duckdb:errors")
def test_a_helper_that_cannot_run_is_told_as_such(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sandbox.telemetry.events._often", {})
    monkeypatch.setattr("sandbox.executors.duckdb_host._PROGRAM", "sandbox.confined.nothing")
    host_of(shop).close()
    refused = shop.refusal({"sql": "SELECT 1"})

    assert (refused.reason, refused.retry_after_s) == (Reason.EXECUTOR_UNAVAILABLE, 1.0)
    assert "no process can be made" in refused.message
    told = capsys.readouterr().err
    assert "process not made" in told
    assert "the helper ended with status 1" in told


@pytest.mark.requirement("executors:duckdb:errors")
def test_a_rehearsal_without_time_is_unavailable(shop: Shop) -> None:
    ready = shop.executors.ready[shop.specs[0].name]
    executor = shop.executors._executors["shop"]
    with pytest.raises(Refused) as caught:
        executor.rehearse(ready.confinement, shop.leases.lend("shop", ""), seconds=0.0)

    assert caught.value.reason is Reason.EXECUTOR_UNAVAILABLE


@pytest.mark.requirement("executors:duckdb:errors")
def test_what_was_read_later_is_believed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = DuckdbExecutor(duckdb_cast.connection_to(path))
    read = executor._found

    def overtaken(until: float, cancellation: Cancellation) -> frames.Tables:
        """Read the file, and be overtaken by whoever reads it after it has changed."""
        monkeypatch.setattr(executor, "_found", read)
        before = read(until, cancellation)
        duckdb_cast.change(duckdb_cast.connection_to(path), "DROP VIEW big_orders")
        executor.read_catalogue()
        return before

    monkeypatch.setattr(executor, "_found", overtaken)
    until = time.monotonic() + 30
    before = executor._tables(until, Cancellation())
    after = executor._tables(until, Cancellation())
    executor.close()

    assert len(before.tables) == len(after.tables) + 1


@pytest.mark.requirement("executors:duckdb:process")
def test_nobody_is_kept_from_writing_once_the_call_is_over(shop: Shop, path: Path) -> None:
    assert shop.query("SELECT count(*) FROM customers") == [(3,)]
    with duckdb.connect(str(path)) as owner:
        owner.execute("INSERT INTO customers (id) VALUES (4)")
        refused = shop.refusal({"sql": "SELECT count(*) FROM customers"})

    assert (refused.reason, refused.retry_after_s) == (Reason.EXECUTOR_UNAVAILABLE, 1.0)
    assert shop.query("SELECT count(*) FROM customers") == [(4,)]


@pytest.mark.requirement("executors:duckdb:memory")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT length(repeat('x', 4000000000))",
        "SELECT length(repeat(repeat('x', 100000), 100000))",
        "SELECT len(range(1000000000))",
        "SELECT list(i) FROM range(1000000000) t(i)",
        "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000000)",
        "SELECT count(*) FROM (SELECT DISTINCT repeat('x', 100) || i FROM range(100000000) t(i))",
        "SELECT lpad('x', 2000000000, 'y')",
    ],
)
def test_what_needs_too_much_memory_is_stopped_and_the_service_lives(shop: Shop, sql: str) -> None:
    refused = shop.refusal({"sql": sql})

    assert refused.reason in (Reason.SQL_FAILED, Reason.RESULT_TOO_LARGE)
    assert refused.metadata.get("error", "too_large") in ("out_of_memory", "value", "too_large", "overflow")
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("sql:duckdb:permitted")
def test_a_list_may_stand_behind_in(shop: Shop) -> None:
    assert shop.query("SELECT 1 IN [1, 2], 'a' IN ['b'], 1 IN []") == [(1, 0, 0)]


@pytest.mark.requirement("executors:duckdb:errors")
@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("SELECT CAST(name AS INTEGER) FROM customers", "type"),
        ("SELECT 9223372036854775807 + id FROM orders", "overflow"),
        ("SELECT region, id FROM orders GROUP BY region", "grouping"),
        ("SELECT id FROM orders o JOIN customers c ON o.customer = c.id", "ambiguous_column"),
        ("SELECT id FROM orders UNION SELECT id, region FROM orders", "column_count"),
        ("SELECT id FROM orders WHERE sum(id) > 1", "misplaced_function"),
        ("SELECT lower(id, region) FROM orders", "undefined_function"),
        ("SELECT (SELECT id FROM customers)", "cardinality"),
        ("SELECT strptime(region, '%Y') FROM orders", "value"),
        ("SELECT id FROM orders WHERE id = DATE '2026-01-01'", "type"),
    ],
)
def test_an_error_is_a_word_and_quotes_no_row(shop: Shop, sql: str, word: str) -> None:
    refused = shop.refusal({"sql": sql}, region="EU")

    assert refused.metadata.get("error") == word, refused.message
    assert "EU" not in refused.message
    assert "Ada" not in refused.message


@pytest.mark.requirement("executors:duckdb:confined")
def test_the_helper_is_one_thread_and_holds_nothing_of_the_service(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "x")
    shop.query("SELECT 1")
    process = Path(f"/proc/{helper_of(host_of(shop))}")
    opened = sorted(str(each.readlink()).partition(":")[0] for each in (process / "fd").iterdir())

    assert len(list((process / "task").iterdir())) == 1
    assert set(opened) <= {"/dev/null", "socket"}
    assert b"SECRET_OF_THE_SERVICE" not in (process / "environ").read_bytes()
    assert (process / "cwd").readlink() == Path("/")
    limits = (process / "limits").read_text()
    assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max file size")] == ["0"]


@pytest.mark.requirement("executors:duckdb:confined")
def test_duckdb_is_never_loaded_into_the_service() -> None:
    look = "import sys, sandbox.app; print(sorted(name for name in sys.modules if 'duckdb' in name.split('.')[0]))"
    command = [sys.executable, "-c", look]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - this very Python

    assert done.stdout.strip() == "[]"


@pytest.mark.requirement("executors:duckdb:errors")
def test_a_file_that_is_none_is_unavailable(tmp_path: Path) -> None:
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(b"x" * 10_000)
    for path in (broken, tmp_path / "missing.duckdb"):
        executor = DuckdbExecutor(duckdb_cast.connection_to(path))
        with pytest.raises(Refused) as caught:
            executor.read_catalogue()
        executor.close()

        assert caught.value.reason is Reason.EXECUTOR_UNAVAILABLE
        assert not (tmp_path / "missing.duckdb").exists()
