"""Whose share does a request count against? Nobody's but the one who was noted for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from sandbox.doors.rpc.threads import CallThreads
from sandbox.doors.rpc.threshold import Threshold
from sandbox.reasons import Reason, Refused

pytestmark = pytest.mark.requirement("doors:auth:before-a-thread")


@pytest.fixture
def threads() -> Iterator[CallThreads]:
    made = CallThreads(2, each=1)
    yield made
    made.shutdown()


class Guests:
    """Knows alice and nobody else."""

    def greet(self, token: str) -> str:
        if token != "alice":
            raise Refused(Reason.CREDENTIAL_INVALID, "a stranger")
        return token


def arrive(threads: CallThreads, token: str) -> object:
    details = SimpleNamespace(method="/m", invocation_metadata=(("authorization", f"Bearer {token}"),))
    return Threshold(Guests(), threads).intercept_service(lambda _: None, details)  # type: ignore[arg-type]


def test_a_stranger_is_not_counted_against_whoever_came_before(threads: CallThreads) -> None:
    going_on = threading.Event()
    assert arrive(threads, "alice") is None  # a stream's: it goes to other threads, and is never submitted here
    arrive(threads, "mallory")
    threads.submit(going_on.wait, 10)

    assert threads.expect("alice"), "the stranger's answer took alice's only place"
    going_on.set()


def test_a_request_counts_until_its_thread_is_free(threads: CallThreads) -> None:
    going_on = threading.Event()
    arrive(threads, "alice")
    running = threads.submit(going_on.wait, 10)
    assert not threads.expect("alice")
    threads.expect_nobody()
    going_on.set()
    assert running.result(10)

    threads.shutdown(wait=True)
    assert threads.expect("alice")
