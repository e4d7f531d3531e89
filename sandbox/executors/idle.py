"""Which sessions wait for the next call? Those given back in time, by what they are for; nobody's for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar, final

MAX_IDLE_S: Final = 60.0
"""How long a session is kept that nobody needs. A little later its server ends it by itself, should no call come."""


class Session(Protocol):
    """What is kept."""

    used_at: float
    """`time.monotonic()` seconds."""

    @property
    def is_alive(self) -> bool:
        """Whether its server has not ended it meanwhile."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept", bound=Session)


@final
class IdleSessions(Generic[Key, Kept]):
    """At most so many sessions, none idle for longer than so many seconds."""

    def __init__(self, most: int, seconds: float) -> None:
        """Begin with none."""
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._idle: dict[Key, list[Kept]] = {}
        self._is_closed = False
        self.epoch = 0
        """Sessions of an earlier epoch are not kept."""

    def taken(self, key: Key) -> Kept | None:
        """Return an idle session that still is one; nothing has been sent on it since it was given back."""
        oldest = time.monotonic() - self._seconds
        while True:
            with self._lock:
                idle = self._idle.get(key)
                if not idle:
                    return None
                session = idle.pop()
                if not idle:
                    del self._idle[key]
            if session.used_at > oldest and session.is_alive:
                return session
            session.close()

    def give_back(self, key: Key, session: Kept, epoch: int | None) -> None:
        """Keep a session of this epoch for the next call; close any other, and one of none."""
        session.used_at = time.monotonic()
        with self._lock:
            old = self._taken_out(lambda one: one.used_at < session.used_at - self._seconds)
            if epoch == self.epoch and not self._is_closed:
                if sum(map(len, self._idle.values())) >= self._most:
                    oldest = min(one.used_at for idle in self._idle.values() for one in idle)
                    old += self._taken_out(lambda one: one.used_at == oldest)
                self._idle.setdefault(key, []).append(session)
            else:
                old.append(session)
        for one in old:
            one.close()

    def forget(self, *, for_good: bool = False) -> None:
        """Close idle sessions; those in use close when they are given back."""
        with self._lock:
            self.epoch += 1
            self._is_closed = self._is_closed or for_good
            old = self._taken_out(lambda _: True)
        for one in old:
            one.close()

    def _taken_out(self, is_old: Callable[[Kept], bool]) -> list[Kept]:
        old = [one for idle in self._idle.values() for one in idle if is_old(one)]
        for key, idle in list(self._idle.items()):
            if kept := [one for one in idle if not is_old(one)]:
                self._idle[key] = kept
            else:
                del self._idle[key]
        return old
