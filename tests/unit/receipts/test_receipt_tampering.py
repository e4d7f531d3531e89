"""Whoever can write the log's files, but has no key: what can they make us sign, and what do they break?"""

from __future__ import annotations

import base64
import time
from pathlib import Path

import apsw
import pytest
from log_house import House, call_of, change, deployment_at, open_house, principal_of, settings_of

from sandbox.deployment import Misconfigured
from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts import ExecutionLog, LogReader, log, opening
from sandbox.receipts import checkpoints as checkpoints_module
from sandbox.receipts.committer import MAX_BATCH
from sandbox.receipts.records import MAX_ENTRY_BYTES, MAX_LISTED, MAX_LISTED_BYTES, Entry, listed
from sandbox.receipts.stored import StoredTree
from sandbox.receipts.tree import GrownTree, complete_subtrees, leaf_hash
from sandbox.stores.log import Head, StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement


def refused(house: House) -> bool:
    try:
        house.answer(call_of())
    except Refused as refusal:
        return refusal.reason is Reason.RECEIPT_LOG_UNAVAILABLE
    return False


@requirement("log:start:checked")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE head SET frontier = zeroblob(length(frontier))",
        "UPDATE head SET frontier = x''",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE head SET size = size - 1",
    ],
)
def test_a_head_changed_beneath_a_running_service_is_not_grown(tmp_path: Path, statement: str) -> None:
    with open_house(tmp_path) as house:
        for _ in range(5):
            house.answer(call_of())
        before = house.log.newest_checkpoint()
        change(house, statement)

        assert refused(house)
        assert house.log.newest_checkpoint() == before


@requirement("log:start:checked")
def test_a_head_that_does_not_hold_together_is_not_opened(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
    change(house, "UPDATE head SET frontier = zeroblob(length(frontier))")

    with pytest.raises(Misconfigured, match="hold together"):
        ExecutionLog.open(house.deployment, settings_of())


@requirement("log:start:checked")
def test_what_comes_between_the_look_and_the_signature_is_not_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())

    def look_and_be_deceived(*_: object) -> None:
        change(house, "INSERT INTO checkpoints VALUES (999999, zeroblob(32), NULL, x'')")

    monkeypatch.setattr(log, "check_before_opening", look_and_be_deceived)
    with pytest.raises(Misconfigured, match="nothing is signed"):
        ExecutionLog.open(house.deployment, settings_of())

    store = SqliteLog(house.deployment.log_database, is_read_only=True)
    assert [each.size for each in store.unsigned_checkpoints()] == [999999]
    store.close()


@requirement("log:start:checked")
def test_a_first_record_that_is_none_is_told_in_a_sentence(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
    change(house, "UPDATE leaves SET record = x'ff' WHERE idx = 0")

    with pytest.raises(Misconfigured, match="cannot be read"):
        ExecutionLog.open(house.deployment, settings_of())


@requirement("log:keys:private")
def test_another_root_key_opens_nothing(tmp_path: Path) -> None:
    with open_house(tmp_path / "a") as house:
        house.answer(call_of())
    other = deployment_at(tmp_path / "b").keys / "root.key"
    (house.deployment.keys / "root.key").write_bytes(other.read_bytes())

    with pytest.raises(Misconfigured, match=r"another key than keys/root\.key"):
        ExecutionLog.open(house.deployment, settings_of())


@requirement("log:start:checked")
def test_a_service_that_writes_meanwhile_is_no_tampering(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.answer(call_of())
    head, real = house.log.store.head(), SqliteLog.head
    old = Head(head.size - 1, b"", b"")
    heads = [old]
    monkeypatch.setattr(SqliteLog, "head", lambda store: heads.pop() if heads else real(store))

    assert opening.found_wrong(house.log.store, house.log.signer) == ""
    assert heads == []


@requirement("log:audit:published")
def test_evidence_of_a_rollback_stays_after_the_log_has_grown_past_it(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        for _ in range(9):
            house.answer(call_of())
        file = house.deployment.checkpoint
        size = house.log.store.head().size - 2
        evidence = b"origin\n%d\n%b\n\n" % (size, base64.b64encode(bytes(32)))
        file.write_bytes(evidence)

        LogReader(house.log, file).publish()

        assert file.read_bytes() == evidence


@requirement("log:audit:published")
def test_a_checkpoint_that_could_not_be_left_is_left_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, file, real = LogReader(house.log, house.deployment.checkpoint), house.deployment.checkpoint, []
    house.answer(call_of())
    full = [OSError("no space")]

    def once_full(path: Path, content: bytes, mode: int) -> None:
        assert mode == 0o600
        if full:
            raise full.pop()
        real.append(content)
        path.write_bytes(content)

    monkeypatch.setattr(checkpoints_module, "replace_file", once_full)
    reader.publish()
    assert not file.exists()
    reader.publish()

    assert [file.read_bytes()] == real


@requirement("log:refusals:bounded")
def test_what_an_erased_subject_was_refused_stays_counted_and_so_does_everybody_elses(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        for name in ("ada", "bob", "eve"):
            house.answer(call_of(principal=principal_of(name, f"token-{name}")))
            house.log.refusals.tally(name, "", "RATE_LIMITED", time.monotonic())
        lookup = house.log.root.derive(b"subject", b"bob")
        with house.log.store.writing():
            house.log.store._writer.execute("UPDATE subjects SET wrapped_key = NULL WHERE lookup = ?", (lookup,))  # type: ignore[attr-defined]
        house.log.subjects._cached.clear()
    with open_house(tmp_path) as again:
        records = [record_pb2.Record.FromString(content) for _, _, content in again.log.store.records(0, 1000)]

    counted = [each for each in records if each.kind == record_pb2.RECORD_KIND_REFUSALS_COUNTED]
    assert [each.counted for each in counted] == [1, 1, 1]
    assert sorted(bool(each.principal_pseudonym) for each in counted) == [False, True, True]


@requirement("log:refusals:bounded")
def test_only_what_was_not_written_is_counted_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    committer, real = house.log._committer, house.log.store.writing
    tallies = [(f"user-{n}", "", "RATE_LIMITED", 1) for n in range(MAX_BATCH + 40)]
    batches = iter([None, StoreUnavailable("full")])

    def second_fails() -> object:
        if failure := next(batches, None):
            raise failure
        return real()

    put_back: list[int] = []
    entries = [(Entry(record=b"r", call_id=b""), (lambda n=n: put_back.append(n))) for n in range(len(tallies))]
    monkeypatch.setattr(house.log.store, "writing", second_fails)
    monkeypatch.setattr(committer, "_due", lambda: entries)
    committer._commit_due(is_last=True)

    assert put_back == list(range(MAX_BATCH, len(tallies)))


@requirement("log:record:bounded")
def test_a_record_lists_no_more_than_a_log_entry_holds(house: House) -> None:
    assert len(listed(f"c{n}" for n in range(10_000))) == MAX_LISTED
    assert sum(map(len, listed("é" * 300 for _ in range(256)))) * 2 <= MAX_LISTED_BYTES
    with pytest.raises(Fault):
        house.log.append(Entry(record=bytes(MAX_ENTRY_BYTES + 1), call_id=b""))


def cut(house: House, size: int) -> None:
    """Cut the log to its first records, as whoever copies an older file over it does; every part agrees."""
    tree = StoredTree(house.log.store)
    frontier = b"".join(tree.node(start, end) for start, end in complete_subtrees(size))
    connection = apsw.Connection(str(house.deployment.log_database))
    for table, column in (("leaves", "idx"), ("checkpoints", "size - 1"), ("files", "idx"), ("requests", "idx")):
        connection.execute(f"DELETE FROM {table} WHERE {column} >= ?", (size,))  # noqa: S608 - names of this test
    connection.execute("DELETE FROM payloads WHERE id / 16 >= ?", (size,))
    connection.execute("DELETE FROM chains")
    connection.execute("UPDATE head SET size = ?, root = ?, frontier = ?", (size, tree.node(0, size), frontier))
    connection.close()


def forge_last(house: House) -> None:
    """Put another record in place of the last one, with hashes that fit, as if a crash had left it unsigned."""
    head = house.log.store.head()
    record = record_pb2.Record.FromString(house.log.store.record(head.size - 1) or b"")
    record.rows = 4242
    forged = record.SerializeToString()
    kept = StoredTree(house.log.store)
    frontier = b"".join(kept.node(start, end) for start, end in complete_subtrees(head.size - 1))
    grown = GrownTree(head.size - 1, frontier, [leaf_hash(forged)])
    connection = apsw.Connection(str(house.deployment.log_database))
    connection.execute(
        "UPDATE leaves SET record = ?, hash = ? WHERE idx = ?", (forged, leaf_hash(forged), head.size - 1)
    )
    connection.execute("UPDATE head SET root = ?, frontier = ?", (grown.root(), grown.frontier()))
    connection.execute("UPDATE checkpoints SET root = ?, signature = NULL WHERE size = ?", (grown.root(), head.size))
    connection.close()


@requirement("log:start:sealed")
def test_a_log_cut_beneath_a_running_service_is_never_grown_however_often_it_is_asked(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        for _ in range(5):
            house.answer(call_of())
        cut(house, house.log.store.head().size - 3)

        assert [refused(house) for _ in range(3)] == [True] * 3


@requirement("log:start:sealed")
def test_a_record_forged_beneath_a_running_service_is_never_signed(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        for _ in range(5):
            house.answer(call_of())
        forge_last(house)

        assert [refused(house) for _ in range(3)] == [True] * 3


@requirement("log:start:sealed")
def test_a_record_forged_between_stop_and_start_is_never_signed(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
    store = house.log.store = SqliteLog(house.deployment.log_database, is_read_only=True)
    forge_last(house)
    store.close()

    with pytest.raises(Misconfigured, match="not made with our key"):
        ExecutionLog.open(house.deployment, settings_of())


@requirement("log:start:left")
def test_a_log_older_than_the_checkpoint_left_beside_it_is_not_opened(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        for _ in range(5):
            house.answer(call_of())
        LogReader(house.log, house.deployment.checkpoint).publish()
        size = house.log.store.head().size
    store = house.log.store = SqliteLog(house.deployment.log_database, is_read_only=True)
    cut(house, size - 2)
    store.close()

    with pytest.raises(Misconfigured, match=f"not grown from the {size} records"):
        ExecutionLog.open(house.deployment, settings_of())
    house.deployment.checkpoint.unlink()  # a restore that was meant
    ExecutionLog.open(house.deployment, settings_of()).close()
