"""What becomes of calls while the log cannot be written? Full disks, hung writes, a thread that is gone."""

from __future__ import annotations

import threading

import pytest
from log_house import House, authorize, call_of, full_disk, principal_of, release, unavailable

from sandbox.audit.verify import verify_receipt
from sandbox.receipts.receipts import Receipt
from sandbox.stores.log import StoreUnavailable
from sandbox.stores.sqlite_writing import SqliteWriting

requirement = pytest.mark.requirement


@requirement("log:unavailable:refused-before")
def test_a_full_disk_releases_nothing_and_refuses_the_next_before_it_runs(house: House) -> None:
    ran = []

    def call(arguments: bytes) -> None:
        with house.receipts.open(call_of(arguments)) as receipt:
            ran.append(arguments)
            receipt.settle(release(authorize(call_of(arguments))))
        ran.append(receipt.sealing.wait().receipt)

    with full_disk(house):
        refusal = unavailable(lambda: call(b"x" * 100_000))
        assert len(ran) == 1
        for _ in range(3):
            unavailable(lambda: call(b"{}"))
        assert len(ran) == 1

    assert not refusal.is_recorded
    assert refusal.retry_after_s > 0


@requirement("log:unavailable:recovers")
def test_calls_are_taken_again_once_a_probe_has_been_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.receipts.log.PROBE_EVERY_S", 0.0)
    with full_disk(house):
        unavailable(lambda: house.answer(call_of(b"x" * 100_000)))
        unavailable(lambda: house.answer(call_of()))

    assert verify_receipt(house.answer(call_of()).receipt, house.vkey).record.token_sequence == 1


@requirement("log:unavailable:refused-before")
def test_a_log_that_takes_too_long_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.answer(call_of())
    monkeypatch.setattr("sandbox.receipts.committed.MAX_WAIT_S", 0.05)
    going_on = threading.Event()
    real = SqliteWriting.append

    def hanging(*everything: object) -> None:
        assert going_on.wait(20)
        real(*everything)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteWriting, "append", hanging)
    refusal = unavailable(lambda: house.answer(call_of()))
    assert str(refusal.__cause__) == "the log takes too long"
    assert house.log._committer.failure is not None
    going_on.set()


@requirement("log:unavailable:refused-before")
def test_who_learns_late_of_a_batch_that_failed_does_not_stop_a_log_that_has_been_written_since(house: House) -> None:
    call = call_of(b"x" * 100_000)
    with full_disk(house):
        with house.receipts.open(call) as receipt:
            receipt.settle(release(authorize(call)))
        with pytest.raises(StoreUnavailable):
            receipt.sealing._committed.wait()  # type: ignore[union-attr] - it is on its way
    house.log._committer.failure = None
    house.answer(call_of())

    unavailable(receipt.sealing.wait)

    assert house.log._committer.failure is None


@requirement("log:unavailable:refused-before")
def test_a_log_that_nobody_writes_any_more_takes_no_call(house: House) -> None:
    house.log._committer._queue.put(None)  # the thread's sign to end
    house.log._committer._thread.join(10)

    unavailable(lambda: house.receipts.open(call_of()))


@requirement("log:unavailable:refused-before")
def test_no_more_records_wait_than_the_memory_holds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.answer(call_of())
    monkeypatch.setattr("sandbox.receipts.committer.MAX_QUEUED", 3)
    taken: list[Receipt] = []
    with house.log.store.writing():

        def hand_over() -> None:
            with house.receipts.open(call_of()) as receipt:
                receipt.settle(release(authorize(call_of())))
            taken.append(receipt)

        refusal = unavailable(lambda: [hand_over() for _ in range(5)])  # the thread holds one already
    assert str(refusal.__cause__) == "the log is too far behind"
    assert all(receipt.sealing.wait().receipt for receipt in taken)


@requirement("log:unavailable:refused-before")
def test_somebody_new_does_not_run_if_their_key_cannot_be_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: SqliteWriting, _lookup: bytes, _wrapped: bytes) -> None:
        raise StoreUnavailable("FullError")

    ran = []

    def call() -> None:
        with house.receipts.open(call_of(principal=principal_of("new", "new"))):
            ran.append(1)

    monkeypatch.setattr(SqliteWriting, "add_subject", full)
    unavailable(call)
    assert ran == []


@requirement("log:unavailable:refused-before")
def test_a_log_that_breaks_while_a_refusal_is_written_releases_none(house: House) -> None:
    with full_disk(house):
        unavailable(lambda: [house.refuse(call_of(b"x" * 16_000)) for _ in range(20)])
