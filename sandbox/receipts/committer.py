"""When is a record in the log? One thread a process appends batches: durable first, then signed, then released.

No timer gathers a batch: whoever comes while one is being written is in the next.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, final

from sandbox.receipts.note import NoteSigner
from sandbox.receipts.proof import proof_text
from sandbox.receipts.records import Entry, in_chain
from sandbox.receipts.tree import GrownTree, inclusion_path, leaf_hash
from sandbox.stores.log import MAX_PAYLOADS, TILE_BITS, Chain, Head, LogStore, Rows, StoreUnavailable, Writing

MAX_BATCH: Final = 256
"""Beyond this many records a batch gains nothing (research: 64 is within 6 % of 256)."""

IDLE_S: Final = 1.0
"""How often the thread looks for counted refusals whose window has ended while nobody calls."""


@final
class Committed:
    """A record that has found its place, or the reason why it has none."""

    __slots__ = ("_note", "_tree", "_waiting", "entry", "failure", "index", "record")

    def __init__(self, entry: Entry) -> None:
        """Begin to wait for `entry`."""
        self.entry = entry
        self.index = -1
        self.record = b""
        self.failure: BaseException | None = None
        self._tree: GrownTree | None = None
        self._note = b""
        self._waiting = threading.Lock()
        self._waiting.acquire()

    def wait(self) -> None:
        """Block until the batch is durable and signed; raise `StoreUnavailable` if it is not."""
        self._waiting.acquire()
        if self.failure is not None:
            raise StoreUnavailable(str(self.failure)) from self.failure

    def receipt(self) -> bytes:
        """Return the receipt's text."""
        if self._tree is None:
            raise StoreUnavailable("the record was not committed")
        return proof_text(self.record, self.index, inclusion_path(self._tree, self.index, self._tree.size), self._note)

    def place(self, index: int, record: bytes) -> None:
        """Note the place; the batch is not yet durable."""
        self.index, self.record = index, record

    def settle(self, tree: GrownTree, note: bytes) -> None:
        """Release the waiting thread with what its receipt is made of."""
        self._tree, self._note = tree, note
        self._waiting.release()

    def fail(self, failure: BaseException) -> None:
        """Release the waiting thread without a place."""
        self.failure = failure
        self._waiting.release()


@final
class Committer:
    """Appends entries to the log, a batch at a time."""

    def __init__(self, store: LogStore, signer: NoteSigner, due: Callable[[], Iterable[Entry]]) -> None:
        """Append to `store`; `due` gives entries nobody waits for (counted refusals whose window has ended)."""
        self._store = store
        self._signer = signer
        self._due = due
        self._queue: queue.SimpleQueue[Committed | None] = queue.SimpleQueue()
        self._chains: dict[bytes, Chain] = {}
        self._size = -1
        self._unwritten: list[tuple[bytes, int]] = []
        self.failure: BaseException | None = None
        """Why the last batch failed; None while the log can be written."""
        self._is_closing = False
        self._sign_unsigned()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> Committed:
        """Append an entry and wait until it is durable and signed; raises `StoreUnavailable`."""
        committed = Committed(entry)
        if self._is_closing:
            raise StoreUnavailable("the log is closed")
        self._queue.put(committed)
        committed.wait()
        return committed

    def close(self) -> None:
        """Append what is queued and due, write back signatures, end the thread."""
        self._is_closing = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._gather()
            batch += [Committed(entry) for entry in self._due()]
            for start in range(0, len(batch), MAX_BATCH):
                self._commit(batch[start : start + MAX_BATCH])
        self._write_back()

    def _gather(self) -> tuple[list[Committed], bool]:
        try:
            first = self._queue.get(timeout=IDLE_S)
        except queue.Empty:
            return [], False
        if first is None:
            return [], True
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                further = self._queue.get_nowait()
            except queue.Empty:
                break
            if further is None:
                return batch, True
            batch.append(further)
        return batch, False

    def _commit(self, batch: list[Committed]) -> None:
        try:
            with self._store.writing() as writing:
                tree = self._append(writing, batch)
            root = tree.root()
            signature = self._signer.sign(tree.size, root)
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it is
            self.failure = error
            self._size = -1
            for committed in batch:
                committed.fail(error)
            return
        self.failure = None
        self._unwritten.append((signature, tree.size))
        note = self._signer.note(tree.size, root, signature)
        for committed in batch:
            committed.settle(tree, note)

    def _append(self, writing: Writing, batch: list[Committed]) -> GrownTree:
        head = writing.head()
        if head.size != self._size:  # another process appended, or nothing is known yet
            self._chains.clear()
        rows = Rows(signatures=self._unwritten)
        hashes: list[bytes] = []
        for index, committed in enumerate(batch, start=head.size):
            record = self._chained(writing, committed.entry, rows)
            committed.place(index, record)
            hashes.append(leaf_hash(record))
            _add_rows(rows, committed.entry, index, hashes[-1], record)
        tree = GrownTree(head.size, head.frontier, hashes)
        rows.tiles = list(tree.completed(head.size, TILE_BITS))
        writing.append(rows, Head(tree.size, tree.root(), tree.frontier()), time.time_ns() // 1000)
        self._size, self._unwritten = tree.size, []
        return tree

    def _chained(self, writing: Writing, entry: Entry, rows: Rows) -> bytes:
        token = entry.token_digest
        if not token:
            return entry.record
        chain = self._chains.get(token) or writing.chain(token) or Chain(0, b"")
        record = in_chain(entry.record, chain.sequence + 1, chain.record_digest)
        chain = self._chains[token] = Chain(chain.sequence + 1, hashlib.sha256(record).digest())
        rows.chains.append((token, chain.sequence, chain.record_digest))
        return record

    def _sign_unsigned(self) -> None:
        """Sign what a crash between commit and signature left unsigned."""
        unsigned = self._store.unsigned_checkpoints()
        if unsigned:
            with self._store.writing() as writing:
                writing.sign([(self._signer.sign(each.size, each.root), each.size) for each in unsigned])

    def _write_back(self) -> None:
        if self._unwritten:
            try:
                with self._store.writing() as writing:
                    writing.sign(self._unwritten)
            except StoreUnavailable:
                return  # the next start signs them again; Ed25519 gives the same bytes


def _add_rows(rows: Rows, entry: Entry, index: int, leaf: bytes, record: bytes) -> None:
    rows.leaves.append((index, leaf, entry.call_id or None, record))
    for position, payload in enumerate(entry.payloads):
        stored = payload.stored
        payload_id = index * MAX_PAYLOADS + position
        rows.payloads.append((payload_id, stored.subject, stored.wrapped_key, stored.ciphertext))
    if entry.request is not None:
        key, content, expires_us = entry.request
        rows.requests.append((key, index, content, expires_us))
    if entry.file is not None:
        kind, name, digest = entry.file
        rows.files.append((kind, name, index, digest))
