"""When is a record in the log? One thread a process appends batches: durable first, then signed, then released.

No timer gathers a batch: whoever comes while one is being written is in the next.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, final

from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts.committed import Committed, nothing
from sandbox.receipts.note import NoteSigner
from sandbox.receipts.opening import found_wrong, has_grown_from
from sandbox.receipts.proof import line
from sandbox.receipts.randomness import Randomness
from sandbox.receipts.records import Draft, Entry, in_chain
from sandbox.receipts.tree import GrownTree, leaf_hash
from sandbox.stores.log import (
    MAX_PAYLOADS,
    TILE_BITS,
    Chain,
    Head,
    LogStore,
    Rows,
    StoredCheckpoint,
    StoreUnavailable,
    Writing,
)

MAX_BATCH: Final = 256
"""Beyond this many records a batch gains nothing (research: 64 is within 6 % of 256)."""

MAX_QUEUED: Final = 4_096
"""Records that may wait while the log is held up: callers may hang up without taking their calls back."""

MAX_CHAINS: Final = 10_000
"""Tokens whose chain is remembered; of others the store tells."""

MAX_FOLLOWED: Final = 65_536
"""Leaves of other processes that are followed one by one; beyond, the tree is looked up as at a start."""

SIGNED_WITHIN_S: Final = 1.0
"""How long a reader waits for the signature of a batch that is durable already."""

WRITE_BACK_S: Final = 0.05
"""A signature that no further batch has taken along is written by itself, so that whoever reads the file meets it."""

IDLE_S: Final = 1.0
"""How often the thread looks for counted refusals whose window has ended while nobody calls."""


Due = Callable[[], Sequence[tuple[Entry, Callable[[], None]]]]
"""Gives counted refusals whose window has ended, each with a way to put it back if it cannot be written."""


@final
class Committer:
    """Appends entries to the log, a batch at a time."""

    def __init__(self, store: LogStore, signer: NoteSigner, due: Due, look: Callable[[], None] = nothing) -> None:
        """Append to `store`; `due` gives entries nobody waits for, `look` is called after each batch and when idle."""
        self._store = store
        self._signer = signer
        self._due = due
        self._look = look
        self._draw = Randomness().draw
        self._queue: queue.SimpleQueue[Committed | None] = queue.SimpleQueue()
        self._chains: dict[bytes, Chain] = {}
        self._head: Head | None = None
        """The tree as this process left it; None where it is not known."""
        self._unwritten: list[tuple[bytes, int]] = []
        self._owed: list[Entry] = []
        """Ends of intents that could not be written; tried again while the process lives."""
        self._owed_at = 0.0
        self.failure: BaseException | None = None
        """Why the last batch failed; None while the log can be written."""
        self._is_closing = self._is_over = False
        """Closing, only ends of intents are taken; over, nothing is."""
        self._door = threading.Lock()
        """Held while an entry is queued, so that nothing is queued behind the end."""
        self._signed = threading.Condition()
        self.newest: StoredCheckpoint | None = None
        """The last checkpoint that this process has signed."""
        self._is_busy = False
        """Whether a batch may be durable of which nobody has been told yet."""
        self.sign_unsigned()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether there is somebody to write what is put."""
        return self._thread.is_alive()

    def put(self, draft: Draft, ended: Callable[[], None] = nothing, told: Callable[[], None] = nothing) -> Committed:
        """Take a draft for the next batch (what is called when: `Committed`); raises `StoreUnavailable`."""
        committed = Committed(draft, ended, told)
        with self._door:
            # WHY: the end of an intent is taken as long as anything is written: it has happened, and there are no more
            # than intents.
            if self._is_over or (self._is_closing and draft.closes is None):
                raise StoreUnavailable("the log is closed")
            if self._queue.qsize() >= MAX_QUEUED and draft.closes is None:
                raise StoreUnavailable("the log is too far behind")
            self._queue.put(committed)
        return committed

    def doubt(self, error: StoreUnavailable) -> None:
        """Take nothing more until the log has been probed: somebody waited for a record in vain."""
        self.failure = self.failure or error

    def signed(self, checkpoint: StoredCheckpoint) -> bytes | None:
        """Return the signature of a checkpoint that this process has just committed, once it is made; else None.

        A batch can be read from the store a moment before its signature exists.
        """
        with self._signed:
            self._signed.wait_for(
                lambda: not self._is_busy or (self.newest and self.newest.size >= checkpoint.size),
                timeout=SIGNED_WITHIN_S,
            )
            newest = self.newest
        if newest is None or (newest.size, newest.root) != (checkpoint.size, checkpoint.root):
            return None
        return newest.signature

    def close(self) -> None:
        """Append what is queued and due, write back signatures, end the thread."""
        with self._door:
            is_first, self._is_closing = not self._is_closing, True
            if is_first:
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._gather()
            self._is_busy = True
            self._commit(batch)
            while is_last and (ends := self._late_ends()):
                self._commit(ends)
            self._commit_owed(is_last=is_last)
            self._commit_due(is_last=is_last)
            with self._signed:
                self._is_busy = False
                self._signed.notify_all()
        self._write_back()

    def _commit_owed(self, *, is_last: bool) -> None:
        if self._owed and (is_last or time.monotonic() >= self._owed_at):
            owed, self._owed = self._owed, []
            for start in range(0, len(owed), MAX_BATCH):
                self._commit([Committed(entry) for entry in owed[start : start + MAX_BATCH]])

    def _commit_due(self, *, is_last: bool) -> None:
        try:
            self._look()  # WHY: whatever failed, for what is looked at may be why nobody finds out that it works again
            if self.failure is not None and not is_last:
                return  # counted refusals stay in their book until the log can be written again
            due = [(Committed(entry), put_back) for entry, put_back in self._due()]
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it is
            self.failure = error
            return
        for start in range(0, len(due), MAX_BATCH):
            self._commit([committed for committed, _ in due[start : start + MAX_BATCH]])
        for committed, put_back in due:
            if committed.failure is not None:
                put_back()

    def _gather(self) -> tuple[list[Committed], bool]:
        try:
            first = self._queue.get(timeout=WRITE_BACK_S if self._unwritten else IDLE_S)
        except queue.Empty:
            self._write_back()
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

    def _late_ends(self) -> list[Committed]:
        """Return what was put while the log was closing; if there is none, nothing is taken any more."""
        ends: list[Committed] = []
        with self._door:
            while len(ends) < MAX_BATCH and (end := self._next_queued()) is not None:
                ends.append(end)
            self._is_over = not ends
        return ends

    def _next_queued(self) -> Committed | None:
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    def _commit(self, drafts: list[Committed]) -> None:
        batch = [committed for committed in drafts if committed.make(self._draw)]
        if not batch:
            return
        try:
            with self._store.writing() as writing:
                batch = _admitted(writing, batch)
                if not batch:
                    return
                old, tree = self._append(writing, batch)
            # INVARIANT: nothing is signed that is not durable, and nothing is released that is not signed.
            root = tree.root()
            signature = self._signer.sign(tree.size, root)
            note = self._signer.note(tree.size, root, signature)
            for committed, path in zip(batch, tree.new_paths(old, line), strict=True):
                committed.settle(path, note)
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it is
            self.failure = error
            self._head = None
            self._owed += [committed.entry for committed in batch if committed.entry.closes is not None]
            self._owed_at = time.monotonic() + IDLE_S
            for committed in batch:
                committed.fail(_unavailable(error))
            return
        self.failure = None
        self._unwritten = [(signature, tree.size)]
        with self._signed:
            self.newest = StoredCheckpoint(tree.size, root, signature)
            self._signed.notify_all()
        for committed in batch:
            committed.release()

    def _append(self, writing: Writing, batch: list[Committed]) -> tuple[int, GrownTree]:
        head = writing.head()
        self._check_head(head)
        if head != self._head or len(self._chains) > MAX_CHAINS:  # another process appended, or nothing is known
            self._chains.clear()
        rows = Rows(signatures=self._unwritten)
        moved: dict[bytes, Chain] = {}
        hashes: list[bytes] = []
        for index, committed in enumerate(batch, start=head.size):
            record = self._chained(writing, committed.entry, moved)
            committed.place(index, record)
            hashes.append(leaf_hash(record))
            _add_rows(rows, committed.entry, index, hashes[-1], record)
        self._chains |= moved
        rows.chains = [(token, chain.sequence, chain.record_digest) for token, chain in moved.items()]
        tree = GrownTree(head.size, head.frontier, hashes)
        rows.tiles = list(tree.completed(head.size, TILE_BITS))
        grown = Head(tree.size, tree.root(), tree.frontier())
        rows.seal = self._signer.seal(grown.size, grown.root)
        writing.append(rows, grown, time.time_ns() // 1000)
        self._head = grown
        return head.size, tree

    def _check_head(self, head: Head) -> None:
        """Raise `StoreUnavailable` unless the tree to grow is the one this process left, or one its own leaves make.

        # INVARIANT: nothing is signed because a file says so; whoever can write the file cannot make us sign.
        """
        if head == self._head or (self._head is not None and self._is_grown(self._head, head)):
            return
        newest = self.newest
        if newest is not None and not has_grown_from(self._store, newest.size, newest.root):
            raise StoreUnavailable("the log was changed or cut beneath this process")
        if fault := found_wrong(self._store, self._signer):
            raise StoreUnavailable(fault)

    def _is_grown(self, known: Head, head: Head) -> bool:
        """Whether our own tree and the leaves behind it make the head, and a process with our key sealed that."""
        if not known.size < head.size <= known.size + MAX_FOLLOWED:
            return False
        tree = GrownTree(known.size, known.frontier, self._store.leaf_hashes(known.size, head.size))
        if (tree.size, tree.root(), tree.frontier()) != (head.size, head.root, head.frontier):
            return False
        sealed = self._store.checkpoint_covering(head.size - 1)
        return sealed is not None and (
            (sealed.size, sealed.root) == (head.size, head.root)
            and self._signer.is_sealed(sealed.size, sealed.root, sealed.seal)
        )

    def _chained(self, writing: Writing, entry: Entry, moved: dict[bytes, Chain]) -> bytes:
        token = entry.token_digest
        if not token:
            return entry.record
        chain = moved.get(token) or self._chains.get(token) or writing.chain(token) or Chain(0, b"")
        record = in_chain(entry.record, chain.sequence + 1, chain.record_digest)
        moved[token] = Chain(chain.sequence + 1, hashlib.sha256(record).digest())
        return record

    def sign_unsigned(self) -> None:
        """Sign what a crash between commit and signature left unsigned, or another process has not written back yet.

        Raises `StoreUnavailable` where the log is not what was signed.
        """
        if self._store.unsigned_checkpoints():
            with self._store.writing() as writing:
                # INVARIANT: looked at again with the log locked: what is signed is what was found to be right.
                if fault := found_wrong(self._store, self._signer):
                    raise StoreUnavailable(fault)
                unsigned = self._store.unsigned_checkpoints()
                writing.sign([(self._signer.sign(each.size, each.root), each.size) for each in unsigned])

    def _write_back(self) -> None:
        if self._unwritten:
            try:
                with self._store.writing() as writing:
                    writing.sign(self._unwritten)
                self._unwritten = []
            except Exception:  # noqa: BLE001 - this thread must outlive whatever it is
                return  # the next start signs them again; Ed25519 gives the same bytes


def _admitted(writing: Writing, batch: list[Committed]) -> list[Committed]:
    """Return what of a batch may be written; the rest fails, each alone.

    # INVARIANT: of one `request_id` there is one intent, and an intent has one end, whatever processes write.
    """
    turned_away: list[tuple[Committed, Fault | Refused]] = []
    for committed in batch:
        entry = committed.entry
        if entry.closes is not None and not writing.is_open(entry.closes):
            turned_away.append((committed, Fault("receipts: an intent that has ended cannot end again")))
        elif entry.opens and entry.request is not None:
            known = writing.request(entry.request.key)
            if known is not None and known.expires_us >= time.time_ns() // 1000:
                turned_away.append((committed, _begun_elsewhere()))
    if not turned_away:
        return batch
    for committed, failure in turned_away:
        committed.fail(failure)
    return [committed for committed in batch if committed.failure is None]


def _begun_elsewhere() -> Refused:
    message = "another process has begun the same request in this moment; ask again, and its answer is told"
    return Refused(Reason.RECEIPT_LOG_UNAVAILABLE, message, is_recorded=False, retry_after_s=IDLE_S)


def _unavailable(cause: BaseException) -> StoreUnavailable:
    """Return what to raise for a batch that was not written; one for each caller, for raising changes it."""
    failure = StoreUnavailable(str(cause))
    failure.__cause__ = cause
    return failure


def _add_rows(rows: Rows, entry: Entry, index: int, leaf: bytes, record: bytes) -> None:
    rows.leaves.append((index, leaf, entry.call_id or None, record))
    payload_id = index * MAX_PAYLOADS
    for payload in entry.payloads:
        rows.payloads.append((payload_id, payload.subject, payload.wrapped_key, payload.ciphertext))
        payload_id += 1
    if entry.request is not None:
        request = entry.request
        rows.requests.append((request.key, index, request.content, request.expires_us))
    if entry.opens:
        rows.opened.append(index)
    elif entry.closes is not None:
        rows.closed.append(entry.closes)
        if entry.forgets:
            rows.forgotten.append((entry.forgets, entry.closes))
    if entry.file is not None:
        kind, name, digest = entry.file
        rows.files.append((kind, name, index, digest))
