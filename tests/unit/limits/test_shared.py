"""Do processes that share their counts let through what one would?"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from limits_cast import Clock, call, refusal_of

from sandbox.limits import Limits, shared
from sandbox.limits.buckets import SWEEP_SECONDS
from sandbox.limits.counts import Counts
from sandbox.limits.patience import Patience
from sandbox.limits.shared import SharedCounts, give_back, make_memory
from sandbox.reasons import Reason, Refused
from sandbox.settings import LimitSettings
from sandbox.toolspec import ToolName

TOOL = ToolName("shop.query")
SECRET = b"s" * 32
Joining = Callable[[int], SharedCounts]


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = make_memory()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def joining(memory: int) -> Iterator[Joining]:
    made: list[SharedCounts] = []

    def join(process: int) -> SharedCounts:
        made.append(SharedCounts(memory, SECRET, 60.0, process, 4))
        return made[-1]

    yield join
    for counts in made:
        counts.close()


def limits_in(counts: Counts, clock: Clock) -> Limits:
    return Limits(LimitSettings(), clock, Patience(pause=lambda _: None), counts)


@pytest.mark.requirement("limits:workers:rate")
def test_what_one_process_spends_is_spent_in_all(joining: Joining) -> None:
    clock = Clock()
    one, other = (limits_in(joining(number), clock) for number in range(2))
    passed = [refusal_of((one, other)[number % 2], call(rate=(5, 60.0))) is None for number in range(12)]
    assert passed == [True] * 5 + [False] * 7
    assert refusal_of(other, call("bob", rate=(5, 60.0))) is None
    refused = refusal_of(one, call(rate=(5, 60.0)))
    assert refused is not None
    assert refused.retry_after_s == pytest.approx(12.0)
    assert not refused.is_recorded
    clock.now += refused.retry_after_s
    assert refusal_of(other, call(rate=(5, 60.0))) is None
    assert refusal_of(one, call(rate=(5, 60.0))) is not None


@pytest.mark.requirement("limits:workers:rate")
def test_the_first_refusal_of_a_window_is_first_in_all(joining: Joining) -> None:
    one, other = joining(0), joining(1)
    assert one.is_first("alice", TOOL, "rule", 10.0)
    assert not other.is_first("alice", TOOL, "rule", 69.0)
    assert other.is_first("alice", TOOL, "another", 69.0)
    assert other.is_first("alice", TOOL, "rule", 70.0)
    assert not one.is_first("alice", TOOL, "rule", 70.0)


@pytest.mark.requirement("limits:workers:concurrency")
def test_places_are_held_over_all_processes_and_one_is_for_others(joining: Joining) -> None:
    one, other = joining(0), joining(1)
    first, second = one.take_place(TOOL, "mallory", 3), other.take_place(TOOL, "mallory", 3)
    assert first is not None
    assert second is not None
    for counts in (one, other):
        assert counts.take_place(TOOL, "mallory", 3) is None
    third = other.take_place(TOOL, "bob", 3)
    assert third is not None
    assert one.take_place(TOOL, "carol", 3) is None
    first.leave()
    with one.take_place(TOOL, "carol", 3) or pytest.fail("the place that was left is free"):
        assert other.take_place(TOOL, "dave", 3) is None


@pytest.mark.requirement("limits:workers:concurrency")
def test_what_a_dead_process_held_is_free_and_nothing_else(memory: int, joining: Joining) -> None:
    one, other = joining(0), joining(1)
    for number in range(100):
        assert one.take_place(ToolName(f"tool.{number}"), "alice", 2) is not None
    kept = other.take_place(ToolName("tool.7"), "bob", 2)
    assert kept is not None
    give_back(memory, 0)
    assert other.take_place(ToolName("tool.7"), "carol", 2) is not None
    assert other.take_place(ToolName("tool.7"), "dave", 2) is None
    for number in range(8, 100):
        assert other.take_place(ToolName(f"tool.{number}"), "alice", 1) is not None


def _take_all(memory: int, number: int, told: int) -> None:
    counts = SharedCounts(memory, SECRET, 60.0, number, 4)
    mine = 0

    def flood() -> None:
        nonlocal mine
        for _ in range(300):
            got = counts.take_call("alice", TOOL, 1e-9, 500.0, 1.0) == 0.0
            with lock:
                mine += got

    lock = threading.Lock()
    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(told, b"%d\n" % mine)


@pytest.mark.requirement("limits:workers:rate")
def test_threads_of_several_processes_get_no_more_than_one_rate(memory: int) -> None:
    read, write = os.pipe()
    # A fork is enough where there is no gRPC.
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_take_all, args=(memory, number, write)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    os.close(write)
    with os.fdopen(read) as told:
        assert sum(int(line) for line in told) == 500


@pytest.mark.requirement("limits:workers:killed")
def test_a_process_killed_in_the_midst_of_a_count_stops_nobody(memory: int, joining: Joining) -> None:
    counts = joining(0)
    for _ in range(5):
        read, write = os.pipe()
        process = multiprocessing.get_context("fork").Process(target=_hold, args=(memory, write))
        process.start()
        assert os.read(read, 1) == b"h"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        for number in range(64):
            assert counts.take_call(f"caller {number}", TOOL, 1.0, 1e6, 1.0) == 0.0
        os.close(read)
        os.close(write)


def _hold(memory: int, told: int) -> None:
    counts = SharedCounts(memory, SECRET, 60.0, 1, 4)
    for region in counts._regions:
        region.__enter__()
    os.write(told, b"h")
    signal.pause()


def unavailable(act: Callable[[], object]) -> float:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason is Reason.WORKER_UNAVAILABLE
    return caught.value.retry_after_s


@pytest.mark.requirement("limits:workers:stopped")
def test_a_process_stopped_in_the_midst_of_a_count_holds_nobody_up_for_long(
    memory: int, joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LOCKED_WITHIN_S", 0.05)
    counts, dead = joining(0), joining(2)
    place = counts.take_place(TOOL, "alice", 3)
    assert dead.take_place(TOOL, "bob", 3) is not None
    assert place is not None
    read, write = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(memory, write))
    process.start()
    assert os.read(read, 1) == b"h"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)

    assert unavailable(lambda: counts.take_call("alice", TOOL, 1.0, 1e6, 1.0)) > 0.0
    unavailable(lambda: counts.take_place(TOOL, "carol", 2))
    place.leave()
    give_back(memory, 2)

    process.kill()
    process.join(60)
    assert counts.take_call("alice", TOOL, 1.0, 1e6, 1.0) == 0.0
    with counts.take_place(TOOL, "carol", 1) or pytest.fail("the places that were left are free"):
        assert counts.take_place(TOOL, "dave", 1) is None
    os.close(read)
    os.close(write)


@pytest.mark.requirement("limits:workers:stopped")
def test_a_thread_that_waits_for_another_of_its_process_waits_no_longer(
    joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LOCKED_WITHIN_S", 0.05)
    region = joining(0)._regions[0]
    with region:
        unavailable(region.__enter__)
    with region:
        unavailable(region.__enter__)


@pytest.mark.requirement("limits:memory:bounded")
def test_shared_memory_is_bounded_and_a_forgotten_bucket_is_a_full_one(
    joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "BUCKETS_EACH", 4)
    counts = joining(0)
    delays = [counts.take_call(f"caller {number}", TOOL, 0.01, 1.0, 0.0) for number in range(2_000)]
    assert delays.count(0.0) == 4 * shared.REGIONS
    assert set(delays) == {0.0, SWEEP_SECONDS}
    known = delays.index(0.0)
    assert counts.take_call(f"caller {known}", TOOL, 0.01, 1.0, 1.0) == pytest.approx(99.0)
    assert counts.take_call("caller 1999", TOOL, 0.01, 1.0, 100.0) == 0.0


@pytest.mark.requirement("limits:memory:bounded")
def test_places_beyond_the_bound_are_none_and_those_left_are_used_again(
    joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "PLACES_EACH", 3)
    counts = joining(0)
    held = [counts.take_place(TOOL, who, 100) for who in ("alice", "bob", "carol")]
    assert [place is not None for place in held] == [True, True, False]
    for place in held[:2]:
        assert place is not None
        place.leave()
    for _ in range(10):
        with counts.take_place(TOOL, "carol", 1) or pytest.fail("no place though all were left"):
            assert counts.take_place(TOOL, "dave", 1) is None


@pytest.mark.requirement("limits:workers:names")
def test_no_name_stands_in_the_shared_memory(memory: int, joining: Joining) -> None:
    counts = joining(0)
    counts.take_call("somebody", ToolName("sometool"), 1.0, 2.0, 0.0)
    counts.take_cold_parse("somebody", 1.0, 2.0, 0.0)
    place = counts.take_place(ToolName("sometool"), "somebody", 2)
    content = os.pread(memory, shared.SIZE, 0)
    assert place is not None
    assert any(content)
    assert b"some" not in content
    other = SharedCounts(memory, b"t" * 32, 60.0, 1, 4)
    assert other._digest("call", "somebody") != counts._digest("call", "somebody")
    other.close()
