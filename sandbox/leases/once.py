"""Who asks when several calls need the same at one moment? One of them; the others wait for what it hears.

Each waits within its own call's bounds. Only what is remembered and used by many is asked for like this.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar, final

from sandbox.leases.asking import CallBounds
from sandbox.stages import Moment

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@final
class _Question(Moment, Generic[_Value]):
    """One question under way; it comes when it is over."""

    __slots__ = ("failure", "value")

    def __init__(self) -> None:
        super().__init__()
        self.value: _Value | None = None
        self.failure: Exception | None = None

    def wait(self, bounds: CallBounds) -> None:
        """Wait until it is over; raises `Refused` if the call that waits is over before."""
        woken = threading.Event()
        self.on_coming(woken.set)
        bounds.cancellation.on_cancel(woken.set)
        left_s = bounds.deadline - time.monotonic()
        woken.wait(None if left_s == float("inf") else max(0.0, left_s))
        bounds.cancellation.forget(woken.set)
        self.forget(woken.set)
        if not self.has_come and (refused := bounds.over()):
            raise refused


@final
class Once(Generic[_Key, _Value]):
    """Asks for each key once at a time."""

    def __init__(self, shared: type[Exception]) -> None:
        """Tell a failure of the kind `shared` to all who wait; any other is the asker's own, and another asks then."""
        self._shared = shared
        self._lock = threading.Lock()
        self._under_way: dict[_Key, _Question[_Value]] = {}

    def ask(self, key: _Key, ask: Callable[[], _Value], bounds: CallBounds) -> _Value:
        """Return what `ask` returns, or what another call's has while this one waited; raises what it raises.

        `ask` looks for itself first whether the answer is remembered by now. Raises `Refused` if the call is over.
        """
        while True:
            own: _Question[_Value] = _Question()
            with self._lock:
                question = self._under_way.setdefault(key, own)
            if question is own:
                return self._asked(key, own, ask)
            question.wait(bounds)
            if question.failure is not None:
                raise self._shared(*question.failure.args)  # one for each, for raising changes it
            if question.value is not None:
                return question.value

    def _asked(self, key: _Key, own: _Question[_Value], ask: Callable[[], _Value]) -> _Value:
        try:
            own.value = ask()
        except self._shared as error:
            own.failure = error
            raise
        else:
            return own.value
        finally:
            with self._lock:
                del self._under_way[key]
            own.come()
