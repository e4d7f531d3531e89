"""Who finds which call, and what does reading leave behind?"""

from __future__ import annotations

import orjson
import pytest
from log_house import House, authorize, call_of, principal_of, release

from sandbox.audit.merkle import check_consistency
from sandbox.audit.notes import is_signed, parse_checkpoint, parse_note, parse_verifier_key
from sandbox.audit.verify import verify_receipt
from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts import Calls, LogReader
from sandbox.receipts.payloads import PayloadUnreadable, SubjectKey
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement


@requirement("log:calls:own")
def test_callers_find_their_own_answers_by_either_id(house: House) -> None:
    calls = Calls(house.log)
    for sealed in (house.answer(call_of(request_id="a")), house.explain(call_of(request_id="b"))):
        assert calls.find(principal_of(), call_id=sealed.call_id) == sealed
    assert calls.find(principal_of(), request_id="b") == sealed
    refusal = calls.find(principal_of(), call_id=house.refuse(call_of()).call_id)
    assert isinstance(refusal.answer, Refused)


@requirement("log:calls:own")
def test_nobody_finds_stops_or_proves_a_strangers_call(house: House) -> None:
    sealed = house.answer(call_of(request_id="a"))
    calls, reader, stranger = Calls(house.log), LogReader(house.log), principal_of("mallory")
    running = call_of()
    attempts = [
        lambda: calls.find(stranger, call_id=sealed.call_id),
        lambda: calls.find(stranger, request_id="a"),
        lambda: calls.cancel(stranger, call_id=sealed.call_id),
        lambda: reader.receipt(stranger, sealed.call_id, own_only=True),
        lambda: calls.find(principal_of(), call_id="no-such-call"),
        lambda: calls.find(principal_of(), call_id=sealed.call_id.upper() + "0"),
    ]
    with house.receipts.open(running) as open_receipt:
        attempts.append(lambda: calls.cancel(stranger, call_id=open_receipt._running.call_id))
        for attempt in attempts:
            with pytest.raises(Refused) as caught:
                attempt()
            assert caught.value.reason is Reason.CALL_UNKNOWN
        assert not running.proposed.cancellation.is_cancelled
        open_receipt.settle(release(authorize(running)))


@requirement("log:calls:own")
def test_a_running_call_is_stopped_by_its_caller(house: House) -> None:
    call = call_of(request_id="a")
    calls = Calls(house.log)
    with house.receipts.open(call) as receipt:
        assert calls.cancel(principal_of(), request_id="a")
        receipt.settle(release(authorize(call)))
    receipt.sealing.wait()

    assert call.proposed.cancellation.is_cancelled
    assert not calls.cancel(principal_of(), request_id="a")


@requirement("log:calls:own")
def test_a_call_that_broke_is_told_as_that_very_fault_however_often_it_is_asked_for(house: House) -> None:
    with pytest.raises(Fault) as broke, house.receipts.open(call_of()) as receipt:
        raise ZeroDivisionError("x" * 200_000)

    for _ in range(2):
        with pytest.raises(Fault) as again:
            Calls(house.log).find(principal_of(), call_id=receipt._running.call_id)
        assert (str(again.value), again.value.is_new) == (str(broke.value), False)


@requirement("log:calls:own")
def test_a_call_that_has_ended_is_not_stopped_however_it_ended(house: House) -> None:
    with pytest.raises(Fault), house.receipts.open(call_of()) as receipt:
        raise ZeroDivisionError

    assert not Calls(house.log).cancel(principal_of(), call_id=receipt._running.call_id)


@requirement("log:reading:unavailable")
def test_a_log_that_cannot_be_read_asks_to_come_back(house: House) -> None:
    call_id = house.answer(call_of(request_id="a")).call_id
    reader, calls, ada = LogReader(house.log), Calls(house.log), principal_of()
    attempts = [
        reader.checkpoint,
        lambda: reader.list_records(start=0, limit=1, tool="", kind=0),
        lambda: reader.receipt(ada, call_id, own_only=True),
        lambda: reader.consistency_proof(1, 0),
        lambda: reader.read_payload(ada, call_id, "result"),
        lambda: calls.find(ada, call_id=call_id),
        lambda: calls.find(ada, request_id="a"),
        lambda: calls.cancel(ada, call_id=call_id),
    ]
    house.log.store.close()
    for attempt in attempts:
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.reason is Reason.RECEIPT_LOG_UNAVAILABLE
        assert caught.value.retry_after_s > 0


@requirement("doors:pages:bounded")
@pytest.mark.parametrize("sizes", [(2**64 - 1, 0), (0, 2**64 - 1), (1, 2**63), (2**63, 2**63), (2**62, 2**62 + 1)])
def test_no_size_is_too_large_to_be_refused_in_a_sentence(house: House, sizes: tuple[int, int]) -> None:
    with pytest.raises(Refused, match="sizes come from checkpoints") as caught:
        LogReader(house.log).consistency_proof(*sizes)
    assert caught.value.reason is Reason.REQUEST_INVALID


@requirement("log:payload:access")
def test_reading_a_payload_is_on_record_with_reader_and_place(house: House) -> None:
    sealed = house.answer(call_of())
    about = verify_receipt(sealed.receipt, house.vkey).index
    reviewer = principal_of("eve", "reviewer-token")

    plaintext, receipt = LogReader(house.log).read_payload(reviewer, sealed.call_id, "result")

    record = verify_receipt(receipt, house.vkey).record
    assert plaintext.endswith(b'"rows":[[1]]}')
    assert (record.kind, record.about_index_plus_one) == (record_pb2.RECORD_KIND_ACCESS, about + 1)
    assert record.token_digest == reviewer.token_digest
    access, _ = LogReader(house.log).read_payload(reviewer, record.call_id, "arguments")
    assert access == b'{"role":"result"}'


@requirement("log:payload:access")
def test_reading_a_whole_call_is_one_record_that_names_what_was_read(house: House) -> None:
    sealed = house.answer(call_of())
    about = verify_receipt(sealed.receipt, house.vkey).index
    before = house.log.store.head().size
    reader, reviewer = LogReader(house.log), principal_of("eve", "reviewer-token")

    read = reader.read_call(reviewer, sealed.call_id)

    assert {"arguments", "result"} < set(read.payloads)
    assert read.payloads["result"].endswith(b'"rows":[[1]]}')
    ((_, _, content),) = house.log.store.records(before, 9)
    record = record_pb2.Record.FromString(content)
    assert (record.kind, record.about_index_plus_one) == (record_pb2.RECORD_KIND_ACCESS, about + 1)
    assert (record.token_digest, record.tool) == (reviewer.token_digest, "shop.query")
    assert reader.read_payload(reviewer, record.call_id, "arguments")[0] == orjson.dumps({"roles": list(read.payloads)})


@requirement("log:payload:access")
def test_a_call_whose_reading_cannot_be_recorded_is_not_read(house: House) -> None:
    sealed = house.answer(call_of())
    house.log._committer.close()

    with pytest.raises(Refused) as caught:
        LogReader(house.log).read_call(principal_of("eve"), sealed.call_id)
    assert caught.value.reason is Reason.RECEIPT_LOG_UNAVAILABLE


@requirement("log:payload:access")
def test_a_payload_whose_reading_cannot_be_recorded_is_not_read(house: House) -> None:
    sealed = house.answer(call_of())
    house.log._committer.close()

    with pytest.raises(Refused) as caught:
        LogReader(house.log).read_payload(principal_of("eve"), sealed.call_id, "result")
    assert caught.value.reason is Reason.RECEIPT_LOG_UNAVAILABLE


@requirement("log:payload:access")
def test_asking_for_a_payload_that_is_not_there_says_which_are(house: House) -> None:
    sealed = house.refuse(call_of())
    before = house.log.store.head().size

    with pytest.raises(Refused, match="arguments, refusal"):
        LogReader(house.log).read_payload(principal_of("eve"), sealed.call_id, "result")
    assert house.log.store.head().size == before


@requirement("log:payload:private")
@pytest.mark.parametrize("length", [0, 1, 251, 252, 253, 65_532, 65_533, 200_000])
def test_payloads_are_padded_to_classes_and_come_back_whole(length: int) -> None:
    key = SubjectKey(1, b"k" * 32, b"")
    sealed = key.seal("result", b"x" * length, b"c" * 16)
    descriptor = record_pb2.Record.FromString(sealed.descriptor_field).payloads[0]
    classes = [1 << bits for bits in range(8, 17)] + [65_536 * n for n in range(2, 6)]

    assert descriptor.size_class == min(c for c in classes if c >= length + 4)
    assert len(sealed.ciphertext) == descriptor.size_class + 16
    stored = _stored(sealed)
    assert key.open(descriptor, stored, b"c" * 16) == b"x" * length


@requirement("log:payload:private")
def test_payloads_open_for_their_own_call_role_key_and_record_alone() -> None:
    key = SubjectKey(1, b"k" * 32, b"")
    sealed, other = key.seal("result", b"one", b"c" * 16), key.seal("result", b"two", b"c" * 16)
    descriptor = record_pb2.Record.FromString(sealed.descriptor_field).payloads[0]
    renamed = record_pb2.PayloadDescriptor.FromString(descriptor.SerializeToString())
    renamed.role = "refusal"

    for opener, named, stored, call in (
        (SubjectKey(1, b"j" * 32, b""), descriptor, sealed, b"c" * 16),
        (key, renamed, sealed, b"c" * 16),
        (key, descriptor, sealed, b"d" * 16),
        (key, descriptor, other, b"c" * 16),
    ):
        with pytest.raises(PayloadUnreadable):
            opener.open(named, _stored(stored), call)


def _stored(sealed: object) -> object:
    from sandbox.stores.log import StoredPayload

    return StoredPayload(sealed.subject, sealed.wrapped_key, sealed.ciphertext)  # type: ignore[attr-defined]


@requirement("log:reader:pages")
def test_records_are_listed_in_pages_by_tool_and_kind(house: House) -> None:
    begun = house.log.store.head().size
    for _ in range(4):
        house.answer(call_of())
        house.refuse(call_of())
    reader = LogReader(house.log)

    page, following = reader.list_records(start=begun, limit=3, tool="", kind=0)
    assert [logged.index for logged in page] == [begun, begun + 1, begun + 2]
    rest, end = reader.list_records(start=following or 0, limit=100, tool="", kind=0)
    assert ([logged.index for logged in rest], end) == (list(range(begun + 3, begun + 8)), None)
    refusals, _ = reader.list_records(start=0, limit=100, tool="shop.query", kind=record_pb2.RECORD_KIND_REFUSAL)
    assert [logged.index - begun for logged in refusals] == [1, 3, 5, 7]
    assert reader.list_records(start=0, limit=100, tool="other", kind=0) == ([], None)


@requirement("log:reader:pages")
def test_a_page_is_bounded_in_bytes_and_in_records_looked_at(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        house.answer(call_of())
    reader = LogReader(house.log)
    monkeypatch.setattr("sandbox.receipts.reader.MAX_PAGE_BYTES", 1000)
    page, following = reader.list_records(start=5, limit=100, tool="", kind=0)
    assert (len(page), following) == (2, 7)
    monkeypatch.setattr("sandbox.receipts.reader.SCANNED_AT_ONCE", 2)
    monkeypatch.setattr("sandbox.receipts.reader.MAX_SCANS", 2)
    assert reader.list_records(start=0, limit=100, tool="other", kind=0) == ([], 4)


@requirement("log:proofs:any-tree")
def test_checkpoints_are_consistent_and_signed(house: House) -> None:
    reader = LogReader(house.log)
    key = parse_verifier_key(house.vkey)
    seen = []
    for _ in range(4):
        note = parse_note(reader.checkpoint())
        assert is_signed(note, key)
        seen.append(parse_checkpoint(note.text))
        house.answer(call_of())
    for first in seen:
        for second in seen:
            if first.size <= second.size:
                path, checkpoint = reader.consistency_proof(first.size, second.size)
                check_consistency(first.size, second.size, first.root, second.root, path)
                assert parse_checkpoint(parse_note(checkpoint).text) == second
    assert reader.consistency_proof(0, 0)[0] == []
    with pytest.raises(Refused):
        reader.consistency_proof(5, 4)
    with pytest.raises(Refused):
        reader.consistency_proof(0, 10_000)


@requirement("log:calls:own")
def test_receipts_are_given_again_as_they_were(house: House) -> None:
    sealed = house.answer(call_of())
    for _ in range(3):
        house.answer(call_of())
    reader = LogReader(house.log)

    assert reader.receipt(principal_of(), sealed.call_id, own_only=True) == sealed.receipt
    assert reader.receipt(principal_of("eve"), sealed.call_id, own_only=False) == sealed.receipt
