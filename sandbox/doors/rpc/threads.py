"""How many threads may one principal hold? Each request gets one, and waits there for a message that may not come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar, final

P = ParamSpec("P")
T = TypeVar("T")


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
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(lambda _: self._leave(subject))
        return future

    def _leave(self, subject: str) -> None:
        with self._counting:
            held = self._held[subject] - 1
            if held:
                self._held[subject] = held
            else:
                del self._held[subject]
