"""Is the whole log what its signatures say? Every leaf, root, checkpoint, chain and stored payload, in one pass.

Names the place of the first thing that does not hold, and says what an audit of one file cannot see.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from google.protobuf.message import DecodeError

from sandbox.audit.audited import Audited
from sandbox.audit.kept import PUBLISHED, REMEMBERED, Kept, read_kept, to_remember
from sandbox.audit.merkle import hash_children, hash_leaf
from sandbox.audit.notes import (
    Checkpoint,
    NoteInvalid,
    SignatureFalse,
    VerifierKey,
    check_signature,
    parse_audit_keys,
    write_note,
)
from sandbox.audit.removed import Removals
from sandbox.stores.log import MAX_PAYLOADS, Head, StoredCheckpoint, StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2

CHUNK: Final = 2000
MAX_UNSIGNED: Final = 65 * 256
"""Records at the end that no signature covers yet: a batch of each of 65 processes that crashed, as `serve` takes them.
More are forged."""
SIGNED_WITHIN_S: Final = 1.0
"""How long the newest signature is waited for: a service writes it with its next batch, or by itself in a moment."""
LOOK_EVERY_S: Final = 0.05
UNREADABLE: Final = "the log's file is damaged or cannot be read"
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

_SEEN_BY_OTHERS: Final = (
    "whether others were shown another log (witnesses would tell; not built in this version)",
    "whether the tail was cut and the rest signed again (a checkpoint kept from before would tell: --remember)",
)
_CONTENTS: Final = "what the encrypted payloads say, and whether their keys are whole (only ciphertexts were compared)"


class LogInvalid(ValueError):
    """The log is not what it says; the message names the first place."""


class RememberedUnusable(LogInvalid):
    """The file that should hold the remembered checkpoint holds none of this log: the wrong file, or the wrong key."""


@final
@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found in order."""

    tree_size: int
    checkpoints: int
    unsigned_records: int
    """At the end, that no signature covers: left by a crash, and signed at the next start; or put there by somebody."""
    unsigned_checkpoints: int
    """Written and not yet signed: a crash came between; the next start of the service signs them."""
    payloads: int
    removed_payloads: int
    """Missing, as a record of the log says that they are."""
    tokens: int
    open_intents: int
    """Calls that had begun and whose end no record tells: running as the audit began, or of a process that is gone."""
    remembered_size: int
    signed_size: int
    """Of the newest signed checkpoint of the log, or of the one published beside it."""
    newest_checkpoint: bytes
    """Worth remembering: a later audit then sees a cut tail. Never smaller than the one remembered, with its signatures
    where it is of the same tree. Empty while nothing is signed.
    """
    checked: tuple[str, ...]
    """What was checked beyond the log's own file, a line each: signatures of given keys on checkpoints kept apart."""
    not_checked: tuple[str, ...]


def audit_log(
    database: Path,
    verifier_key: str,
    *further_keys: str,
    remembered: bytes | None = None,
    published: bytes | None = None,
    progress: Callable[[int, int], None] = lambda _done, _whole: None,
) -> AuditReport:
    """Audit the log in `database` under the log's verifier keys, one of which is its Ed25519 key.

    `remembered` is a checkpoint kept from before, `published` the one that the service left beside its log (read before
    this is called): the log must begin with their trees, and they carry what there is to check of an ML-DSA-44 key.
    `progress` is told (done, whole) records. Raises `LogInvalid`.
    """
    try:
        keys = parse_audit_keys((verifier_key, *further_keys))
        kept = _kept(published, remembered, keys)
        store = SqliteLog(database, is_read_only=True)
    except NoteInvalid as error:
        raise LogInvalid(str(error)) from error
    except StoreUnavailable as error:
        raise LogInvalid(f"{UNREADABLE} ({error})") from error
    try:
        return audit_store(store, keys, kept, progress)
    except StoreUnavailable as error:
        raise LogInvalid(f"{UNREADABLE} ({error})") from error
    finally:
        store.close()


def audit_store(
    store: Audited, keys: tuple[VerifierKey, ...], kept: tuple[Kept, ...], progress: Callable[[int, int], None]
) -> AuditReport:
    """Audit what is open already; raises `LogInvalid`, and `StoreUnavailable` for what cannot be read."""
    return _Audit(store, keys, kept, progress).run()


def _kept(published: bytes | None, remembered: bytes | None, keys: Sequence[VerifierKey]) -> tuple[Kept, ...]:
    found = () if published is None else (read_kept(PUBLISHED, published, keys),)
    if remembered is None:
        return found
    try:
        return (*found, read_kept(REMEMBERED, remembered, keys))
    except SignatureFalse:
        raise
    except NoteInvalid as error:
        raise RememberedUnusable(str(error)) from error


@final
@dataclass(slots=True)
class _Tree:
    """The roots of the complete subtrees so far, the largest first: enough to know the root at every size."""

    size: int = 0
    parts: list[tuple[int, bytes]] = field(default_factory=list)

    def append(self, leaf: bytes) -> None:
        height, node = 0, leaf
        while self.parts and self.parts[-1][0] == height:
            node = hash_children(self.parts.pop()[1], node)
            height += 1
        self.parts.append((height, node))
        self.size += 1

    def root(self) -> bytes:
        if not self.parts:
            return EMPTY_ROOT
        node = self.parts[-1][1]
        for _, left in reversed(self.parts[:-1]):
            node = hash_children(left, node)
        return node


@final
@dataclass(frozen=True, slots=True)
class _File:
    """A leaf that commits to a file's bytes."""

    kind: int
    name: str
    digest: bytes


_FILES: Final = {
    record_pb2.RECORD_KIND_SPEC: "spec_digest",
    record_pb2.RECORD_KIND_POLICY: "policy_digest",
    record_pb2.RECORD_KIND_CONFIG: "config_digest",
}
"""Which field of a file's leaf holds the SHA-256 of its bytes."""

_ENDS: Final = frozenset({record_pb2.RECORD_KIND_OUTCOME, record_pb2.RECORD_KIND_ORPHAN})
"""Kinds that tell what came of an intent."""


@final
class _Audit:
    """One pass over one log."""

    def __init__(
        self,
        store: Audited,
        keys: tuple[VerifierKey, ...],
        kept: tuple[Kept, ...],
        progress: Callable[[int, int], None],
    ) -> None:
        self._store = store
        self._key, *self._further = keys
        self._kept = kept
        self._progress = progress
        self._tree = _Tree()
        self._head = store.head()
        """As the audit began: what a serving process appends from then on is the next audit's."""
        self._checkpoints = self._read_checkpoints()
        self._next = next(self._checkpoints, None)
        self._chains: dict[bytes, tuple[int, bytes]] = {}
        self._intents: dict[int, str] = {}
        """The call of each intent whose end no record has told, by its leaf."""
        self._files: dict[int, _File] = {}
        self._agreed: set[tuple[int, bytes, tuple[int, ...]]] = set()
        self._seen = 0
        self._unsigned = 0
        self._newest: tuple[Kept, ...] = ()
        """The newest signed checkpoint within the log, if there is one."""
        self._covered = 0
        self._payloads = 0
        self._removals = Removals(store)

    def run(self) -> AuditReport:
        head = self._head
        while True:
            rows = self._store.records(self._tree.size, min(CHUNK, head.size - self._tree.size))
            payloads = self._store.payloads(
                self._tree.size * MAX_PAYLOADS, (self._tree.size + len(rows)) * MAX_PAYLOADS
            )
            stored = {payload_id: hashlib.sha256(each.ciphertext).digest() for payload_id, each in payloads}
            for index, leaf, record in rows:
                self._check_leaf(index, leaf, record, stored)
            if stored:
                index = min(stored) // MAX_PAYLOADS
                raise LogInvalid(f"leaf {index}: a stored payload that its record does not name")
            self._progress(self._tree.size, head.size)
            if self._tree.size >= head.size and self._removals.goes_beyond(head.size):
                head = self._moved_on()
            elif len(rows) < CHUNK or self._tree.size >= head.size:
                break
        self._check_end(head.size, head.root)
        return AuditReport(
            tree_size=self._tree.size,
            unsigned_records=self._tree.size - self._covered,
            checkpoints=self._seen,
            unsigned_checkpoints=self._unsigned,
            payloads=self._payloads,
            removed_payloads=self._removals.count,
            tokens=len(self._chains),
            open_intents=len(self._intents),
            newest_checkpoint=to_remember(self._newest + self._kept),
            remembered_size=_largest(kept for kept in self._kept if kept.name == REMEMBERED),
            signed_size=_largest(kept for kept in self._newest + self._kept if kept.name != REMEMBERED),
            checked=tuple(
                f"the {kept.name} checkpoint of {kept.tree.size} records, signed by {key.label}"
                for kept in self._kept
                for key in kept.signers
            ),
            not_checked=self._not_checked(),
        )

    def _moved_on(self) -> Head:
        """Go on to the head as it is now: a service has removed payloads meanwhile, and the record of it is there."""
        self._head = self._store.head()
        if self._head.size <= self._tree.size:
            raise LogInvalid(f"leaf {self._tree.size} is missing, which is to tell of removed payloads")
        self._checkpoints = self._read_checkpoints()
        self._next = next(self._checkpoints, None)
        return self._head

    def _not_checked(self) -> tuple[str, ...]:
        uncovered = self._tree.size - self._covered
        last = f"who wrote the last of the records, {uncovered} in all (their signature is not in the file yet)"
        is_remembered = any(kept.name == REMEMBERED for kept in self._kept)
        return (
            *((last,) if uncovered else ()),
            *(self._uncovered_by(key) for key in self._further if self._tree.size > self._covered_by(key)),
            *_SEEN_BY_OTHERS[: 1 if is_remembered else 2],
            *self._removals.told(),
            _CONTENTS,
        )

    def _covered_by(self, key: VerifierKey) -> int:
        return _largest(kept for kept in self._kept if key in kept.signers)

    def _uncovered_by(self, key: VerifierKey) -> str:
        covered = self._covered_by(key)
        if not covered:
            return f"any signature of {key.label}: neither a published nor a remembered checkpoint carries one"
        return f"a signature of {key.label} over the last {self._tree.size - covered} records"

    def _check_leaf(self, index: int, leaf: bytes, content: bytes, stored: dict[int, bytes]) -> None:
        if index != self._tree.size:
            raise LogInvalid(f"leaf {self._tree.size} is missing; the next is {index}")
        if hash_leaf(content) != leaf:
            raise LogInvalid(f"leaf {index}: the record is not the one that was hashed")
        try:
            record = record_pb2.Record.FromString(content)
        except DecodeError as error:
            raise LogInvalid(f"leaf {index}: the record cannot be read") from error
        self._check_chain(index, record, content)
        self._check_payloads(index, record, stored)
        self._check_files(index, record)
        self._check_intents(index, record)
        if fault := self._removals.follow(index, record):
            raise LogInvalid(f"leaf {index}: the record {fault}")
        self._tree.append(leaf)
        self._check_roots()

    def _check_chain(self, index: int, record: record_pb2.Record, content: bytes) -> None:
        if not record.token_digest:
            return
        sequence, digest = self._chains.get(record.token_digest, (0, b""))
        if record.token_sequence != sequence + 1 or record.previous_record_sha256 != digest:
            raise LogInvalid(f"leaf {index}: not the next record of its token after number {sequence}")
        self._chains[record.token_digest] = (sequence + 1, hashlib.sha256(content).digest())

    def _check_intents(self, index: int, record: record_pb2.Record) -> None:
        """Of each intent at most one end is told, and each end is of one intent, by the same call."""
        if record.kind == record_pb2.RECORD_KIND_INTENT:
            self._intents[index] = record.call_id
        elif record.kind in _ENDS:
            about = record.about_index_plus_one - 1
            if self._intents.pop(about, None) != record.call_id:
                raise LogInvalid(f"leaf {index}: leaf {about} is no open intent of its call")

    def _check_payloads(self, index: int, record: record_pb2.Record, stored: dict[int, bytes]) -> None:
        for position, descriptor in enumerate(record.payloads):
            found = stored.pop(index * MAX_PAYLOADS + position, None)
            if found is None and self._removals.may_be_missing(index, record):
                continue
            if found != descriptor.ciphertext_sha256:
                how = "is missing" if found is None else "is not the one that the record commits to"
                raise LogInvalid(f"leaf {index}: the payload `{descriptor.role}` {how}")
            self._payloads += 1

    def _check_files(self, index: int, record: record_pb2.Record) -> None:
        if record.kind in _FILES:
            self._files[index] = _File(record.kind, record.file, getattr(record, _FILES[record.kind]))
            return
        if record.spec_digest:
            spec = self._files.get(record.spec_index)
            if spec is None or (spec.kind, spec.digest) != (record_pb2.RECORD_KIND_SPEC, record.spec_digest):
                raise LogInvalid(f"leaf {index}: leaf {record.spec_index} does not hold the spec that it names")
        self._check_set(index, record_pb2.RECORD_KIND_POLICY, record.policy_digest, tuple(record.policy_indexes))
        self._check_set(index, record_pb2.RECORD_KIND_CONFIG, record.config_digest, tuple(record.config_indexes))

    def _check_set(self, index: int, kind: int, digest: bytes, leaves: tuple[int, ...]) -> None:
        """The digest over several files must be that of the leaves named, in their order."""
        if not (digest or leaves) or (kind, digest, leaves) in self._agreed:
            return
        whole = hashlib.sha256()
        for leaf in leaves:
            file = self._files.get(leaf)
            if file is None or file.kind != kind:
                raise LogInvalid(f"leaf {index}: leaf {leaf} does not hold the file that it names")
            if kind == record_pb2.RECORD_KIND_POLICY:
                whole.update(hashlib.sha256(file.name.encode()).digest())
            whole.update(file.digest)
        if whole.digest() != digest:
            raise LogInvalid(f"leaf {index}: the files that it names do not make the digest that it names")
        self._agreed.add((kind, digest, leaves))

    def _check_roots(self) -> None:
        size = self._tree.size
        for kept in self._kept:
            if kept.tree.size == size and kept.tree.root != self._tree.root():
                raise LogInvalid(f"the first {size} leaves are not those of the {kept.name} checkpoint")
        if self._next is None or self._next.size != size:
            return
        if self._next.root != self._tree.root():
            raise LogInvalid(f"the checkpoint of {_leaves(size)} has another root than its leaves")
        if self._next.signature is None:
            self._unsigned += 1
        else:
            self._check_signature(self._next, self._next.signature)
        self._seen += 1
        self._next = next(self._checkpoints, None)

    def _check_signature(self, checkpoint: StoredCheckpoint, signature: bytes) -> None:
        try:
            check_signature(self._key, checkpoint.size, checkpoint.root, signature)
        except NoteInvalid as error:
            raise LogInvalid(f"the checkpoint of {_leaves(checkpoint.size)}: {error}") from error
        self._covered = checkpoint.size
        note = write_note(self._key, checkpoint.size, checkpoint.root, signature)
        tree = Checkpoint(self._key.name, checkpoint.size, checkpoint.root)
        self._newest = (Kept("newest", note, tree, (self._key,)),)

    def _check_beyond(self, size: int) -> None:
        """Raise `LogInvalid` for leaves or checkpoints beyond the head, unless the head has moved meanwhile."""
        leaves, checkpoints = self._store.records(size, 1), self._store.checkpoints(size, 1)
        if self._store.head().size != size:
            return
        if checkpoints:
            raise LogInvalid(f"leaf {size} is missing; a checkpoint of {_leaves(checkpoints[0].size)} was signed")
        if leaves:
            raise LogInvalid(f"leaf {size} lies beyond the log's head")

    def _await_signature(self, size: int) -> None:
        """Take the newest signature once a service that writes beside us has written it, which it does at once."""
        until = time.monotonic() + SIGNED_WITHIN_S
        while self._covered < size:
            last = self._store.checkpoints(size - 1, 1)
            if last and last[0].size == size and last[0].root == self._tree.root() and last[0].signature is not None:
                self._check_signature(last[0], last[0].signature)
                self._unsigned -= 1
            elif time.monotonic() >= until:
                return
            else:
                time.sleep(LOOK_EVERY_S)

    def _check_end(self, size: int, root: bytes) -> None:
        self._check_beyond(size)
        self._await_signature(size)
        if size - self._covered > MAX_UNSIGNED or (self._seen > 1 and not self._covered):
            raise LogInvalid(f"leaf {self._covered}: no signature covers the records from here on")
        if self._next is not None:
            raise LogInvalid(
                f"leaf {self._tree.size} is missing; a checkpoint of {_leaves(self._next.size)} was signed"
            )
        if fault := self._removals.wrong_at_end():
            raise LogInvalid(fault)
        if size != self._tree.size or root != self._tree.root():
            raise LogInvalid(f"leaf {min(size, self._tree.size)}: the log's head is of {_leaves(size)}, not these")
        for kept in self._kept:
            if kept.tree.size > size:
                raise LogInvalid(f"leaf {size} is missing; the {kept.name} checkpoint had {_leaves(kept.tree.size)}")

    def _read_checkpoints(self) -> Iterator[StoredCheckpoint]:
        after = self._tree.size
        while checkpoints := self._store.checkpoints(after, CHUNK):
            for checkpoint in checkpoints:
                if checkpoint.size > self._head.size:
                    return
                yield checkpoint
            after = checkpoints[-1].size


def _largest(kept: Iterable[Kept]) -> int:
    return max((each.tree.size for each in kept), default=0)


def _leaves(count: int) -> str:
    return "1 leaf" if count == 1 else f"{count} leaves"
