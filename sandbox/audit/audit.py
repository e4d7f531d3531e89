"""Is the whole log what its signatures say? Every leaf, root, checkpoint, chain and stored payload, in one pass.

Names the place of the first thing that does not hold, and says what an audit of one file cannot see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, final

from google.protobuf.message import DecodeError

from sandbox.audit.audited import Audited, Leaf
from sandbox.audit.calls import Chains, Intents
from sandbox.audit.files import Files
from sandbox.audit.kept import PUBLISHED, REMEMBERED, Kept, read_kept, to_remember
from sandbox.audit.merkle import EMPTY_ROOT, GrowingTree, hash_leaf
from sandbox.audit.notes import NoteInvalid, SignatureFalse, VerifierKey, parse_audit_keys
from sandbox.audit.removed import Removals
from sandbox.audit.signed import SignedTrees, leaves
from sandbox.audit.tables import UNPROVEN, Tables
from sandbox.stores.log import MAX_PAYLOADS, TILE_BITS, Head, StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2

CHUNK: Final = 2000
MAX_UNSIGNED: Final = 65 * 256
"""Records at the end that no signature covers yet: a batch of each of 65 processes that crashed, as `serve` takes them.
More are forged."""
UNREADABLE: Final = "the log's file is damaged or cannot be read"

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
        return audit_store(store, keys, kept, progress, Tables(store))
    except StoreUnavailable as error:
        raise LogInvalid(f"{UNREADABLE} ({error})") from error
    finally:
        store.close()


def audit_store(
    store: Audited,
    keys: tuple[VerifierKey, ...],
    kept: tuple[Kept, ...],
    progress: Callable[[int, int], None],
    tables: Tables | None = None,
) -> AuditReport:
    """Audit what is open already; raises `LogInvalid`, and `StoreUnavailable` for what cannot be read."""
    return _Audit(store, keys, kept, progress, tables).run()


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


class _Follower(Protocol):
    """Takes one record after the other into account."""

    def follow(self, leaf: Leaf) -> str:
        """Return what is wrong with a record, in a phrase; empty if nothing is."""
        ...


@final
class _Audit:
    """One pass over one log."""

    def __init__(
        self,
        store: Audited,
        keys: tuple[VerifierKey, ...],
        kept: tuple[Kept, ...],
        progress: Callable[[int, int], None],
        tables: Tables | None,
    ) -> None:
        self._store = store
        key, *self._further = keys
        self._kept = kept
        self._progress = progress
        self._tree = GrowingTree()
        self._head = Head(0, EMPTY_ROOT, b"")
        """How far this audit goes: what a serving process appends from then on is the next audit's."""
        self._signed = SignedTrees(store, key)
        self._chains, self._intents, self._files, self._removals = Chains(), Intents(), Files(), Removals()
        self._tables = tables
        self._followers: list[_Follower] = [self._chains, self._intents, self._files, self._removals]
        self._followers += [tables] if tables else []
        self._payloads = 0
        self._looked_for = -1
        """How many payloads were missing when it was last looked how far the log has grown; -1 before."""

    def run(self) -> AuditReport:
        if self._tables and (damage := self._tables.damage()):
            raise LogInvalid(f"{UNREADABLE} ({damage})")
        self._go_on_to(self._store.head())
        while self._has_grown():
            self._go_on_to(self._head)
        self._check_end(self._head.size, self._head.root)
        return AuditReport(
            tree_size=self._tree.size,
            unsigned_records=self._tree.size - self._signed.covered,
            checkpoints=self._signed.seen,
            unsigned_checkpoints=self._signed.unsigned,
            payloads=self._payloads,
            removed_payloads=self._removals.count,
            tokens=len(self._chains.heads),
            open_intents=len(self._intents.open),
            newest_checkpoint=to_remember(self._signed.newest + self._kept),
            remembered_size=_largest(kept for kept in self._kept if kept.name == REMEMBERED),
            signed_size=_largest(kept for kept in self._signed.newest + self._kept if kept.name != REMEMBERED),
            checked=tuple(
                f"the {kept.name} checkpoint of {kept.tree.size} records, signed by {key.label}"
                for kept in self._kept
                for key in kept.signers
            ),
            not_checked=self._not_checked(),
        )

    def _go_on_to(self, head: Head) -> None:
        """Take the records up to `head`."""
        self._head = head
        self._signed.look_up_to(head.size, self._tree.size)
        is_more = True
        while is_more:
            asked = min(CHUNK, head.size - self._tree.size)
            rows = self._store.records(self._tree.size, asked)
            begin, end = self._tree.size * MAX_PAYLOADS, (self._tree.size + len(rows)) * MAX_PAYLOADS
            payloads = self._store.payloads(begin, end)
            stored = {payload_id: hashlib.sha256(each.ciphertext).digest() for payload_id, each in payloads}
            for index, leaf, record in rows:
                self._check_leaf(index, leaf, record, stored)
            if stored:
                raise LogInvalid(f"leaf {min(stored) // MAX_PAYLOADS}: a stored payload that its record does not name")
            self._progress(self._tree.size, head.size)
            is_more = len(rows) == asked and self._tree.size < head.size

    def _has_grown(self) -> bool:
        """Whether a service has written meanwhile and is to be followed to where it stands now.

        Once, to compare its tables with its records; and again where it has removed payloads as they were read: the
        record of a removal, and a signature of it, are in the log before the first payload is gone.
        """
        missing, is_first = self._removals.count, self._looked_for < 0
        if not is_first:
            self._take(self._signed.await_newest(self._tree))
            if missing == self._looked_for or self._removals.untold(self._signed.covered) is None:
                return False
        self._looked_for = missing
        self._head = self._tables.read() if self._tables else self._store.head()
        return self._head.size > self._tree.size

    def _take(self, fault: str) -> None:
        if fault:
            raise LogInvalid(fault)

    def _not_checked(self) -> tuple[str, ...]:
        uncovered = self._tree.size - self._signed.covered
        last = f"who wrote the last of the records, {uncovered} in all (their signature is not in the file yet)"
        is_remembered = any(kept.name == REMEMBERED for kept in self._kept)
        return (
            *((last,) if uncovered else ()),
            *(self._uncovered_by(key) for key in self._further if self._tree.size > self._covered_by(key)),
            *_SEEN_BY_OTHERS[: 1 if is_remembered else 2],
            *self._removals.told(self._signed.covered),
            *((UNPROVEN,) if self._tables else ()),
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
        at = Leaf(index, content, record)
        self._check_payloads(at, stored)
        for follower in self._followers:
            if fault := follower.follow(at):
                raise LogInvalid(f"leaf {index}: {fault}")
        self._check_tiles(self._tree.append(leaf))
        for kept in self._kept:
            if kept.tree.size == self._tree.size and kept.tree.root != self._tree.root():
                raise LogInvalid(f"the first {kept.tree.size} leaves are not those of the {kept.name} checkpoint")
        self._take(self._signed.meet(self._tree))

    def _check_tiles(self, completed: Sequence[tuple[int, bytes]]) -> None:
        """Raise `LogInvalid` unless the stored roots of complete subtrees, of which proofs are made, are right."""
        for height, root in completed:
            level, further = divmod(height, TILE_BITS)
            at = (self._tree.size >> height) - 1
            if not further and self._store.tile_roots(level, at, at + 1) != [root]:
                raise LogInvalid(f"tile {at} of level {level}: not the root of the leaves beneath it")

    def _check_payloads(self, leaf: Leaf, stored: dict[int, bytes]) -> None:
        for position, descriptor in enumerate(leaf.record.payloads):
            found = stored.pop(leaf.index * MAX_PAYLOADS + position, None)
            if found is None and self._removals.may_be_missing(leaf):
                continue
            if found != descriptor.ciphertext_sha256:
                how = "is missing" if found is None else "is not the one that the record commits to"
                raise LogInvalid(f"leaf {leaf.index}: the payload `{descriptor.role}` {how}")
            self._payloads += 1

    def _check_end(self, size: int, root: bytes) -> None:
        self._check_beyond(size)
        self._take(self._signed.await_newest(self._tree))
        covered = self._signed.covered
        if size - covered > MAX_UNSIGNED or (self._signed.seen > 1 and not covered):
            raise LogInvalid(f"leaf {covered}: no signature covers the records from here on")
        if (ahead := self._signed.ahead) is not None:
            raise LogInvalid(f"leaf {self._tree.size} is missing; a checkpoint of {leaves(ahead.size)} was signed")
        if (leaf := self._removals.untold(covered)) is not None:
            raise LogInvalid(f"leaf {leaf}: a payload is missing, and no signed record says that it was removed")
        if size != self._tree.size or root != self._tree.root():
            raise LogInvalid(f"leaf {min(size, self._tree.size)}: the log's head is of {leaves(size)}, not these")
        for kept in self._kept:
            if kept.tree.size > size:
                raise LogInvalid(f"leaf {size} is missing; the {kept.name} checkpoint had {leaves(kept.tree.size)}")
        if self._tables:
            self._take(self._tables.wrong(self._chains, self._intents, self._files, self._removals))

    def _check_beyond(self, size: int) -> None:
        """Raise `LogInvalid` for leaves or checkpoints beyond the head, unless the head has moved meanwhile."""
        beyond, checkpoints = self._store.records(size, 1), self._store.checkpoints(size, 1)
        if self._store.head().size != size:
            return
        if checkpoints:
            raise LogInvalid(f"leaf {size} is missing; a checkpoint of {leaves(checkpoints[0].size)} was signed")
        if beyond:
            raise LogInvalid(f"leaf {size} lies beyond the log's head")


def _largest(kept: Iterable[Kept]) -> int:
    return max((each.tree.size for each in kept), default=0)
