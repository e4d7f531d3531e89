"""How does a call that has ended come into the log, while its thread goes on?"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from log_house import House, authorize, call_of, release

from sandbox.audit.verify import verify_receipt
from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts import committed, randomness
from sandbox.receipts.committed import Committed
from sandbox.receipts.drafts import LARGE_BYTES, CallDraft
from sandbox.receipts.randomness import DRAWN_BYTES, Draw, Randomness
from sandbox.receipts.receipts import Receipt
from sandbox.receipts.records import Entry
from sandbox.receipts.sealing import Sealed, Sealing
from sandbox.stages import AuthenticatedCall, StillRunning

requirement = pytest.mark.requirement


def hand_over(house: House, call: AuthenticatedCall) -> Sealing | Sealed:
    with house.receipts.open(call) as receipt:
        receipt.settle(release(authorize(call)))
    return receipt.sealing


@requirement("log:call:handed-over")
def test_an_ended_call_runs_until_its_record_is_in_the_log(house: House) -> None:
    house.answer(call_of())
    told = threading.Event()
    with house.log.store.writing():  # nobody else writes now
        sealing = hand_over(house, call_of(request_id="r1"))
        sealing.on_sealed(told.set)
        asked_again = house.answer(call_of(request_id="r1"))
        assert not told.is_set()
    sealed = sealing.wait()

    assert isinstance(asked_again.answer, StillRunning)
    assert told.is_set()
    assert sealing.wait() == sealed
    assert house.answer(call_of(request_id="r1")) == sealed
    assert verify_receipt(sealed.receipt, house.vkey).record.call_id == sealed.call_id


@requirement("log:call:handed-over")
def test_whoever_asks_late_to_be_told_is_told_at_once(house: House) -> None:
    told: list[str] = []
    sealing = hand_over(house, call_of(request_id="r1"))
    sealing.wait()
    sealing.on_sealed(lambda: told.append("sealed"))
    with house.receipts.open(call_of(request_id="r1")) as receipt:
        receipt.sealing.on_sealed(lambda: told.append("answered before"))

    assert told == ["sealed", "answered before"]


@requirement("log:call:handed-over")
def test_a_call_that_has_not_ended_has_nothing_to_wait_for(house: House) -> None:
    call = call_of()
    with house.receipts.open(call) as receipt:
        with pytest.raises(Fault, match="internal fault"):
            _ = receipt.sealing
        receipt.settle(release(authorize(call)))
    assert receipt.sealing.wait().receipt


@requirement("log:call:handed-over")
def test_what_is_told_of_a_record_never_ends_the_thread_that_writes_the_log(house: House) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    house.answer(call_of())
    with house.log.store.writing():
        sealing = hand_over(house, call_of())
        sealing.on_sealed(broken)
        held = threading.Event()
        sealing.on_sealed(lambda: held.set() if sealing.wait().receipt else None)  # it does not wait any more
    assert held.wait(10)
    assert sealing.wait().receipt
    assert house.answer(call_of()).receipt


class Panic(BaseException):
    """What a library written in another language raises."""


class Unmakeable:
    """A draft whose contents cannot be encoded."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def entry(self, _draw: Draw) -> Entry:
        raise self._error


def not_unicode() -> UnicodeEncodeError:
    return UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")


@requirement("log:call:alone")
@pytest.mark.parametrize("make_error", [not_unicode, Panic])
def test_a_record_that_cannot_be_made_fails_alone(house: House, make_error: Callable[[], BaseException]) -> None:
    error = make_error()
    size = house.log.store.head().size
    broken = Committed(Unmakeable(error))
    batch = [Committed(Entry(record=b"a", call_id=b"")), broken, Committed(Entry(record=b"b", call_id=b""))]
    house.log._committer._commit(batch)
    house.log._committer._commit([Committed(Unmakeable(error))])

    assert [committed.index for committed in batch] == [size, -1, size + 1]
    with pytest.raises(Fault) as caught:
        broken.wait()
    assert caught.value.__cause__ is error
    house.log.must_be_writable()
    assert house.answer(call_of()).receipt


@requirement("log:call:alone")
@requirement("log:commit:outlives")
def test_a_receipt_that_cannot_be_written_refuses_its_batch(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(committed, "proof_text", broken)
        with pytest.raises(Refused):
            house.answer(call_of())
    house.log._committer.failure = None
    assert house.answer(call_of()).receipt


@requirement("log:call:alone")
def test_a_large_record_is_made_by_the_thread_of_its_call(house: House) -> None:
    house.answer(call_of())
    made_by: list[str] = []
    real = CallDraft.entry

    def entry(self: CallDraft, draw: Draw) -> Entry:
        made_by.append(threading.current_thread().name)
        return real(self, draw)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CallDraft, "entry", entry)
        house.answer(call_of(), b'[["' + b"x" * LARGE_BYTES + b'"]]')
        house.answer(call_of())
    assert made_by == [threading.current_thread().name, "committer"]


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def refused_for_a_cause() -> Refused:
    try:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError as error:
            raise Refused(Reason.SQL_FAILED, "no") from error
    except Refused as refused:
        return refused


@requirement("log:call:freed")
def test_what_a_call_has_built_is_freed_without_the_collector(house: House) -> None:
    house.answer(call_of())
    kinds = {Receipt, Sealing, Committed, CallDraft, Refused}
    others = [each for each in gc.get_objects() if type(each) in kinds]  # what other tests keep
    with no_collector():
        for number in range(20):
            house.answer(call_of(request_id=f"r{number}"))
            house.refuse(call_of())
            house.refuse(call_of(), refused_for_a_cause())
        built = [type(each).__name__ for each in gc.get_objects() if type(each) in kinds]
    assert len(built) - len(others) <= 3, built


@requirement("log:payload:random")
def test_no_random_byte_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(range(1_000_000))

    def numbered(count: int) -> bytes:
        return b"".join(next(drawn).to_bytes(4, "big") for _ in range(count // 4))

    monkeypatch.setattr(randomness.os, "urandom", numbered)
    source = Randomness()
    given = [source.draw(count) for count in (32, 44, 12, 2 * DRAWN_BYTES, 4, *[44] * 200)]

    numbers = [each[i : i + 4] for each in given for i in range(0, len(each), 4)]
    assert len(numbers) == len(set(numbers))
    assert {len(each) for each in given} == {4, 12, 32, 44, 2 * DRAWN_BYTES}


@requirement("log:payload:random")
def test_each_thread_draws_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    draws: list[int] = []

    def counted(count: int) -> bytes:
        draws.append(count)
        return bytes(count)

    monkeypatch.setattr(randomness.os, "urandom", counted)
    for _ in range(2):
        thread = threading.Thread(target=lambda: [randomness.draw(4) for _ in range(3)])
        thread.start()
        thread.join()

    assert draws == [DRAWN_BYTES, DRAWN_BYTES]


@requirement("log:payload:random")
def test_a_process_that_forks_off_draws_its_own() -> None:
    drawn: list[tuple[bytes, bytes]] = []

    def fork() -> None:
        randomness.draw(16)
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, randomness.draw(32))
            os._exit(0)
        os.waitpid(child, 0)
        drawn.append((os.read(reading, 32), randomness.draw(32)))
        os.close(reading)
        os.close(writing)

    fork()
    another = threading.Thread(target=fork)
    another.start()
    another.join()

    assert [len(theirs) for theirs, _ in drawn] == [32, 32]
    assert all(theirs != ours for theirs, ours in drawn)
