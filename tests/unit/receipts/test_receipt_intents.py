"""Is a call with effects on record before it begins, and its end after? And what if the log takes neither?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from log_house import (
    WRITING,
    House,
    authorize,
    call_of,
    full_disk,
    open_house,
    principal_of,
    release,
    unavailable,
)

from sandbox.audit.audit import audit_log
from sandbox.audit.verify import verify_receipt
from sandbox.reasons import Effect, Fault, Reason, Refused
from sandbox.receipts.reader import LogReader
from sandbox.receipts.records import Entry
from sandbox.stages import Answer, ResultBody, StillRunning
from sandbox.stores.sqlite_writing import SqliteWriting
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement

LARGE = b'[["' + b"x" * 200_000 + b'"]]'
INTENT, OUTCOME = record_pb2.RECORD_KIND_INTENT, record_pb2.RECORD_KIND_OUTCOME


def kinds(house: House) -> list[int]:
    return [record.kind for record in house.records()]


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def found(house: House, request_id: str) -> Answer:
    return house.receipts.calls.find(principal_of(), request_id=request_id).answer


@requirement("log:intent:before")
def test_the_intent_is_signed_before_the_act_and_the_outcome_names_it(house: House) -> None:
    def act() -> None:
        assert kinds(house) == [INTENT]
        assert house.log.newest_checkpoint().size == house.log.store.head().size

    sealed = house.write(call_of(), act)

    intent, outcome = house.records()
    index = house.log.store.head().size - 2
    assert (intent.kind, intent.status, intent.effect) == (INTENT, 0, 0)
    assert [payload.role for payload in intent.payloads] == ["arguments", "proposed_sql", "run_sql"]
    assert (outcome.kind, outcome.status, outcome.effect) == (OUTCOME, record_pb2.RECORD_STATUS_OK, Effect.DONE)
    assert [payload.role for payload in outcome.payloads] == ["result"]
    assert (outcome.call_id, outcome.about_index_plus_one) == (intent.call_id, index + 1)
    assert (intent.relations, intent.spec_digest) == (outcome.relations, outcome.spec_digest)
    assert [intent.token_sequence, outcome.token_sequence] == [1, 2]
    assert verify_receipt(sealed.receipt, house.vkey).record == outcome
    assert house.log.store.open_intents() == []


@requirement("log:intent:before")
def test_the_intent_has_a_receipt_of_its_own_and_both_records_payloads_are_read(house: House) -> None:
    sealed = house.write(call_of())
    reader = LogReader(house.log)

    own = reader.receipt(principal_of(), sealed.call_id, own_only=True, of_intent=True)
    assert verify_receipt(own, house.vkey).record.kind == INTENT
    assert reader.receipt(principal_of(), sealed.call_id, own_only=True) == sealed.receipt
    reviewer = principal_of("eve", "reviewer")
    assert reader.last_record(sealed.call_id).kind == OUTCOME
    assert list(reader.read_call(reviewer, sealed.call_id).payloads) == [
        "arguments", "proposed_sql", "run_sql", "result"
    ]  # fmt: skip
    assert reader.read_payload(reviewer, sealed.call_id, "arguments")[0] == b'{"sql":"SELECT 1"}'
    assert b'"rows":[[1]]' in reader.read_payload(reviewer, sealed.call_id, "result")[0]


@requirement("log:intent:before")
def test_a_call_without_effects_has_no_intent_to_give_a_receipt_of(house: House) -> None:
    sealed = house.answer(call_of())

    assert kinds(house) == [record_pb2.RECORD_KIND_READ]
    with pytest.raises(Refused) as unknown:
        LogReader(house.log).receipt(principal_of(), sealed.call_id, own_only=True, of_intent=True)
    assert unknown.value.reason is Reason.CALL_UNKNOWN
    assert not Path(f"{house.deployment.log_database}.boots").exists()


@requirement("log:intent:before")
def test_large_arguments_are_in_the_intent(house: House) -> None:
    sealed = house.write(call_of(b'"' + b"x" * 100_000 + b'"'))

    text, _ = LogReader(house.log).read_payload(principal_of("eve", "reviewer"), sealed.call_id, "arguments")
    assert len(text) == 100_002


@requirement("log:intent:unavailable")
def test_without_a_durable_intent_nothing_runs(house: House) -> None:
    ran: list[int] = []
    with full_disk(house):
        refusal = unavailable(lambda: house.write(call_of(b"x" * 100_000), lambda: ran.append(1)))

    assert ran == []
    assert refusal.effect is Effect.UNSPECIFIED
    assert house.log.store.open_intents() == []
    assert isinstance(house.write(call_of()).answer, ResultBody)


@requirement("log:intent:unavailable")
def test_an_intent_that_gets_into_the_log_too_late_is_withdrawn(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.answer(call_of())
    monkeypatch.setattr("sandbox.receipts.committed.MAX_WAIT_S", 0.05)
    going_on = threading.Event()
    real = SqliteWriting.append

    def hanging(*everything: object) -> None:
        assert going_on.wait(20)
        real(*everything)  # type: ignore[arg-type]

    ran: list[int] = []
    monkeypatch.setattr(SqliteWriting, "append", hanging)
    unavailable(lambda: house.write(call_of(request_id="r1"), lambda: ran.append(1)))
    monkeypatch.setattr("sandbox.receipts.committed.MAX_WAIT_S", 10.0)
    going_on.set()
    house.answer(call_of())  # whoever comes later is in the log later
    house.answer(call_of())

    assert ran == []
    _, intent, *further = house.records()
    (withdrawn,) = (record for record in further if record.call_id == intent.call_id)
    assert (withdrawn.kind, withdrawn.reason) == (OUTCOME, "RECEIPT_LOG_UNAVAILABLE")
    assert withdrawn.effect == Effect.NONE
    assert house.log.store.open_intents() == []
    assert isinstance(house.write(call_of(request_id="r1"), lambda: ran.append(2)).answer, ResultBody)
    assert ran == [2]


@requirement("log:intent:unavailable")
def test_an_intent_that_gets_into_the_log_while_it_closes_is_withdrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = threading.Event()
    real = SqliteWriting.append

    def hanging(*everything: object) -> None:
        assert closing.wait(20)
        real(*everything)  # type: ignore[arg-type]

    with open_house(tmp_path) as house:
        thread = house.log._committer._thread
        join = thread.join
        monkeypatch.setattr(thread, "join", lambda: (closing.set(), join()))  # what `close` does when all is said
        monkeypatch.setattr("sandbox.receipts.committed.MAX_WAIT_S", 0.05)
        monkeypatch.setattr(SqliteWriting, "append", hanging)
        unavailable(lambda: house.write(call_of(request_id="r1"), lambda: pytest.fail("run")))
    monkeypatch.undo()

    with open_house(tmp_path) as house:
        assert [record.effect for record in house.records() if record.kind == OUTCOME] == [Effect.NONE]
        assert house.log.store.open_intents() == []


@requirement("log:intent:unavailable")
def test_an_intent_whose_call_was_torn_away_is_withdrawn_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn_away(_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(house.log, "wait_for", torn_away)
    with pytest.raises(KeyboardInterrupt):
        house.write(call_of(), lambda: pytest.fail("run"))
    for _ in range(2):
        house.answer(call_of())

    assert [record.effect for record in house.records() if record.kind == OUTCOME] == [Effect.NONE]
    assert house.log.store.open_intents() == []


@requirement("log:intent:untold")
def test_an_act_whose_end_the_log_does_not_take_is_told_later_and_not_run_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.receipts.log.PROBE_EVERY_S", 0.0)
    ran: list[int] = []
    with ExitStack() as until_freed:

        def act() -> None:
            ran.append(1)
            until_freed.enter_context(full_disk(house))

        refusal = unavailable(lambda: house.write(call_of(request_id="r1"), act, LARGE))
        assert (refusal.effect, refusal.is_recorded) == (Effect.UNKNOWN, False)
        assert found(house, "r1") == StillRunning(0.2, is_unrecorded=True)
        unavailable(lambda: house.write(call_of(request_id="r1"), act))  # nothing begins while the log is full
    (intent,) = house.records()
    assert refusal.metadata["call_id"] == intent.call_id

    pending = house.write(call_of(request_id="r1"), act)
    assert pending.answer == StillRunning(0.2, is_unrecorded=True)
    house.log._committer._owed_at = 0.0
    for _ in range(2):  # the first wakes the thread, the second waits for what it does then
        house.answer(call_of())

    told = found(house, "r1")
    assert isinstance(told, ResultBody)
    assert told.rows_json == LARGE
    assert house.write(call_of(request_id="r1"), act).call_id == pending.call_id == intent.call_id
    assert ran == [1]
    assert house.log.store.open_intents() == []


@requirement("log:intent:untold")
def test_a_process_that_ends_tells_what_it_owes(tmp_path: Path) -> None:
    with open_house(tmp_path) as house, ExitStack() as until_freed:
        act = lambda: until_freed.enter_context(full_disk(house))  # noqa: E731 - an act of one line
        unavailable(lambda: house.write(call_of(request_id="r1"), act, LARGE))
    with open_house(tmp_path) as house:
        assert isinstance(found(house, "r1"), ResultBody)
        assert kinds(house) == [INTENT, OUTCOME]


@requirement("log:intent:untold")
def test_the_end_of_a_call_that_has_begun_is_taken_however_many_wait(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act() -> None:
        monkeypatch.setattr("sandbox.receipts.committer.MAX_QUEUED", 0)

    assert isinstance(house.write(call_of(), act).answer, ResultBody)
    unavailable(lambda: house.answer(call_of()))


@requirement("log:intent:effect")
@pytest.mark.parametrize(
    ("told", "recorded"),
    [
        (Effect.UNSPECIFIED, Effect.UNKNOWN),
        (Effect.UNKNOWN, Effect.UNKNOWN),
        (Effect.NONE, Effect.NONE),
        (Effect.DONE, Effect.DONE),
    ],
)
def test_a_refusal_after_the_intent_says_what_is_known_of_the_effect(
    house: House, told: Effect, recorded: Effect
) -> None:
    refused = Refused(Reason.EXECUTION_TIMED_OUT, "no answer in 5 s", is_recorded=False, effect=told)

    sealed = house.write(call_of(request_id="r1"), raising(refused))

    _, outcome = house.records()
    assert isinstance(sealed.answer, Refused)
    assert (sealed.answer.effect, outcome.effect) == (recorded, recorded)
    assert (outcome.kind, outcome.status) == (OUTCOME, record_pb2.RECORD_STATUS_REFUSED)
    assert [payload.role for payload in outcome.payloads] == ["refusal"]
    again = house.write(call_of(request_id="r1"), raising(AssertionError("run again")))
    assert isinstance(again.answer, Refused)
    assert (again.answer.reason, again.answer.effect, again.receipt) == (refused.reason, recorded, sealed.receipt)


@requirement("log:intent:effect")
def test_what_no_executor_was_given_had_no_effect(house: House) -> None:
    call = call_of()
    with house.receipts.open(call) as receipt:
        receipt.intend(authorize(call, spec=WRITING))
        raise Refused(Reason.EXECUTOR_UNAVAILABLE, "no lease", effect=Effect.DONE)

    sealed = receipt.sealing.wait()
    assert isinstance(sealed.answer, Refused)
    assert sealed.answer.effect is Effect.NONE
    assert house.records()[-1].effect == Effect.NONE


@requirement("log:intent:effect")
def test_a_refusal_before_the_intent_says_nothing_of_an_effect(house: House) -> None:
    sealed = house.refuse(call_of(), Refused(Reason.POLICY_DENIED, "no", effect=Effect.DONE))

    assert isinstance(sealed.answer, Refused)
    assert sealed.answer.effect is Effect.UNSPECIFIED
    assert house.records()[-1].effect == 0


@requirement("log:intent:effect")
def test_a_fault_after_the_intent_leaves_the_effect_unknown_and_stands(house: House) -> None:
    with pytest.raises(Fault) as first:
        house.write(call_of(request_id="r1"), raising(ZeroDivisionError()))

    _, outcome = house.records()
    assert (outcome.kind, outcome.status) == (OUTCOME, record_pb2.RECORD_STATUS_FAULT)
    assert outcome.effect == Effect.UNKNOWN
    with pytest.raises(Fault) as again:
        house.write(call_of(request_id="r1"), raising(AssertionError("run again")))
    assert again.value.reference == first.value.reference
    assert len(house.records()) == 2


@requirement("log:intent:once")
@pytest.mark.parametrize(
    ("effect", "is_run_again"), [(Effect.NONE, True), (Effect.UNKNOWN, False), (Effect.DONE, False)]
)
def test_a_passing_refusal_is_asked_anew_only_where_nothing_began(
    house: House, effect: Effect, *, is_run_again: bool
) -> None:
    passing = Refused(Reason.EXECUTOR_UNAVAILABLE, "connection refused", effect=effect)
    house.write(call_of(request_id="r1"), raising(passing))
    ran: list[int] = []

    for _ in range(2):
        again = house.write(call_of(request_id="r1"), lambda: ran.append(1))
        assert isinstance(again.answer, ResultBody) is is_run_again
    assert len(ran) == int(is_run_again)


@requirement("log:intent:once")
def test_two_processes_begin_one_request_once(tmp_path: Path) -> None:
    ran: list[str] = []
    with open_house(tmp_path) as one, open_house(tmp_path) as other:
        call = call_of(request_id="r1")
        with other.receipts.open(call) as late:  # it has looked for an earlier answer, and there was none
            sealed = one.write(call_of(request_id="r1"), lambda: ran.append("one"))
            refusal = unavailable(lambda: late.intend(authorize(call, spec=WRITING)))
            late.settle(release(authorize(call)))

        assert refusal.retry_after_s > 0
        assert one.write(call_of(request_id="r1"), lambda: ran.append("again")).receipt == sealed.receipt
        assert kinds(other) == [INTENT, OUTCOME]
    assert ran == ["one"]


@requirement("log:intent:once")
def test_an_intent_ends_once_whoever_writes(house: House) -> None:
    house.write(call_of())
    index = house.log.store.head().size - 2
    ended = Entry(record=house.records()[-1].SerializeToString(), call_id=b"", closes=index)

    with pytest.raises(Fault):
        house.log.append(ended)
    assert len(house.records()) == 2
    assert audit_log(house.deployment.log_database, house.vkey).open_intents == 0
