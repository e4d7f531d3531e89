"""How many requests may one principal have in hand? Each gets a thread, where it waits for a message that may not come.

A request whose answer nobody takes counts until it is taken: its thread is free, but the answer lies in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar, final

import grpc

P = ParamSpec("P")
T = TypeVar("T")


@final
class _Place:
    """One request of a principal."""

    __slots__ = ("_leave", "_subject", "is_kept")

    def __init__(self, leave: Callable[[str], None], subject: str) -> None:
        self._leave = leave
        self._subject = subject
        self.is_kept = False
        """Whether it is given back by the transport, and not when its thread is free."""

    def end(self, _: object) -> None:
        if not self.is_kept:
            self._leave(self._subject)

    def leave(self) -> None:
        self._leave(self._subject)


@final
class CallThreads(ThreadPoolExecutor):
    """The threads of single calls. grpc asks the interceptor and then submits, request by request on one thread."""

    def __init__(self, threads: int, each: int) -> None:
        """Run `threads` requests at once, of one principal no more than `each`."""
        super().__init__(threads, thread_name_prefix="call")
        self._each = each
        self._counting = threading.Lock()
        self._held: dict[str, int] = {}
        self._next = threading.local()
        self._running = threading.local()

    def expect_nobody(self) -> None:
        """Forget whose request would have been next: it went another way."""
        self._next.subject = None

    def expect(self, subject: str) -> bool:
        """Note whose request this thread submits next; False if they hold all that one may."""
        self._next.subject = subject
        return self._held.get(subject, 0) < self._each

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a request on a thread, counted for the principal that was noted."""
        subject: str | None = getattr(self._next, "subject", None)
        if subject is None:
            return super().submit(fn, *args, **kwargs)
        self._next.subject = None
        with self._counting:
            self._held[subject] = self._held.get(subject, 0) + 1
        place = _Place(self._leave, subject)
        future: Future[T] = super().submit(self._run, place, fn, *args, **kwargs)  # type: ignore[arg-type]  # T is fn's own
        future.add_done_callback(place.end)
        return future

    def keep(self, context: grpc.ServicerContext) -> None:
        """Count the request that this thread runs until its answer has been sent or its caller is gone."""
        place: _Place | None = getattr(self._running, "place", None)
        if place is not None:
            # INVARIANT: set before grpc may call back, which it does once, on a thread of its own.
            place.is_kept = True
            place.is_kept = context.add_callback(place.leave)

    def _run(self, place: _Place, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._running.place = place
        return fn(*args, **kwargs)

    def _leave(self, subject: str) -> None:
        with self._counting:
            held = self._held[subject] - 1
            if held:
                self._held[subject] = held
            else:
                del self._held[subject]
