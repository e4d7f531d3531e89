"""Is everybody told once that a call is to stop, and nobody who has taken their wish back?"""

from __future__ import annotations

import threading

import pytest

from sandbox.stages import Cancellation

requirement = pytest.mark.requirement


@requirement("stages:cancellation:once")
def test_each_callback_is_called_once_however_often_a_call_is_cancelled() -> None:
    cancellation, called = Cancellation(), list[str]()
    cancellation.on_cancel(lambda: called.append("a"))
    cancellation.on_cancel(lambda: called.append("b"))

    cancellation.cancel()
    cancellation.cancel()
    cancellation.on_cancel(lambda: called.append("late"))

    assert sorted(called) == ["a", "b", "late"]


@requirement("stages:cancellation:once")
def test_a_callback_that_was_taken_back_is_not_called() -> None:
    cancellation, called = Cancellation(), list[str]()

    def stop() -> None:
        called.append("stopped")

    cancellation.on_cancel(stop)
    cancellation.forget(stop)
    cancellation.forget(stop)
    cancellation.cancel()

    assert called == []


@requirement("stages:cancellation:once")
def test_no_callback_is_lost_between_two_threads() -> None:
    for _ in range(300):
        cancellation, called = Cancellation(), list[int]()
        start = threading.Barrier(2)

        def register(
            to: Cancellation = cancellation, called: list[int] = called, start: threading.Barrier = start
        ) -> None:
            start.wait()
            to.on_cancel(lambda: called.append(1))

        other = threading.Thread(target=register)
        other.start()
        start.wait()
        cancellation.cancel()
        other.join()

        assert called == [1]
