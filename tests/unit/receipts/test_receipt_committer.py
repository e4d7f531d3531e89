"""When is a record in the log? Threads, processes, crashes, full disks."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import apsw
import pytest
from log_house import (
    House,
    call_of,
    deployment_at,
    full_disk,
    open_house,
    principal_of,
    settings_of,
    unavailable,
)

from sandbox.audit.audit import audit_log
from sandbox.audit.verify import verify_receipt
from sandbox.deployment import Misconfigured
from sandbox.receipts import Calls, ExecutionLog, LogReader
from sandbox.receipts.committed import Committed
from sandbox.receipts.committer import IDLE_S, Committer
from sandbox.receipts.note import NoteSigner
from sandbox.receipts.records import Entry
from sandbox.receipts.stored import stored_receipt
from sandbox.stores.log import StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog

requirement = pytest.mark.requirement


def appended_to(committer: Committer, record: bytes) -> Committed:
    committed = committer.put(Entry(record=record, call_id=b""))
    committed.wait()
    return committed


@requirement("log:commit:gapless")
@requirement("log:audit:clean")
def test_many_threads_make_one_gapless_tree_and_share_batches(house: House) -> None:
    sealed: list[bytes] = []

    def work(name: str) -> None:
        for number in range(12):
            principal = principal_of(name, f"token-{name}")
            sealed.append(house.answer(call_of(principal=principal, request_id=f"{name}-{number}")).receipt)

    threads = [threading.Thread(target=work, args=(f"user-{n}",)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    house.close()

    verified = [verify_receipt(receipt, house.vkey) for receipt in sealed]
    report = audit_log(house.deployment.log_database, house.vkey)
    first = min(each.index for each in verified)
    assert sorted(each.index for each in verified) == list(range(first, first + 16 * 12))
    assert (report.tree_size, report.unsigned_checkpoints) == (first + 16 * 12, 0)
    assert report.checkpoints < report.tree_size
    for name in range(16):
        token = principal_of(token=f"token-user-{name}").token_digest
        chain = [each.record.token_sequence for each in verified if each.record.token_digest == token]
        assert sorted(chain) == list(range(1, 13))


PROCESS = """
import sys
from pathlib import Path
from typing import NoReturn
sys.path[:0] = sys.argv[3:]
from log_house import call_of, open_house
with open_house(Path(sys.argv[1])) as house:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(sys.argv[2])):
        print(house.answer(call_of()).receipt.hex())
"""


@requirement("log:commit:gapless")
@requirement("log:audit:clean")
def test_two_processes_append_at_once_without_a_gap(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        begun = house.log.store.head().size
    command = [sys.executable, "-c", PROCESS, str(tmp_path), "40", str(Path(__file__).parent), str(Path.cwd())]
    processes = [
        subprocess.Popen(  # noqa: S603 - our own words
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    receipts = []
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        told, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        receipts += [bytes.fromhex(line) for line in told.split()]

    verified = [verify_receipt(receipt, house.vkey) for receipt in receipts]
    report = audit_log(house.deployment.log_database, house.vkey)
    assert sorted(each.index for each in verified) == list(range(begun, begun + 80))
    assert sorted(each.record.token_sequence for each in verified) == list(range(1, 81))
    assert (report.tree_size, report.unsigned_checkpoints) == (begun + 80, 0)


@requirement("log:commit:workers")
def test_what_one_process_has_just_answered_another_can_tell_at_once(tmp_path: Path) -> None:
    took_s = []
    with open_house(tmp_path) as one, open_house(tmp_path) as other:
        for number in range(6):
            asked, told = ((one, other), (other, one))[number % 2]
            sealed = asked.answer(call_of())
            begun = time.monotonic()
            found = Calls(told.log).find(principal_of(), call_id=sealed.call_id)
            assert found.receipt == sealed.receipt
            took_s.append(time.monotonic() - begun)
            verify_receipt(found.receipt, one.vkey)
    assert min(took_s) < IDLE_S / 2


ENDLESS = PROCESS.replace("range(int(sys.argv[2]))", "iter(int, 1)").replace(
    ".receipt.hex())", ".receipt.hex(), flush=True)"
)


@requirement("log:call:recorded")
@requirement("log:audit:clean")
def test_whoever_held_a_receipt_when_the_process_was_killed_finds_its_record(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
    command = [sys.executable, "-c", ENDLESS, str(tmp_path), "0", str(Path(__file__).parent), str(Path.cwd())]
    receipts: list[bytes] = []
    for wanted in (1, 7, 30):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            told = [process.stdout.readline() for _ in range(wanted)]
            process.kill()
            receipts += [bytes.fromhex(line) for line in told]
        with open_house(tmp_path) as house:
            reader = LogReader(house.log)
            for receipt in receipts:
                call_id = verify_receipt(receipt, house.vkey).record.call_id
                assert reader.receipt(principal_of(), call_id, own_only=True) == receipt
        report = audit_log(house.deployment.log_database, house.vkey)
        assert report.unsigned_checkpoints == 0
    assert len(receipts) == 38


class BrokenSigner:
    """Signs like another signer until it breaks."""

    def __init__(self, signer: NoteSigner) -> None:
        self._signer = signer
        self.is_broken = False

    def sign(self, size: int, root: bytes) -> bytes:
        if self.is_broken:
            raise RuntimeError("power failed")
        return self._signer.sign(size, root)

    def __getattr__(self, name: str) -> object:
        return getattr(self._signer, name)


@requirement("log:commit:durable-first")
def test_what_a_crash_left_unsigned_is_signed_at_the_next_start(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        signer = BrokenSigner(house.log.signer)
        house.log._committer._signer = signer  # type: ignore[assignment]
        signer.is_broken = True
        call = call_of(request_id="r1")
        unavailable(lambda: house.answer(call))
        size = house.log.store.head().size
    report = audit_log(house.deployment.log_database, house.vkey)
    assert (report.tree_size, report.unsigned_checkpoints) == (size, 1)

    with open_house(tmp_path) as house:
        sealed = house.answer(call_of(request_id="r1"))
        assert house.log.store.head().size == size
    assert verify_receipt(sealed.receipt, house.vkey).index == size - 1
    assert audit_log(house.deployment.log_database, house.vkey).unsigned_checkpoints == 0


@requirement("log:commit:durable-first")
def test_nothing_is_signed_that_could_not_be_committed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    signed: list[int] = []
    monkeypatch.setattr(NoteSigner, "sign", lambda _self, size, _root: signed.append(size) or b"")
    head = house.log.store.head()
    with full_disk(house):
        unavailable(lambda: house.answer(call_of(b"x" * 100_000)))

    assert signed == []
    assert house.log.store.head() == head


@requirement("log:commit:close")
def test_a_closed_log_takes_nothing_more(house: House) -> None:
    house.close()
    house.close()

    unavailable(lambda: house.answer(call_of()))


@requirement("log:commit:close")
def test_what_is_queued_when_the_log_closes_is_written(
    tmp_path: Path, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = threading.Semaphore(0)

    class Counting(queue.SimpleQueue[object]):
        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002
            super().put(item, block, timeout)
            arrived.release()

    monkeypatch.setattr("sandbox.receipts.committer.queue.SimpleQueue", Counting)
    store = SqliteLog(tmp_path / "other.db")
    committer = Committer(store, house.log.signer, list)
    appended: list[int] = []
    threads = [threading.Thread(target=lambda: appended.append(appended_to(committer, b"r").index)) for _ in range(8)]
    closing = threading.Thread(target=committer.close)
    with store.writing():  # nothing is written while somebody else holds the log
        for thread in threads:
            thread.start()
        for _ in threads:
            arrived.acquire()
        closing.start()
        arrived.acquire()
    for thread in (*threads, closing):
        thread.join()

    assert sorted(appended) == list(range(8))
    assert store.unsigned_checkpoints() == []
    store.close()


@requirement("log:commit:outlives")
def test_the_committer_outlives_an_error_nobody_foresaw(tmp_path: Path, house: House) -> None:
    raised = threading.Event()

    def broken() -> NoReturn:
        raised.set()
        raise ZeroDivisionError

    store = SqliteLog(tmp_path / "other.db")
    committer = Committer(store, house.log.signer, broken)
    appended_to(committer, b"a")
    assert raised.wait(10)

    assert appended_to(committer, b"b").index == 1
    committer.close()
    store.close()


@requirement("log:commit:close")
def test_a_committer_refuses_entries_behind_its_end(tmp_path: Path, house: House) -> None:
    store = SqliteLog(tmp_path / "other.db")
    committer = Committer(store, house.log.signer, list)
    appended_to(committer, b"")
    committer.close()
    with pytest.raises(StoreUnavailable):
        appended_to(committer, b"")
    store.close()


@requirement("log:start:checked")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE leaves SET hash = zeroblob(32) WHERE idx = 3",
        "DELETE FROM leaves WHERE idx = (SELECT max(idx) FROM leaves)",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE head SET size = size - 1",
        "DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)",
        "UPDATE checkpoints SET signature = zeroblob(64)",
        "UPDATE checkpoints SET root = zeroblob(32), signature = NULL WHERE size = 3",
        "INSERT INTO leaves VALUES (10000, x'00', NULL, x'')",
    ],
)
def test_a_log_that_disagrees_with_itself_is_not_written_on(tmp_path: Path, change: str) -> None:
    with open_house(tmp_path) as house:
        for _ in range(3):
            house.answer(call_of())
    connection = apsw.Connection(str(house.deployment.log_database))
    connection.execute(change)
    connection.close()

    with pytest.raises(Misconfigured, match="log"):
        ExecutionLog.open(house.deployment, settings_of())


@requirement("log:keys:private")
def test_another_key_or_a_key_that_others_can_read_opens_nothing(tmp_path: Path) -> None:
    with open_house(tmp_path / "a") as house:
        house.answer(call_of())
    keys = house.deployment.keys
    other = deployment_at(tmp_path / "b").keys
    (keys / "log.key").chmod(0o644)
    with pytest.raises(Misconfigured, match="0644"):
        ExecutionLog.open(house.deployment, settings_of())
    for name in ("log.key", "log.vkey"):
        (keys / name).unlink()
        (keys / name).write_bytes((other / name).read_bytes())
        (keys / name).chmod(0o600)
        with pytest.raises(Misconfigured, match="key"):
            ExecutionLog.open(house.deployment, settings_of())


@requirement("log:keys:private")
@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31, b"00" * 33, b"\xff" * 64])
def test_a_root_key_is_64_hexadecimal_digits(tmp_path: Path, content: bytes) -> None:
    deployment = deployment_at(tmp_path)
    (deployment.keys / "root.key").write_bytes(content)

    with pytest.raises(Misconfigured, match=r"root\.key"):
        ExecutionLog.open(deployment, settings_of())


@requirement("log:keys:private")
def test_files_of_the_log_are_for_their_owner_alone(house: House) -> None:
    house.answer(call_of())

    modes = {path.name: path.stat().st_mode & 0o777 for path in house.deployment.state.iterdir()}
    assert {"log.db", "log.db-wal", "log.db-shm", "log.db.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}
    assert house.deployment.state.stat().st_mode & 0o777 == 0o700


@requirement("log:proofs:any-tree")
def test_receipts_long_after_are_the_same_across_tiles(house: House) -> None:
    """More than one tile of 256 leaves, batches of odd sizes."""
    store = house.log.store
    committer = house.log._committer
    given = {}
    for batch in (100, 155, 1, 2, 260, 30):
        waiting = [
            Committed(Entry(record=b"r" * n, call_id=n.to_bytes(2, "big") + bytes([batch % 256]) * 14))
            for n in range(1, batch + 1)
        ]
        committer._commit(waiting)
        for each in waiting[:: max(1, batch // 7)]:
            given[each.index] = each.receipt
    for index, receipt in given.items():
        assert stored_receipt(store, house.log.note_of, index, store.record(index) or b"") == receipt
    assert LogReader(house.log).consistency_proof(store.checkpoints(0, 1)[0].size, 0)[0]
