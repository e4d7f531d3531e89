"""Is a process alive as long as it lives, and gone when it is gone, whoever looks?"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sandbox.stores.boots import Boots

requirement = pytest.mark.requirement


@requirement("log:orphan:living")
def test_who_holds_is_alive_to_all_until_they_end(tmp_path: Path) -> None:
    one, other = Boots(tmp_path / "boots"), Boots(tmp_path / "boots")
    assert one.is_gone(b"1")

    one.hold(b"1")
    one.hold(b"1")
    other.hold(b"2")
    assert not any(boots.is_gone(boot) for boots in (one, other) for boot in (b"1", b"2"))

    one.close()
    assert other.is_gone(b"1")
    assert not one.is_gone(b"2")
    assert [path.name for path in (tmp_path / "boots").iterdir()] == [b"2".hex()]


@requirement("log:orphan:living")
def test_a_file_that_nobody_locks_is_of_one_that_is_gone_and_is_swept(tmp_path: Path) -> None:
    boots = Boots(tmp_path / "boots")
    boots.sweep()  # nobody has been there
    boots.hold(b"1")
    (tmp_path / "boots" / b"2".hex()).touch()
    assert boots.is_gone(b"2")

    Boots(tmp_path / "boots").sweep()
    assert [path.name for path in (tmp_path / "boots").iterdir()] == [b"1".hex()]


@requirement("log:orphan:living")
def test_who_looks_is_not_taken_for_the_owner(tmp_path: Path) -> None:
    import fcntl

    boots = Boots(tmp_path)
    path = tmp_path / b"1".hex()
    path.touch()
    with path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert boots.is_gone(b"1")
        boots.sweep()
    assert path.exists()  # the next sweep takes it


@requirement("log:orphan:living")
def test_a_file_swept_away_before_it_was_locked_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / b"1".hex()
    swept: list[int] = []
    real = os.open

    def sweeping(*where: object) -> int:
        descriptor = real(*where)  # type: ignore[arg-type]
        if not swept:
            swept.append(1)
            path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", sweeping)
    boots = Boots(tmp_path)
    boots.hold(b"1")
    assert path.exists()
    assert not Boots(tmp_path).is_gone(b"1")


@requirement("log:orphan:living")
def test_many_threads_hold_one_file(tmp_path: Path) -> None:
    boots = Boots(tmp_path)
    threads = [threading.Thread(target=boots.hold, args=(b"1",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    boots.close()
    assert boots.is_gone(b"1")
