"""What does the SQLite store promise? One writer at a time, all or nothing, order, and errors of one kind."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from sandbox.deployment import Misconfigured
from sandbox.stores import sqlite_log
from sandbox.stores.log import Head, Rows, StoredPayload, StoredRequest, StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog

pytestmark = pytest.mark.requirement("log:commit:gapless")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteLog]:
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


def append(store: SqliteLog, index: int, **rows: object) -> None:
    leaf = index.to_bytes(32, "big")
    with store.writing() as writing:
        head = writing.head()
        assert head.size == index
        content = Rows(leaves=[(index, leaf, bytes(15) + bytes([index % 4]), b"record")], **rows)  # type: ignore[arg-type]
        writing.append(content, Head(index + 1, leaf, leaf), now_us=1_000)


def test_what_was_written_is_read_back(store: SqliteLog) -> None:
    append(
        store,
        0,
        payloads=[(0, 7, b"wrapped", b"ciphertext")],
        chains=[(b"token", 1, b"digest")],
        requests=[(b"key", 0, b"content", 2_000)],
        files=[(10, "a.yaml", 0, b"sha")],
        tiles=[(1, 0, b"root")],
    )

    assert store.head() == Head(1, bytes(32), bytes(32))
    assert store.records(0, 10) == [(0, bytes(32), b"record")]
    assert (store.record(0), store.record(1)) == (b"record", None)
    assert store.payload(0) == StoredPayload(7, b"wrapped", b"ciphertext")
    assert store.request(b"key") == StoredRequest(0, b"content", 2_000)
    assert store.file(10, "a.yaml") == (0, b"sha")
    assert store.tile_roots(1, 0, 2) == [b"root"]
    assert store.leaf_hashes(0, 5) == [bytes(32)]
    checkpoint = store.checkpoint_covering(0)
    assert checkpoint is not None
    assert (checkpoint.size, checkpoint.signature) == (1, None)
    with store.writing() as writing:
        assert writing.chain(b"token") is not None
        writing.sign([(b"signed", 1)])
    assert store.unsigned_checkpoints() == []
    signed = store.newest_signed_checkpoint()
    assert signed is not None
    assert signed.signature == b"signed"


def test_a_transaction_that_fails_leaves_nothing(store: SqliteLog) -> None:
    def fail() -> None:
        with store.writing() as writing:
            head = Head(1, b"r" * 32, b"f" * 32)
            writing.append(Rows(leaves=[(0, b"h", None, b"x"), (0, b"h", None, b"x")]), head, 0)

    with pytest.raises(StoreUnavailable, match="ConstraintError"):
        fail()
    assert store.head().size == 0
    append(store, 0)


@pytest.mark.requirement("log:unavailable:taken-away")
@pytest.mark.parametrize("ending", ["", "-wal"])
@pytest.mark.parametrize("fate", ["replaced", "gone"])
def test_nothing_is_written_to_a_file_that_nobody_finds_any_more(store: SqliteLog, ending: str, fate: str) -> None:
    append(store, 0)
    path = Path(f"{store._path}{ending}")
    content = path.read_bytes()
    path.rename(path.with_suffix(".away"))
    if fate == "replaced":
        path.write_bytes(content)

    with pytest.raises(StoreUnavailable, match=r"taken away or replaced|FileNotFoundError"):
        append(store, 1)


def test_writers_take_turns(store: SqliteLog) -> None:
    def work() -> None:
        for _ in range(20):
            with store.writing() as writing:
                size = writing.head().size
                leaf = size.to_bytes(32, "big")
                writing.append(Rows(leaves=[(size, leaf, None, b"r")]), Head(size + 1, leaf, leaf), 0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.head().size == 80
    assert [index for index, _, _ in store.records(0, 100)] == list(range(80))


def test_two_stores_on_one_file_see_each_other(store: SqliteLog, tmp_path: Path) -> None:
    other = SqliteLog(tmp_path / "log.db")
    append(store, 0)
    append(other, 1)
    append(store, 2)

    assert store.head() == other.head()
    assert other.indexes_of_call(bytes(15) + b"\x01") == [1]
    other.close()


def test_request_ids_that_have_expired_give_way(store: SqliteLog) -> None:
    append(store, 0, requests=[(b"old", 0, b"a", 10), (b"alive", 0, b"a", 5_000)])
    append(store, 1, requests=[(b"new", 1, b"b", 5_000), (b"alive", 1, b"b", 9_000)])

    assert store.request(b"old") is None
    assert store.request(b"alive") == StoredRequest(0, b"a", 5_000)
    assert store.request(b"new") == StoredRequest(1, b"b", 5_000)


def test_subjects_are_added_once_and_an_erased_one_has_no_key(store: SqliteLog, tmp_path: Path) -> None:
    with store.writing() as writing:
        writing.add_subject(b"ada", b"first")
        writing.add_subject(b"ada", b"second")
    assert store.subject(b"ada") == (1, b"first")
    connection = apsw.Connection(str(tmp_path / "log.db"))
    connection.execute("UPDATE subjects SET wrapped_key = NULL")
    connection.close()
    assert store.subject(b"ada") == (1, None)
    assert store.subject_key(1) is None


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteLog(tmp_path / "log.db")
    store.close()

    with pytest.raises(StoreUnavailable):
        store.head()
    with pytest.raises(StoreUnavailable), store.writing():
        pass


def test_a_read_only_store_neither_makes_nor_writes(store: SqliteLog, tmp_path: Path) -> None:
    append(store, 0)
    reader = SqliteLog(tmp_path / "log.db", is_read_only=True)
    assert reader.head().size == 1
    with pytest.raises(StoreUnavailable), reader.writing():
        pass
    reader.close()
    with pytest.raises(StoreUnavailable):
        SqliteLog(tmp_path / "none.db", is_read_only=True)
    assert not (tmp_path / "none.db").exists()


def test_a_file_of_another_schema_or_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    SqliteLog(path).close()
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="0640"):
        SqliteLog(path)
    path.chmod(0o600)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 4")
    connection.close()
    with pytest.raises(Misconfigured, match="schema 4"):
        SqliteLog(path)


@pytest.mark.requirement("log:store:upgraded")
def test_a_log_of_the_earlier_schema_is_read_as_it_is_and_upgraded_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    before = SqliteLog(path)
    append(before, 0)
    before.close()
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE intents; PRAGMA user_version = 2")
    connection.close()

    reader = SqliteLog(path, is_read_only=True)
    assert (reader.head().size, reader.open_intents()) == (1, [])
    reader.close()

    after = SqliteLog(path)
    assert (after.head().size, after.open_intents()) == (1, [])
    assert after._writer.pragma("user_version") == 3
    after.close()
    SqliteLog(path, is_read_only=True).close()


def test_commits_are_durable(store: SqliteLog) -> None:
    assert store._writer.pragma("synchronous") == 2
    assert store._writer.pragma("journal_mode") == "wal"


def test_a_probe_leaves_nothing_behind(store: SqliteLog) -> None:
    store.probe()

    assert list(store._writer.execute("SELECT count(*) FROM probe")) == [(0,)]


@pytest.mark.requirement("log:lock:bounded")
def test_a_lock_held_by_another_is_waited_for_and_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteLog(tmp_path / "log.db")
    monkeypatch.setattr(sqlite_log, "MAX_WAIT_S", 0.05)
    with (tmp_path / "log.db.lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable, match="too long"), store.writing():
            pytest.fail("the log was written beside its lock")
        fcntl.flock(other, fcntl.LOCK_UN)
        waiting = [thread for thread in threading.enumerate() if thread.name == "log lock"]
        for thread in waiting:
            thread.join(5)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody took it who no longer wanted it
        fcntl.flock(other, fcntl.LOCK_UN)

    with store.writing() as writing:
        assert writing.head().size == 0
    store.close()


@pytest.mark.requirement("log:lock:bounded")
def test_a_log_of_another_schema_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    SqliteLog(path).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    connection.close()
    for _ in range(2):
        with pytest.raises(Misconfigured, match="schema 99"):
            SqliteLog(path)

    assert not [link for link in Path("/proc/self/fd").iterdir() if str(path) in str(link.resolve())]
