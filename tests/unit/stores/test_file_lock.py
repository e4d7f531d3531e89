"""Is a lock taken in time, by whoever still wants it, and with one thread however long it is held?"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.stores.file_lock import FileLock
from sandbox.stores.log import StoreUnavailable

pytestmark = pytest.mark.requirement("log:lock:bounded")


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def theirs(tmp_path: Path, ours: int) -> Iterator[int]:
    """Another open file of the same path, which locks like another process."""
    assert ours
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def waiters() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "log lock"]


def test_a_lock_that_is_kept_too_long_costs_one_thread_however_often_it_is_tried(ours: int, theirs: int) -> None:
    lock = FileLock(ours)
    fcntl.flock(theirs, fcntl.LOCK_EX)
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            lock.take(0.01)
    (waiter,) = waiters()
    fcntl.flock(theirs, fcntl.LOCK_UN)
    waiter.join(10)

    assert is_free(theirs), "nobody wanted it any more"
    lock.take(1)
    assert not is_free(theirs)
    lock.give_back()
    assert is_free(theirs)


def test_whoever_still_waits_gets_it(ours: int, theirs: int) -> None:
    lock = FileLock(ours)
    fcntl.flock(theirs, fcntl.LOCK_EX)
    with pytest.raises(StoreUnavailable):
        lock.take(0.01)
    (waiter,) = waiters()
    taking = threading.Thread(target=lock.take, args=(10,))
    taking.start()
    while not lock._is_wanted:  # it holds the state's lock until it waits
        taking.join(0.001)
    fcntl.flock(theirs, fcntl.LOCK_UN)
    taking.join(10)
    waiter.join(10)

    assert not taking.is_alive()
    assert not is_free(theirs)
    lock.give_back()
