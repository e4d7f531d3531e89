"""Do calls that need the same at one moment ask once, and does none wait beyond its own bounds?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from sandbox.leases import sources
from sandbox.leases.asking import CallBounds
from sandbox.leases.once import Once
from sandbox.leases.sources import Secrets
from sandbox.leases.vault import VaultRefused
from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation
from sandbox.toolspec import VaultSecret, VaultServer

requirement = pytest.mark.requirement
PATIENCE_S = 20.0
HELD_S = 0.5


class Silent(Exception):
    """Nothing was heard."""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


class Question:
    """What is asked by one call of four: the others wait for it before it ends as it is told to."""

    def __init__(self, *ends: Callable[[], str]) -> None:
        self.asked = 0
        self.begun, self.ending = threading.Event(), threading.Event()
        self.once: Once[str, str] = Once(Silent)
        self._ends = ends
        self._remembered = ""

    def run(self, cancellation: Cancellation | None = None, deadline: float = float("inf")) -> str:
        return self.once.ask("key", self._ask, CallBounds(deadline, cancellation or Cancellation()))

    def by_four(self, pool: ThreadPoolExecutor) -> list[Future[str]]:
        first = pool.submit(self.run)
        assert self.begun.wait(PATIENCE_S)
        waiting = [Cancellation() for _ in range(3)]
        calls = [first, *(pool.submit(self.run, each) for each in waiting)]
        give_up = time.monotonic() + PATIENCE_S
        while not all(each._callbacks for each in waiting):
            assert time.monotonic() < give_up
        self.ending.set()
        return calls

    def _ask(self) -> str:
        if self._remembered:
            return self._remembered
        end, self.asked = self._ends[self.asked], self.asked + 1
        self.begun.set()
        assert self.ending.wait(PATIENCE_S)
        self._remembered = end()
        return self._remembered


def failing(error: Exception) -> Callable[[], str]:
    def end() -> str:
        raise error

    return end


@requirement("leases:once:asked")
def test_one_asks_and_all_hear_the_answer(pool: ThreadPoolExecutor) -> None:
    question = Question(lambda: "heard")

    assert [call.result(PATIENCE_S) for call in question.by_four(pool)] == ["heard"] * 4
    assert question.asked == 1


@requirement("leases:once:asked")
def test_a_failure_is_told_to_all_who_waited_and_the_next_asks_anew(pool: ThreadPoolExecutor) -> None:
    question = Question(failing(Silent("status 500")), lambda: "heard")

    told = [call.exception(PATIENCE_S) for call in question.by_four(pool)]

    assert [(type(each), str(each)) for each in told] == [(Silent, "status 500")] * 4
    assert len({id(each) for each in told}) == 4
    assert question.asked == 1
    assert question.run() == "heard"


@requirement("leases:once:asked")
def test_where_only_the_asker_s_call_is_over_another_asks(pool: ThreadPoolExecutor) -> None:
    question = Question(failing(Refused(Reason.CALL_CANCELLED, "stopped")), lambda: "heard")

    first, *others = question.by_four(pool)

    assert isinstance(first.exception(PATIENCE_S), Refused)
    assert [call.result(PATIENCE_S) for call in others] == ["heard"] * 3
    assert question.asked == 2


@requirement("leases:once:asked")
def test_who_waits_is_held_to_the_bounds_of_the_own_call(pool: ThreadPoolExecutor) -> None:
    question = Question(lambda: "heard")
    first = pool.submit(question.run)
    assert question.begun.wait(PATIENCE_S)
    cancellation = Cancellation()
    stopped = pool.submit(question.run, cancellation)
    late = pool.submit(question.run, None, time.monotonic() + 0.05)
    cancellation.cancel()

    for call, reason in ((stopped, Reason.CALL_CANCELLED), (late, Reason.EXECUTION_TIMED_OUT)):
        error = call.exception(PATIENCE_S)
        assert isinstance(error, Refused)
        assert error.reason is reason
    question.ending.set()
    assert first.result(PATIENCE_S) == "heard"
    assert question.asked == 1


@requirement("leases:once:asked")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_vault_is_asked_once_for_a_secret_that_many_calls_need(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    asked: list[VaultSecret] = []
    never, together = threading.Event(), threading.Barrier(8)

    def read_vault(source: VaultSecret, _: CallBounds) -> tuple[str, float]:
        asked.append(source)
        never.wait(HELD_S)
        if not is_there:
            raise VaultRefused("no entry")
        return "secret", 60.0

    monkeypatch.setattr(sources, "read_vault", read_vault)
    server = VaultServer(
        scheme="https",
        host="vault.example",
        port=8200,
        namespace="",
        approle="approle",
        role_id="role",
        secret_id="secret",
        ca=None,
    )
    source, secrets = VaultSecret(server, "kv/crm", "token"), Secrets()

    def read(number: int) -> str:
        together.wait(PATIENCE_S)
        try:
            return secrets.read(source, f"secret {number}", CallBounds()).reveal()
        except Refused as refused:
            return refused.message

    found = list(pool.map(read, range(8)))

    assert asked == [source]
    assert found == (["secret"] * 8 if is_there else [f"secret {number}: no entry" for number in range(8)])
