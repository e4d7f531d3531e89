"""What does the same `request_id` get the second time? And how much can refusing write?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from log_house import House, authorize, call_of, open_house, principal_of, release

from sandbox.audit.verify import verify_receipt
from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts import Calls
from sandbox.receipts.counted import RefusalBook
from sandbox.settings import LimitSettings
from sandbox.stages import ResultBody, SealedResult, StillRunning
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement


def size(house: House) -> int:
    return house.log.store.head().size


def refused(act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    return caught.value


@requirement("log:request-id:same")
@pytest.mark.parametrize("ending", ["answer", "refuse", "explain"])
def test_the_same_request_gets_the_same_answer_and_the_very_same_receipt(house: House, ending: str) -> None:
    take = getattr(house, ending)
    first = take(call_of(request_id="r1", validate_only=ending == "explain"))
    house.answer(call_of())
    before = size(house)

    again = take(call_of(request_id="r1", validate_only=ending == "explain"))

    assert size(house) == before
    assert (again.call_id, again.receipt) == (first.call_id, first.receipt)
    if isinstance(first.answer, Refused):
        assert isinstance(again.answer, Refused)
        told = (first.answer.reason, first.answer.message, first.answer.rule, first.answer.metadata)
        assert (again.answer.reason, again.answer.message, again.answer.rule, again.answer.metadata) == told
    else:
        assert again.answer == first.answer


@requirement("log:request-id:same")
def test_the_answer_survives_a_restart_byte_for_byte(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        for _ in range(5):
            first = house.answer(call_of(request_id="r1"))
            house.answer(call_of())
    with open_house(tmp_path) as house:
        assert house.answer(call_of(request_id="r1")) == first


@requirement("log:request-id:same")
def test_an_id_belongs_to_one_principal_and_token(house: House) -> None:
    first = house.answer(call_of(request_id="r1"))

    assert house.answer(call_of(request_id="r1", principal=principal_of("bob"))).call_id != first.call_id
    assert house.answer(call_of(request_id="r1", principal=principal_of(token="other"))).call_id != first.call_id


@requirement("log:request-id:other")
@pytest.mark.parametrize(
    "other",
    [
        call_of(b"{}", request_id="r1"),
        call_of(tool="shop.other", request_id="r1"),
        call_of(validate_only=True, request_id="r1"),
    ],
)
def test_other_bytes_under_a_used_id_are_refused(house: House, other: object) -> None:
    house.answer(call_of(request_id="r1"))
    before = size(house)

    assert refused(lambda: house.answer(other)).reason is Reason.CALL_REPLAYED  # type: ignore[arg-type]
    assert size(house) == before


@requirement("log:request-id:other")
def test_an_over_long_id_is_refused(house: House) -> None:
    assert refused(lambda: house.answer(call_of(request_id="x" * 129))).reason is Reason.REQUEST_INVALID
    assert isinstance(house.answer(call_of(request_id="x" * 128)).answer, ResultBody)


@requirement("log:request-id:running")
def test_a_running_request_is_pending_and_runs_once(house: House) -> None:
    call = call_of(request_id="r1")
    with house.receipts.open(call) as outer:
        inner = house.answer(call_of(request_id="r1"))
        replay = refused(lambda: house.answer(call_of(b"{}", request_id="r1")))
        found = Calls(house.log).find(principal_of(), request_id="r1")
        outer.settle(release(authorize(call)))

    assert isinstance(inner.answer, StillRunning)
    assert (inner.call_id, inner.receipt) == (outer.sealing.wait().call_id, b"")
    assert found == inner
    assert replay.reason is Reason.CALL_REPLAYED
    assert house.answer(call_of(request_id="r1")) == outer.sealing.wait()


@requirement("log:request-id:running")
def test_many_threads_with_one_id_run_it_once(house: House) -> None:
    ran, sealed = [], []

    def take() -> None:
        call = call_of(request_id="r1")
        with house.receipts.open(call) as receipt:
            if not receipt.is_answered:
                ran.append(call)
                receipt.settle(release(authorize(call)))
        sealed.append(receipt.sealing.wait())

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ran) == 1
    assert len(sealed) == 16
    assert {each.call_id for each in sealed} == {house.answer(call_of(request_id="r1")).call_id}


@requirement("log:request-id:not-stored")
@pytest.mark.parametrize("reason", [Reason.RATE_LIMITED, Reason.EXECUTOR_UNAVAILABLE, Reason.CALL_CANCELLED])
def test_a_passing_refusal_is_not_kept_as_the_answer(house: House, reason: Reason) -> None:
    house.refuse(call_of(request_id="r1"), Refused(reason, "later", retry_after_s=1.0))

    assert isinstance(house.answer(call_of(request_id="r1")).answer, ResultBody)


@requirement("log:request-id:not-stored")
def test_a_fault_is_not_kept_as_the_answer(house: House) -> None:
    with pytest.raises(Fault), house.receipts.open(call_of(request_id="r1")):
        raise ZeroDivisionError

    assert isinstance(house.answer(call_of(request_id="r1")).answer, ResultBody)


@requirement("log:request-id:denied-later")
@pytest.mark.parametrize("ending", ["answer", "explain"])
def test_who_may_no_longer_have_a_result_gets_the_denial(house: House, ending: str) -> None:
    getattr(house, ending)(call_of(request_id="r1"))
    before = size(house)

    denied = house.refuse(call_of(request_id="r1"), Refused(Reason.POLICY_DENIED, "no policy permits this"))

    assert isinstance(denied.answer, Refused)
    assert denied.answer.reason is Reason.POLICY_DENIED
    assert verify_receipt(denied.receipt, house.vkey).record.reason == "POLICY_DENIED"
    assert size(house) == before + 1


@requirement("log:request-id:denied-later")
def test_an_earlier_refusal_stands_whatever_refuses_now(house: House) -> None:
    first = house.refuse(call_of(request_id="r1"))

    again = house.refuse(call_of(request_id="r1"), Refused(Reason.POLICY_DENIED, "no policy permits this"))
    assert (again.call_id, again.receipt) == (first.call_id, first.receipt)


@requirement("log:request-id:same")
def test_an_id_is_forgotten_after_its_hours(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    first = house.answer(call_of(request_id="r1"))
    later = time.time_ns() + 25 * 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)

    with pytest.raises(Refused) as forgotten:
        house.receipts.calls.find(principal_of(), request_id="r1")
    assert forgotten.value.reason is Reason.CALL_UNKNOWN

    second = house.answer(call_of(request_id="r1"))
    assert second.call_id != first.call_id
    assert house.answer(call_of(request_id="r1")) == second


def counted(house: House) -> list[record_pb2.Record]:
    found = [record_pb2.Record.FromString(content) for _, _, content in house.log.store.records(0, 10_000)]
    return [record for record in found if record.kind == record_pb2.RECORD_KIND_REFUSALS_COUNTED]


@requirement("log:refusals:bounded")
def test_refusals_beyond_the_bound_are_counted_in_one_record(tmp_path: Path) -> None:
    with open_house(tmp_path, recorded_refusals_per_minute=3) as house:
        sealed = [house.refuse(call_of()) for _ in range(3)]
        more = [refused(lambda: house.refuse(call_of())) for _ in range(20)]
        other = house.refuse(call_of(principal=principal_of("bob", "t2")))
        before = size(house)
    with open_house(tmp_path) as house:
        (record,) = counted(house)
        assert size(house) == before + 1

    assert all(isinstance(each, SealedResult) for each in (*sealed, other))
    assert {each.reason for each in more} == {Reason.RATE_LIMITED}
    assert all(not each.is_recorded and 0 < each.retry_after_s <= 60 for each in more)
    assert (record.counted, record.tool, record.reason) == (20, "shop.query", "SQL_NOT_READ_ONLY")
    assert record.principal_pseudonym == verify_receipt(sealed[0].receipt, house.vkey).record.principal_pseudonym


@requirement("log:refusals:bounded")
def test_unrecorded_refusals_are_counted_by_tool_and_reason(tmp_path: Path) -> None:
    limited = Refused(Reason.RATE_LIMITED, "30 calls a minute are accepted", is_recorded=False)
    unknown = Refused(Reason.TOOL_UNKNOWN, "there is no such tool", is_recorded=False)
    with open_house(tmp_path) as house:
        for _ in range(5):
            assert refused(lambda: house.refuse(call_of(), limited)) is limited
        for number in range(7):
            refused(lambda number=number: house.refuse(call_of(tool=f"made.up-{number}"), unknown))  # type: ignore[misc]
    with open_house(tmp_path) as house:
        told = {(record.tool, record.reason, record.counted) for record in counted(house)}

    assert told == {("shop.query", "RATE_LIMITED", 5), ("", "TOOL_UNKNOWN", 7)}


@requirement("log:refusals:bounded")
def test_a_window_is_told_once_it_has_ended_and_kept_if_it_could_not_be_written() -> None:
    book = RefusalBook(LimitSettings(window_seconds=60))
    book.tally("ada", "t", "RATE_LIMITED", 0.0)
    book.tally("ada", "t", "RATE_LIMITED", 59.0)

    assert book.due(59.9, is_everything=False) == []
    due = book.due(60.0, is_everything=False)
    assert due == [("ada", "t", "RATE_LIMITED", 2)]
    assert book.due(61.0, is_everything=True) == []
    book.put_back(due, 61.0)
    assert book.due(61.0, is_everything=False) == due
