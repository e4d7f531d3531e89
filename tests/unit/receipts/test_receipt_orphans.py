"""Is what a crash left open closed at the next start, as unknown, and never run again?"""

from __future__ import annotations

import json
import operator
from pathlib import Path

import apsw
import pytest
from log_house import House, call_of, full_disk, open_house, principal_of, unavailable

from sandbox.audit.audit import audit_log
from sandbox.audit.verify import verify_receipt
from sandbox.deployment import Misconfigured
from sandbox.reasons import Effect, Reason, Refused
from sandbox.receipts import close_orphans
from sandbox.stages import StillRunning
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement


def crashed(root: Path) -> str:
    """Leave an intent behind, as a process does that dies in the act; return its call id."""
    with open_house(root) as house:
        house.begin(call_of(request_id="r1"))
        (intent,) = house.records()
    return intent.call_id


def again(house: House) -> object:
    sealed = house.write(call_of(request_id="r1"), lambda: pytest.fail("run again"))
    return sealed.answer


@requirement("log:orphan:closed")
def test_the_next_start_closes_what_a_crash_left_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_id = crashed(tmp_path)
    with open_house(tmp_path) as house:
        assert again(house) == StillRunning(0.2, is_unrecorded=True)
        assert close_orphans(house.log) == 1
        assert close_orphans(house.log) == 0

        intent, orphan = house.records()
        index = house.log.store.head().size - 2
    assert (orphan.kind, orphan.status, orphan.reason) == (record_pb2.RECORD_KIND_ORPHAN, 0, "EFFECT_UNKNOWN")
    assert (orphan.call_id, orphan.about_index_plus_one, orphan.effect) == (call_id, index + 1, Effect.UNKNOWN)
    assert orphan.principal_pseudonym == intent.principal_pseudonym
    assert orphan.boot_id != intent.boot_id
    assert (orphan.token_sequence, list(orphan.payloads)) == (2, [])
    told = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (told["event"], told["leaf"]) == ("an intent's process is gone, effect unknown", index)
    assert (told["call_id"], told["tool"], told["level"]) == (call_id, "shop.query", "warning")
    assert audit_log(house.deployment.log_database, house.vkey).open_intents == 0


@requirement("log:orphan:never-again")
def test_its_caller_is_told_that_the_effect_is_unknown(tmp_path: Path) -> None:
    call_id = crashed(tmp_path)
    with open_house(tmp_path) as house:
        close_orphans(house.log)
        sealed = house.write(call_of(request_id="r1"), lambda: pytest.fail("run again"))
        assert house.receipts.calls.find(principal_of(), call_id=call_id).receipt == sealed.receipt

        assert isinstance(sealed.answer, Refused)
        assert (sealed.answer.reason, sealed.answer.effect) == (Reason.EFFECT_UNKNOWN, Effect.UNKNOWN)
        assert verify_receipt(sealed.receipt, house.vkey).record.kind == record_pb2.RECORD_KIND_ORPHAN
        with pytest.raises(Refused) as unknown:
            house.receipts.calls.find(principal_of("eve"), call_id=call_id)
        assert unknown.value.reason is Reason.CALL_UNKNOWN


@requirement("log:orphan:living")
def test_the_intent_of_a_process_that_lives_is_left_to_it(tmp_path: Path) -> None:
    with open_house(tmp_path) as house, open_house(tmp_path) as other:
        receipt = house.begin(call_of(request_id="r1"))

        assert close_orphans(other.log) == 0
        assert again(other) == StillRunning(0.2, is_unrecorded=True)
        receipt.__exit__(Refused, Refused(Reason.CALL_CANCELLED, "stopped"), None)
        receipt.sealing.wait()
        assert [record.kind for record in house.records()][-1] == record_pb2.RECORD_KIND_OUTCOME


@requirement("log:orphan:closed")
@pytest.mark.parametrize("moment", ["log.store.is_boot_gone", "log.append"])
def test_of_two_starts_at_once_the_quicker_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    crashed(tmp_path)
    with open_house(tmp_path) as house, open_house(tmp_path) as quicker:
        real = operator.attrgetter(moment)(house)
        closed: list[int] = []

        def meanwhile(what: object) -> object:
            closed.append(close_orphans(quicker.log))
            return real(what)

        place, _, name = moment.rpartition(".")
        monkeypatch.setattr(operator.attrgetter(place)(house), name, meanwhile)
        assert (close_orphans(house.log), closed) == (0, [1])
        assert len(house.records()) == 2


@requirement("log:orphan:closed")
def test_an_end_that_the_log_never_took_is_an_orphan_after_the_process(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:

        def act() -> None:
            full_disk(house).__enter__()  # until the connection is closed

        unavailable(lambda: house.write(call_of(request_id="r1"), act, b"x" * 200_000))
    with open_house(tmp_path) as house:
        assert close_orphans(house.log) == 1


@requirement("log:orphan:closed")
@pytest.mark.parametrize("leaf", [0, 5])
def test_nothing_is_signed_because_a_table_says_so(tmp_path: Path, leaf: int) -> None:
    with open_house(tmp_path) as house:
        house.write(call_of())
        database = house.deployment.log_database
    connection = apsw.Connection(str(database))
    connection.execute("INSERT INTO intents VALUES (?)", (leaf,))
    connection.close()

    with open_house(tmp_path) as house:
        size = house.log.store.head().size
        with pytest.raises(Misconfigured, match=f"record {leaf} "):
            close_orphans(house.log)
        assert house.log.store.head().size == size


@requirement("log:orphan:closed")
@pytest.mark.parametrize("said", [b"\xff", b""])
def test_an_intent_that_was_changed_is_not_closed(tmp_path: Path, said: bytes) -> None:
    crashed(tmp_path)
    with open_house(tmp_path) as house:
        index, _, content = house.log.store.open_intents()[0]
    connection = apsw.Connection(str(house.deployment.log_database))
    changed = said or content.replace(b"shop.query", b"shop.other")
    connection.execute("UPDATE leaves SET record = ? WHERE idx = ?", (changed, index))
    connection.close()

    with open_house(tmp_path) as house, pytest.raises(Misconfigured, match=f"record {index} "):
        close_orphans(house.log)


@requirement("log:orphan:closed")
def test_an_orphan_that_cannot_be_written_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.stores.log import StoreUnavailable
    from sandbox.stores.sqlite_writing import SqliteWriting

    def full(*_: object) -> None:
        raise StoreUnavailable("FullError")

    crashed(tmp_path)
    with open_house(tmp_path) as house:
        with monkeypatch.context() as disk:
            disk.setattr(SqliteWriting, "append", full)
            unavailable(lambda: close_orphans(house.log))
        assert house.log.store.open_intents() != []
