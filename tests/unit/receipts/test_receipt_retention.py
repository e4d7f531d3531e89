"""Are payloads removed when their time is over, on record first, wholly, and none that is still needed?"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from log_house import ORIGIN, House, call_of, deployment_at, principal_of, unavailable

from sandbox.audit.audit import audit_log
from sandbox.audit.verify import verify_receipt
from sandbox.reasons import Reason, Refused
from sandbox.receipts import Calls, ExecutionLog, LogReader, RecordKind, Retention
from sandbox.receipts.retention import AT_ONCE, DAY_US
from sandbox.settings import LogSettings, Settings
from sandbox.stages import SealedResult, StillRunning
from sandbox.stores.log import StoreUnavailable
from sandbox.stores.sqlite_writing import SqliteWriting
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement

RETENTION = record_pb2.RECORD_KIND_RETENTION
SERVICE_PAYLOADS = 4
"""The spec, the policy and two files of configuration."""


def kept_for(days: int) -> Settings:
    return Settings(log=LogSettings(origin=ORIGIN, payload_days=days))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    opened = House(deployment_at(tmp_path / "deployment"), kept_for(7))
    yield opened
    opened.close()


def in_days(days: float) -> int:
    return time.time_ns() // 1000 + int(days * DAY_US)


def of_retention(house: House) -> list[record_pb2.Record]:
    found = [record_pb2.Record.FromString(content) for _, _, content in house.log.store.records(0, 10_000)]
    return [record for record in found if record.kind == RETENTION]


def ciphertexts(house: House) -> dict[int, bytes]:
    return {payload_id: stored.ciphertext for payload_id, stored in house.log.store.payloads(0, 2**40)}


def in_files(house: House) -> bytes:
    database = house.deployment.log_database
    return b"".join(path.read_bytes() for path in sorted(database.parent.glob(f"{database.name}*")) if path.is_file())


def pieces(ciphertext: bytes) -> Iterator[bytes]:
    return (ciphertext[start : start + 16] for start in range(0, len(ciphertext) - 16, 16))


@requirement("log:retention:removed")
def test_what_is_older_is_on_record_as_removed_and_then_is_and_every_proof_still_holds(house: House) -> None:
    sealed = [house.answer(call_of()), house.write(call_of())]
    size = house.log.store.head().size
    before = len(ciphertexts(house))

    assert Retention(house.log).run(in_days(8))

    (record,) = of_retention(house)
    assert (record.payloads_below, record.payload_days, record.counted) == (size, 7, before - SERVICE_PAYLOADS)
    assert len(ciphertexts(house)) == SERVICE_PAYLOADS
    for each in sealed:
        verify_receipt(each.receipt, house.vkey)
        stored = LogReader(house.log).receipt(principal_of(), each.call_id, own_only=True)
        assert verify_receipt(stored, house.vkey).record.call_id == each.call_id
    report = audit_log(house.deployment.log_database, house.vkey)
    assert (report.payloads, report.removed_payloads) == (SERVICE_PAYLOADS, record.counted)
    assert f"{record.counted} payloads are removed, as leaf {size} says" in " ".join(report.not_checked)


@requirement("log:retention:removed")
def test_what_is_younger_stays_and_without_a_setting_everything_does(house: House, tmp_path: Path) -> None:
    house.answer(call_of())
    before = ciphertexts(house)
    for_ever = House(deployment_at(tmp_path / "other"), kept_for(0))
    for_ever.answer(call_of())

    assert Retention(house.log).run(in_days(6.9))
    assert Retention(for_ever.log).run(in_days(4000))

    assert (ciphertexts(house), of_retention(house), of_retention(for_ever)) == (before, [], [])
    assert len(ciphertexts(for_ever)) > SERVICE_PAYLOADS
    for_ever.close()


@requirement("log:retention:removed")
def test_a_run_that_has_nothing_to_remove_leaves_no_record(house: House) -> None:
    house.answer(call_of())
    for days in (8, 8, 9, 30):
        Retention(house.log).run(in_days(days))
    assert len(of_retention(house)) == 1

    house.answer(call_of())
    Retention(house.log).run(in_days(8))
    first, second = of_retention(house)
    assert first.payloads_below < second.payloads_below
    assert audit_log(house.deployment.log_database, house.vkey).removed_payloads == first.counted + second.counted


@requirement("log:retention:overwritten")
def test_no_piece_of_what_was_removed_is_left_in_the_files(house: House) -> None:
    gone: list[bytes] = []
    for turn in range(4):
        for number in range(40):
            house.answer(call_of(principal=principal_of(f"p{number % 3}")), rows=b"[[%d]]" % number * (1 + 37 * number))
        if turn % 2:
            house.log.enroll(RecordKind.SPEC, f"toolspecs/{turn}.yaml", b"x" * 900 * turn)
        kept = {key for key, stored in house.log.store.payloads(0, 2**40) if stored.subject == service(house)}
        gone += [ciphertext for payload_id, ciphertext in ciphertexts(house).items() if payload_id not in kept]
        if turn == 0:
            assert all(each[:64] in in_files(house) for each in gone[-10:])
        assert Retention(house.log).run(in_days(8))

    left = in_files(house)
    found = {left[start : start + 16] for start in range(len(left) - 16)}
    assert not [piece for each in gone for piece in pieces(each) if piece in found]
    assert audit_log(house.deployment.log_database, house.vkey).removed_payloads == len(gone)


@requirement("log:retention:overwritten")
def test_a_reader_that_keeps_old_pages_is_waited_for_in_the_next_run(house: House) -> None:
    house.answer(call_of())
    reader = apsw.Connection(str(house.deployment.log_database))
    reader.execute("BEGIN; SELECT count(*) FROM leaves").fetchall()
    assert not Retention(house.log).run(in_days(8))
    reader.close()
    assert Retention(house.log).run(in_days(8))
    assert len(of_retention(house)) == 1


@requirement("log:retention:room")
def test_the_room_of_what_was_removed_is_used_again(house: House) -> None:
    def turn() -> int:
        for number in range(30):
            house.answer(call_of(), rows=b"[[%d]]" % number * 2000)
        Retention(house.log).run(in_days(8))
        return house.deployment.log_database.stat().st_size

    sizes = [turn() for _ in range(6)]
    assert sizes[-1] - sizes[0] < sizes[0] / 2  # what grows is the records, which stay


@requirement("log:retention:needed")
def test_what_a_remembered_request_leads_to_stays(house: House) -> None:
    house.answer(call_of())
    asked = call_of(request_id="r1")
    first = house.answer(asked)
    before = house.log.store.head().size
    with apsw.Connection(str(house.deployment.log_database)) as other:
        other.execute("UPDATE requests SET expires_us = ?", (in_days(9),))
    other.close()

    Retention(house.log).run(in_days(8))

    (record,) = of_retention(house)
    assert record.payloads_below == before - 1
    assert house.answer(call_of(request_id="r1")).answer == first.answer


@requirement("log:retention:needed")
def test_what_an_open_intent_says_stays_until_it_is_closed(house: House) -> None:
    house.answer(call_of())
    receipt = house.begin(call_of())
    place = house.log.store.head().size - 1
    house.answer(call_of())

    Retention(house.log).run(in_days(8))
    assert of_retention(house)[-1].payloads_below == place

    receipt.__exit__(Refused, Refused(Reason.EXECUTION_TIMED_OUT, "late"), None)
    receipt.sealing.wait()
    Retention(house.log).run(in_days(8))
    assert of_retention(house)[-1].payloads_below > place


@requirement("log:retention:told")
def test_who_asks_for_what_was_removed_hears_so_and_no_reading_is_recorded(house: House) -> None:
    sealed = house.answer(call_of())
    Retention(house.log).run(in_days(8))
    leaf = house.log.store.head().size - 1

    with pytest.raises(Refused, match=f"older than payloads are kept, and is removed .leaf {leaf} says so") as read:
        LogReader(house.log).read_payload(principal_of("eve", "t2"), sealed.call_id, "result")
    with pytest.raises(Refused) as found:
        Calls(house.log).find(principal_of(), call_id=sealed.call_id)

    assert {read.value.reason, found.value.reason} == {Reason.PAYLOAD_REMOVED}
    assert house.log.store.head().size == leaf + 1


@requirement("log:retention:crash")
def test_nothing_is_removed_whose_removal_cannot_be_recorded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("FullError")

    house.answer(call_of())
    before = ciphertexts(house)
    with monkeypatch.context() as broken:
        broken.setattr(SqliteWriting, "append", full)
        unavailable(lambda: Retention(house.log).run(in_days(8)))
    assert ciphertexts(house) == before


@requirement("log:retention:signed")
def test_nothing_is_removed_before_the_record_of_it_is_signed_in_the_file(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in between would leave a log whose missing payloads no signature excuses."""
    signed: list[int] = []
    remove = SqliteWriting.remove_payloads

    def removing(self: SqliteWriting, *asked: int) -> int:
        newest = house.log.store.newest_signed_checkpoint()
        signed.append(newest.size if newest else 0)
        return remove(self, *asked)

    house.answer(call_of())
    monkeypatch.setattr(SqliteWriting, "remove_payloads", removing)
    assert Retention(house.log).run(in_days(8))
    assert signed[0] == house.log.store.head().size
    assert len(of_retention(house)) == 1


@requirement("log:retention:signed")
def test_a_signature_in_the_file_that_is_not_ours_covers_no_record(house: House) -> None:
    house.answer(call_of())
    before = ciphertexts(house)
    with apsw.Connection(str(house.deployment.log_database)) as other:
        other.execute("INSERT INTO checkpoints VALUES (9999, zeroblob(32), zeroblob(64), x'')")
    other.close()

    with pytest.raises((StoreUnavailable, Refused)):
        Retention(house.log).run(in_days(8))
    assert ciphertexts(house) == before


@requirement("log:retention:signed")
def test_nothing_is_removed_whose_record_no_signature_covers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.answer(call_of())
    before, size = ciphertexts(house), house.log.store.head().size
    earlier = house.log.newest_checkpoint()
    monkeypatch.setattr(ExecutionLog, "newest_checkpoint", lambda _: earlier)

    with pytest.raises(StoreUnavailable, match="the record of retention is not signed yet"):
        Retention(house.log).run(in_days(8))

    assert (ciphertexts(house), house.log.store.head().size) == (before, size + 1)


@requirement("log:retention:crash")
def test_the_next_run_goes_on_after_a_crash_between_record_and_removal(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> int:
        raise StoreUnavailable("crash")

    house.answer(call_of())
    with monkeypatch.context() as broken:
        broken.setattr(SqliteWriting, "remove_payloads", crash)
        with pytest.raises(StoreUnavailable):
            Retention(house.log).run(in_days(8))
    assert len(of_retention(house)) == 1
    assert len(ciphertexts(house)) > SERVICE_PAYLOADS
    audit_log(house.deployment.log_database, house.vkey)

    assert Retention(house.log).run(in_days(8))
    assert (len(of_retention(house)), len(ciphertexts(house))) == (1, SERVICE_PAYLOADS)


KILLED = """
import os, signal, sys, time
from pathlib import Path
from sandbox.deployment import Deployment
from sandbox.receipts import ExecutionLog, Retention
from sandbox.receipts.retention import DAY_US
from sandbox.settings import LogSettings, Settings
from sandbox.stores.sqlite_writing import SqliteWriting

remove, batches = SqliteWriting.remove_payloads, []

def removing(self, *asked):
    removed = remove(self, *asked)
    batches.append(removed)
    if len(batches) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return removed

SqliteWriting.remove_payloads = removing
settings = Settings(log=LogSettings(origin=sys.argv[2], payload_days=7))
log = ExecutionLog.open(Deployment(Path(sys.argv[1])), settings)
Retention(log).run(time.time_ns() // 1000 + 8 * DAY_US)
"""


@requirement("log:retention:crash")
def test_a_kill_in_the_midst_leaves_a_good_log_and_the_next_run_finishes(house: House) -> None:
    while len(ciphertexts(house)) < 3 * AT_ONCE:
        house.answer(call_of())
    killed = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", KILLED, str(house.deployment.root), ORIGIN], check=False, timeout=60
    )

    assert killed.returncode == -signal.SIGKILL
    (record,) = of_retention(house)
    assert len(ciphertexts(house)) == SERVICE_PAYLOADS + record.counted - AT_ONCE
    assert audit_log(house.deployment.log_database, house.vkey).removed_payloads == AT_ONCE
    assert Retention(house.log).run(in_days(8))
    assert audit_log(house.deployment.log_database, house.vkey).removed_payloads == record.counted
    assert len(of_retention(house)) == 1


@requirement("log:retention:one")
def test_of_several_processes_one_removes(house: House, tmp_path: Path) -> None:
    house.answer(call_of())
    other = House(deployment_at(tmp_path / "deployment"), kept_for(7))
    with other.log.store.removing() as is_alone:
        assert is_alone
        assert not Retention(house.log).run(in_days(8))  # so it is tried again soon, for the other may have archived
        assert of_retention(house) == []
    other.close()
    Retention(house.log).run(in_days(8))
    assert len(of_retention(house)) == 1


@requirement("log:retention:forged")
def test_a_table_that_names_another_leaf_removes_nothing(house: House) -> None:
    sealed: SealedResult = house.answer(call_of())
    assert not isinstance(sealed.answer, StillRunning)
    before = ciphertexts(house)
    with apsw.Connection(str(house.deployment.log_database)) as other:
        other.execute("INSERT INTO files VALUES (?, 'payloads', 1, x'00')", (RETENTION,))
    other.close()

    with pytest.raises(StoreUnavailable, match="the record of retention is not where the log's table says"):
        Retention(house.log).run(in_days(8))
    assert ciphertexts(house) == before


def service(house: House) -> int:
    return house.log.subjects.key_of(None).subject
