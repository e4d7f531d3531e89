"""How does a call that has ended come into the log, while its thread goes on?"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from log_house import House, authorize, call_of, release

from sandbox.audit.verify import verify_receipt
from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts import randomness
from sandbox.receipts.committer import Committed
from sandbox.receipts.randomness import DRAWN_BYTES, Draw
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
    assert sealing.wait().receipt
    assert house.answer(call_of()).receipt


class Unmakeable:
    """A draft whose contents cannot be encoded."""

    def entry(self, _draw: Draw) -> Entry:
        raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")


@requirement("log:call:alone")
def test_a_record_that_cannot_be_made_fails_alone(house: House) -> None:
    size = house.log.store.head().size
    batch = [
        Committed(Entry(record=b"a", call_id=b"")),
        Committed(Unmakeable()),
        Committed(Entry(record=b"b", call_id=b"")),
    ]
    house.log._committer._commit(batch)
    house.log._committer._commit([Committed(Unmakeable())])

    assert [committed.index for committed in batch] == [size, -1, size + 1]
    with pytest.raises(Fault) as caught:
        batch[1].wait()
    assert isinstance(caught.value.__cause__, UnicodeEncodeError)
    house.log.must_be_writable()
    assert house.answer(call_of()).receipt


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@requirement("log:call:freed")
def test_what_a_call_has_built_is_freed_without_the_collector(house: House) -> None:
    house.answer(call_of())
    with no_collector():
        for number in range(20):
            house.answer(call_of(request_id=f"r{number}"))
            house.refuse(call_of(), Refused(Reason.ARGUMENT_INVALID, "no"))
        built = [type(each).__name__ for each in gc.get_objects() if type(each) in {Receipt, Sealing, Committed}]
    assert len(built) <= 2, built


@requirement("log:payload:random")
def test_no_random_byte_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(range(1_000_000))

    def numbered(count: int) -> bytes:
        return b"".join(next(drawn).to_bytes(4, "big") for _ in range(count // 4))

    monkeypatch.setattr(randomness.os, "urandom", numbered)
    given: list[bytes] = []

    def take() -> None:
        given.extend(randomness.draw(count) for count in (32, 44, 12, 2 * DRAWN_BYTES, 4, *[44] * 200))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    numbers = [each[i : i + 4] for each in given for i in range(0, len(each), 4)]
    assert len(numbers) == len(set(numbers))
    assert {len(each) for each in given} == {4, 12, 32, 44, 2 * DRAWN_BYTES}


@requirement("log:payload:random")
def test_a_process_that_forks_off_draws_its_own() -> None:
    randomness.draw(16)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, randomness.draw(32))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 32)
    os.close(reading)
    os.close(writing)

    assert len(theirs) == 32
    assert randomness.draw(32) != theirs
