"""How does the log rest in one SQLite file? WAL, synchronous=FULL, shared by the processes of one host."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, final

import apsw

from sandbox.deployment import Misconfigured
from sandbox.stores.boots import Boots
from sandbox.stores.file_lock import FileLock, held_if_free
from sandbox.stores.log import (
    SCHEMA_VERSION,
    Chain,
    Head,
    StoredCheckpoint,
    StoredPayload,
    StoredRequest,
    StoredTables,
    StoreUnavailable,
    Writing,
)
from sandbox.stores.sqlite_rows import REQUEST, blob, checkpoint_of, engine_errors, head_of, request_of, whole
from sandbox.stores.sqlite_schema import BUSY_MS, UPGRADES, check_tables, make_log
from sandbox.stores.sqlite_writing import SqliteWriting

MAX_WAIT_S: Final = 10.0
WAL_PAGES: Final = 4_000
"""About 16 MiB of write-ahead log between moves into the main file."""
PROBE_BYTES: Final = 64 * 1024
EMPTYING_MS: Final = 100
"""How long callers wait at most for readers that keep the write-ahead log from being emptied."""


@final
class SqliteLog:
    """The log in one file: many readers, one writer at a time among all threads and processes."""

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        """Open the log at `path`, making it (mode 0600) if there is none and it may be written.

        Raises `Misconfigured` for a file of another schema, `StoreUnavailable` if it cannot be opened or its tables are
        not those of its schema.
        """
        self._path = path
        self._wal = Path(f"{path}-wal")
        self._is_read_only = is_read_only
        self._flags = apsw.SQLITE_OPEN_READONLY if is_read_only else apsw.SQLITE_OPEN_READWRITE
        self._free: list[apsw.Connection] = []
        self._lock = threading.Lock()
        self._is_closed = False
        with engine_errors(), ExitStack() as unless_whole:
            if not is_read_only:
                make_log(path)
            self._opened_as = _identity(path)
            self._wal_opened_as: tuple[int, int] | None = None
            self._boots = Boots(Path(f"{path}.boots"))
            unless_whole.callback(self._boots.close)
            self._writer = self._opened()
            unless_whole.callback(self._writer.close)
            self._lock_file = None if is_read_only else os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            if self._lock_file is not None:
                unless_whole.callback(os.close, self._lock_file)
            self._file_lock = None if self._lock_file is None else FileLock(self._lock_file)
            self._version = whole(self._writer.pragma("user_version"))
            if self._version != SCHEMA_VERSION and not (is_read_only and self._version in UPGRADES):
                what = f"a log of schema {self._version}; this version reads and writes {SCHEMA_VERSION}"
                raise Misconfigured(f"{path}: {what}")
            check_tables(self._writer, self._version)
            unless_whole.pop_all()

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """One transaction: alone among all processes, durable once the block has been left."""
        # WHY: a file lock before BEGIN; SQLite's own waiting starves one of two busy processes (237 against 20,430).
        with self._alone(), engine_errors():
            if self._is_closed or self._file_lock is None:
                raise StoreUnavailable("the log is closed or read-only")
            self._file_lock.take(MAX_WAIT_S)
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield SqliteWriting(self._writer)
                    self._must_be_in_place()
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    raise
            finally:
                self._file_lock.give_back()

    def _must_be_in_place(self) -> None:
        """Raise `StoreUnavailable` if a file of the log was taken away.

        # INVARIANT: what is committed is found by others; a file without a name still takes what nobody finds.
        """
        wal = _identity(self._wal)
        if self._wal_opened_as is None:
            self._wal_opened_as = wal
        if (_identity(self._path), wal) != (self._opened_as, self._wal_opened_as):
            raise StoreUnavailable("a file of the log was taken away or replaced")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=MAX_WAIT_S):
            raise StoreUnavailable("another thread holds the log for too long")
        try:
            yield
        finally:
            self._lock.release()

    def removing(self) -> AbstractContextManager[bool]:
        """Whether the block is alone among all processes in removing payloads; it does not wait to be."""
        return held_if_free(Path(f"{self._path}.removing"))

    def empty_write_ahead_log(self) -> bool:
        """Move what the write-ahead log holds into the main file and empty it; whether nobody kept it from that."""
        with self._alone(), engine_errors():
            if self._is_closed or self._file_lock is None:
                raise StoreUnavailable("the log is closed or read-only")
            self._file_lock.take(MAX_WAIT_S)
            self._writer.set_busy_timeout(EMPTYING_MS)
            try:
                ((is_busy, _, _),) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._writer.set_busy_timeout(BUSY_MS)
                self._file_lock.give_back()
        return not is_busy

    def probe(self) -> None:
        """Write and sync something worth a few pages, and take it back."""
        with self.writing():
            self._writer.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
        with self.writing():
            self._writer.execute("DELETE FROM probe")

    def close(self) -> None:
        """Close every connection that is not in use; the last one of all processes empties the write-ahead log."""
        with self._lock:
            self._is_closed = True
            while self._free:
                self._free.pop().close()
            self._writer.close()
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None
            self._boots.close()

    def head(self) -> Head:
        """The tree as it stands."""
        with self._reading() as connection:
            return head_of(connection)

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """The hashes of leaves `start` to `end` (exclusive), in order."""
        return [
            blob(row[0])
            for row in self._rows("SELECT hash FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx", start, end)
        ]

    def tile_roots(self, level: int, start: int, end: int) -> list[bytes]:
        """Stored subtree roots of one level, in order."""
        query = "SELECT hash FROM tiles WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
        return [blob(row[0]) for row in self._rows(query, level, start, end)]

    def damage(self) -> str:
        """What SQLite finds wrong in the file (`PRAGMA integrity_check`), in its words; empty if nothing is.

        Pages, the order of rows, and each index against its table: rows that a scan meets and a look-up does not.
        """
        said = [str(row[0]) for row in self._rows("PRAGMA integrity_check(1)")]
        return "" if said == ["ok"] else " ".join(said).removeprefix("*** in database main ***\n")

    def records(self, start: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf hash, record), in order."""
        query = "SELECT idx, hash, record FROM leaves WHERE idx >= ? ORDER BY idx LIMIT ?"
        return [(whole(index), blob(leaf), blob(record)) for index, leaf, record in self._rows(query, start, limit)]

    def record(self, index: int) -> bytes | None:
        """One record's bytes."""
        return next((blob(row[0]) for row in self._rows("SELECT record FROM leaves WHERE idx = ?", index)), None)

    def call_keys(self, start: int, limit: int) -> list[tuple[int, bytes | None]]:
        """(index, call id) by which records are found, in order."""
        rows = self._rows("SELECT idx, call_id FROM leaves WHERE idx >= ? ORDER BY idx LIMIT ?", start, limit)
        return [(whole(index), None if key is None else blob(key)) for index, key in rows]

    def indexes_of_call(self, call_id: bytes) -> list[int]:
        """The records of a call, in order."""
        return [whole(row[0]) for row in self._rows("SELECT idx FROM leaves WHERE call_id = ? ORDER BY idx", call_id)]

    def payload(self, payload_id: int) -> StoredPayload | None:
        """One encrypted payload."""
        return next((stored for _, stored in self.payloads(payload_id, payload_id + 1)), None)

    def payloads(self, start: int, end: int) -> Iterator[tuple[int, StoredPayload]]:
        """Payloads with `start <= id < end`, in order."""
        query = "SELECT id, subject, wrapped_key, ciphertext FROM payloads WHERE id >= ? AND id < ? ORDER BY id"
        with self._reading() as connection:  # a row at a time, for a few may be larger than memory
            for payload_id, subject, wrapped, ciphertext in connection.execute(query, (start, end)):
                yield whole(payload_id), StoredPayload(whole(subject), blob(wrapped), blob(ciphertext))

    def count_payloads(self, start: int, end: int, kept_subject: int) -> int:
        """How many payloads have `start <= id < end`, but for those of `kept_subject`."""
        query = "SELECT count(*) FROM payloads WHERE id >= ? AND id < ? AND subject != ?"
        rows = self._rows(query, start, end, kept_subject)
        return sum(whole(row[0]) for row in rows)

    def needed_from(self, now_us: int) -> int | None:
        """The first leaf that an open intent or a `request_id` not yet expired at `now_us` leads to."""
        query = (
            "SELECT min(idx) FROM (SELECT idx FROM intents UNION ALL SELECT idx FROM requests WHERE expires_us >= ?)"
        )
        return next((whole(row[0]) for row in self._rows(query, now_us) if row[0] is not None), None)

    def checkpoint_covering(self, index: int) -> StoredCheckpoint | None:
        """The first checkpoint whose tree holds the leaf."""
        return next(iter(self.checkpoints(index, 1)), None)

    def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """Checkpoints of sizes greater than `after`, in order."""
        query = "SELECT size, root, signature, seal FROM checkpoints WHERE size > ? ORDER BY size LIMIT ?"
        return [checkpoint_of(row) for row in self._rows(query, after, limit)]

    def unsigned_checkpoints(self) -> list[StoredCheckpoint]:
        """Checkpoints whose signature has not been written back."""
        query = "SELECT size, root, signature, seal FROM checkpoints WHERE signature IS NULL ORDER BY size"
        return [checkpoint_of(row) for row in self._rows(query)]

    def newest_signed_checkpoint(self) -> StoredCheckpoint | None:
        """The largest checkpoint that has a signature."""
        query = (
            "SELECT size, root, signature, seal FROM checkpoints WHERE signature IS NOT NULL ORDER BY size DESC LIMIT 1"
        )
        return next((checkpoint_of(row) for row in self._rows(query)), None)

    def request(self, key: bytes) -> StoredRequest | None:
        """What a `request_id` led to."""
        return next(map(request_of, self._rows(REQUEST, key)), None)

    def subject(self, lookup: bytes) -> tuple[int, bytes | None] | None:
        """(id, wrapped key; None once erased)."""
        rows = self._rows("SELECT id, wrapped_key FROM subjects WHERE lookup = ?", lookup)
        return next(((whole(i), None if key is None else blob(key)) for i, key in rows), None)

    def subject_key(self, subject: int) -> bytes | None:
        """The wrapped key of a subject; None once erased."""
        rows = self._rows("SELECT wrapped_key FROM subjects WHERE id = ?", subject)
        return next((None if row[0] is None else blob(row[0]) for row in rows), None)

    def tables(self) -> StoredTables:
        """What the tables beside the tree say, all of one moment."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                intents = connection.execute("SELECT idx FROM intents") if self._version == SCHEMA_VERSION else ()
                chains = connection.execute("SELECT token, sequence, digest FROM chains")
                files = connection.execute("SELECT kind, name, idx, digest FROM files")
                ((tiles, end),) = connection.execute(
                    "SELECT (SELECT count(*) FROM tiles), (SELECT coalesce(max(id), -1) + 1 FROM payloads)"
                )
                return StoredTables(
                    head=head_of(connection),
                    open_intents=frozenset(whole(index) for (index,) in intents),
                    chains={blob(token): Chain(whole(sequence), blob(digest)) for token, sequence, digest in chains},
                    files={(whole(kind), str(name)): (whole(at), blob(digest)) for kind, name, at, digest in files},
                    tiles=whole(tiles),
                    payloads_end=whole(end),
                )
            finally:
                connection.execute("COMMIT")

    def file(self, kind: int, name: str) -> tuple[int, bytes] | None:
        """(index, SHA-256) of the newest leaf that holds the file."""
        rows = self._rows("SELECT idx, digest FROM files WHERE kind = ? AND name = ?", kind, name)
        return next(((whole(index), blob(digest)) for index, digest in rows), None)

    def open_intents(self) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf hash, record) of each intent whose end no leaf tells, in order."""
        if self._version < SCHEMA_VERSION:
            return []  # opened read-only before its upgrade
        query = "SELECT idx, hash, record FROM intents JOIN leaves USING (idx) ORDER BY idx"
        return [(whole(index), blob(leaf), blob(record)) for index, leaf, record in self._rows(query)]

    def hold_boot(self, boot: bytes) -> None:
        """Tell all processes of this host that `boot` lives."""
        with engine_errors():
            self._boots.hold(boot)

    def is_boot_gone(self, boot: bytes) -> bool:
        """Whether no process of this host holds `boot`."""
        with engine_errors():
            return self._boots.is_gone(boot)

    def sweep_boots(self) -> None:
        """Remove the files of those who are gone."""
        with engine_errors():
            self._boots.sweep()

    def _rows(self, query: str, *parameters: apsw.SQLiteValue) -> list[tuple[apsw.SQLiteValue, ...]]:
        with self._reading() as connection:
            return list(connection.execute(query, parameters))

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        with engine_errors():
            if self._is_closed:
                raise StoreUnavailable("the log is closed")
            try:
                connection = self._free.pop()
            except IndexError:
                connection = self._opened()
            yield connection
            self._free.append(connection)

    def _opened(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), flags=self._flags)
        connection.set_busy_timeout(BUSY_MS)
        for schema_may in (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, apsw.SQLITE_DBCONFIG_ENABLE_VIEW):
            # INVARIANT: whoever can write the file has no statement of theirs run by whoever reads or writes it.
            connection.config(schema_may, 0)
        if not self._is_read_only:
            connection.execute(f"PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        return connection


def _identity(path: Path) -> tuple[int, int]:
    facts = os.stat(path)  # noqa: PTH116 - a microsecond less than Path, once a batch
    return facts.st_dev, facts.st_ino


def copy_log(path: Path, place: Path) -> None:
    """Copy the log at `path` as it stands to the new file `place` (mode 0600), also while it is written.

    Raises `StoreUnavailable`.
    """
    with engine_errors():
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        source = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            source.set_busy_timeout(BUSY_MS)
            copy = apsw.Connection(str(place), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                with copy.backup("main", source, "main") as backup:
                    backup.step(-1)  # all of it in one reading transaction, which no writer waits for
                copy.execute("PRAGMA journal_mode = WAL")
            finally:
                copy.close()
        finally:
            source.close()
