"""Which sessions are kept for the next call, and which are closed?"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sandbox.executors.idle import IdleSessions

kept = pytest.mark.requirement("postgres:session:kept")


@dataclass(eq=False)
class Kept:
    """A session that notes whether it was closed."""

    is_alive: bool = True
    is_closed: bool = False
    used_at: float = 0.0

    def close(self) -> None:
        self.is_closed = True


@kept
def test_the_last_given_back_is_the_first_taken_and_a_dead_one_is_closed() -> None:
    idle: IdleSessions[str, Kept] = IdleSessions(8, 60.0)
    first, second, dead = Kept(), Kept(), Kept(is_alive=False)
    for one in (first, second, dead):
        idle.give_back("ada", one, idle.epoch)

    assert idle.taken("another") is None
    assert [idle.taken("ada"), idle.taken("ada"), idle.taken("ada")] == [second, first, None]
    assert [one.is_closed for one in (first, second, dead)] == [False, False, True]


@kept
def test_where_there_is_no_room_the_oldest_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1, 9))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    idle: IdleSessions[str, Kept] = IdleSessions(2, 60.0)
    sessions = [Kept(), Kept(), Kept()]
    for name, one in zip(("ada", "bob", "cyd"), sessions, strict=True):
        idle.give_back(name, one, idle.epoch)

    assert [one.is_closed for one in sessions] == [True, False, False]


@kept
def test_what_is_too_old_is_closed_by_whoever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    idle: IdleSessions[str, Kept] = IdleSessions(8, 60.0)
    old, older, young = Kept(), Kept(), Kept()
    idle.give_back("ada", older, idle.epoch)
    idle.give_back("bob", old, idle.epoch)
    now = 61.0
    assert idle.taken("ada") is None
    idle.give_back("ada", young, idle.epoch)

    assert (older.is_closed, old.is_closed, young.is_closed) == (True, True, False)


@kept
def test_a_session_of_an_earlier_epoch_or_of_none_is_closed() -> None:
    idle: IdleSessions[str, Kept] = IdleSessions(8, 60.0)
    epoch, waiting, out, broken, late = idle.epoch, Kept(), Kept(), Kept(), Kept()
    idle.give_back("ada", waiting, epoch)
    idle.give_back("ada", broken, None)
    idle.forget()
    idle.give_back("ada", out, epoch)
    idle.forget(for_good=True)
    idle.give_back("ada", late, idle.epoch)

    assert all(one.is_closed for one in (waiting, broken, out, late))
