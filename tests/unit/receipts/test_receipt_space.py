"""Is a disk that fills up told of in time, and does nothing run whose record might find no room?"""

from __future__ import annotations

import queue
from pathlib import Path

import pytest
from log_house import House, call_of, full_disk, unavailable

from sandbox.receipts import space
from sandbox.receipts.space import MIB, Space
from sandbox.settings import LogSettings

requirement = pytest.mark.requirement


class Disk:
    """A disk with so much left, and what operators are told of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free_mib = 5_000
        self.told: list[tuple[str, int]] = []
        self.space = Space(Path("/nowhere"), LogSettings(), lambda _: self.free_mib * MIB)
        for name in ("warn", "note"):
            monkeypatch.setattr(space, name, lambda event, **facts: self.told.append((event, facts["free_mib"])))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@requirement("log:space:alarm")
def test_operators_are_told_once_a_minute_while_there_is_little_and_once_when_there_is_enough(disk: Disk) -> None:
    for second, free_mib in enumerate([5_000, *[900] * 61, 1_024, 1_023]):
        disk.free_mib = free_mib
        disk.space.look(float(second))

    low = "log space low"
    assert disk.told == [(low, 900), (low, 900), ("log space enough", 1_024), (low, 1_023)]
    assert not disk.space.is_short


@requirement("log:space:alarm")
def test_the_disk_is_asked_once_a_second(disk: Disk) -> None:
    disk.space.look(0.0)
    disk.free_mib = 10
    disk.space.look(0.9)
    assert not disk.space.is_short
    disk.space.look(1.0)
    assert disk.space.is_short


@requirement("log:space:refused-before")
def test_calls_are_refused_before_they_run_and_taken_again_once_there_is_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [63 * MIB]
    monkeypatch.setattr(house.log._space, "_measure", lambda _: left[0])
    house.log._space.look(float("inf"))
    unavailable(lambda: house.receipts.open(call_of()))

    left[0] = 64 * MIB
    house.log._space.look(float("inf"))
    assert house.answer(call_of()).receipt


@requirement("log:space:refused-before")
def test_a_full_disk_that_also_failed_a_batch_stops_nobody_once_there_is_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.receipts.committer.IDLE_S", 0.01)
    monkeypatch.setattr("sandbox.receipts.space.LOOK_EVERY_S", 0.0)
    measured: queue.SimpleQueue[int] = queue.SimpleQueue()

    def leave(mib: int) -> None:
        """Leave so much, and wait until the log has looked: what is measured twice has been taken once."""

        def measure(_: Path) -> int:
            measured.put(mib)
            return mib * MIB

        monkeypatch.setattr(house.log._space, "_measure", measure)
        for _ in range(2):
            while measured.get(timeout=20) != mib:
                pass

    leave(64)
    with full_disk(house):
        unavailable(lambda: house.answer(call_of(b"x" * 100_000)))
        leave(63)
        unavailable(lambda: house.receipts.open(call_of()))

    leave(64)
    assert house.answer(call_of()).receipt


@requirement("log:space:refused-before")
def test_a_file_system_that_does_not_tell_stops_nobody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: Path) -> int:
        raise OSError

    monkeypatch.setattr(house.log._space, "_measure", silent)
    house.log._space.look(float("inf"))

    assert house.answer(call_of()).receipt
