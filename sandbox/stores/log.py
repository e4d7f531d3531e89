"""What must a store of the log be able to do? The Protocol, and the rows that go through it.

A store keeps bytes and order. It knows no keys, signs nothing and never sees a plaintext.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, final

SCHEMA_VERSION: Final = 3
"""Of the store's tables. A store of another version is refused, unless a store knows the way from it to this one."""

TILE_BITS: Final = 8
"""The roots of complete subtrees of 256, 65,536, … leaves are kept, as in C2SP tlog-tiles; the rest is computed."""

MAX_PAYLOADS: Final = 8
"""Payloads of one record; their ids are `leaf index * 8 + position`, so that they need no index of their own."""


class StoreUnavailable(Exception):
    """The store cannot be read or written now: disk full, locked, closed, damaged. Carries the engine's class name."""


@final
@dataclass(frozen=True, slots=True)
class Head:
    """The tree as it stands."""

    size: int
    root: bytes
    frontier: bytes
    """The roots of the complete subtrees that make up the tree, the largest first, 32 bytes each."""


@final
class Chain(NamedTuple):
    """Where the chain of one token's records stands."""

    sequence: int
    record_digest: bytes


@final
@dataclass(frozen=True, slots=True)
class StoredTables:
    """What the tables beside the tree say at one moment."""

    head: Head
    """The tree then."""
    open_intents: frozenset[int]
    chains: dict[bytes, Chain]
    """By the token's digest."""
    files: dict[tuple[int, str], tuple[int, bytes]]
    """(index, SHA-256), by kind and name."""
    tiles: int
    """How many subtree roots there are."""
    payloads_end: int
    """One more than the greatest id of a payload."""


@final
@dataclass(frozen=True, slots=True)
class StoredRequest:
    """What a `request_id` led to."""

    index: int
    content: bytes
    """A keyed digest of the request, to tell the same bytes from others."""
    expires_us: int


@final
@dataclass(frozen=True, slots=True)
class StoredPayload:
    """One encrypted payload."""

    subject: int
    wrapped_key: bytes
    ciphertext: bytes


@final
@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """The tree's root after one batch."""

    size: int
    root: bytes
    signature: bytes | None
    """Ed25519 over the checkpoint's text; None until it has been written back, at the latest at the next start."""
    seal: bytes = b""
    """What only the holder of the log's key can make of size and root, written with the batch itself."""


@final
@dataclass(slots=True)
class Rows:
    """Everything one batch writes, in the shape of the tables."""

    seal: bytes = b""
    """Of the checkpoint that the batch makes."""
    leaves: list[tuple[int, bytes, bytes | None, bytes]] = field(default_factory=list)
    """(index, leaf hash, call id, record)."""
    payloads: list[tuple[int, int, bytes, bytes]] = field(default_factory=list)
    """(payload id, subject, wrapped key, ciphertext)."""
    tiles: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(level, index, root of the complete subtree)."""
    chains: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    """(token digest, sequence, record digest)."""
    requests: list[tuple[bytes, int, bytes, int]] = field(default_factory=list)
    """(key, index, content, expires_us)."""
    files: list[tuple[int, str, int, bytes]] = field(default_factory=list)
    """(record kind, file, index, SHA-256 of the bytes)."""
    opened: list[int] = field(default_factory=list)
    """Indexes of intents, open from now on."""
    closed: list[int] = field(default_factory=list)
    """Indexes of intents whose end the batch tells."""
    forgotten: list[tuple[bytes, int]] = field(default_factory=list)
    """(key, index) of requests that may be asked anew."""
    signatures: list[tuple[bytes, int]] = field(default_factory=list)
    """(signature, size) of earlier checkpoints."""


class Writing(Protocol):
    """One transaction, holding the head."""

    def head(self) -> Head:
        """The tree as it stands, other processes' work included."""
        ...

    def chain(self, token_digest: bytes) -> Chain | None:
        """Where one token's chain stands."""
        ...

    def is_open(self, index: int) -> bool:
        """Whether the leaf is an intent whose end no leaf tells."""
        ...

    def request(self, key: bytes) -> StoredRequest | None:
        """What a `request_id` led to; it may have expired."""
        ...

    def append(self, rows: Rows, head: Head, now_us: int) -> None:
        """Write a batch and move the head; forget request ids that expired before `now_us`."""
        ...

    def sign(self, signatures: Sequence[tuple[bytes, int]]) -> None:
        """Write back (signature, size) of checkpoints."""
        ...

    def remove_payloads(self, end: int, kept_subject: int, limit: int) -> int:
        """Delete at most `limit` payloads with ids below `end`, but for those of `kept_subject`; returns how many.

        What they were is overwritten.
        """
        ...

    def add_subject(self, lookup: bytes, wrapped_key: bytes) -> None:
        """Add a subject unless somebody has."""
        ...


class LogReading(Protocol):
    """Reading, from any thread and any process."""

    def head(self) -> Head:
        """The tree as it stands."""
        ...

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """The hashes of leaves `start` to `end` (exclusive), in order; fewer if the log is shorter."""
        ...

    def tile_roots(self, level: int, start: int, end: int) -> list[bytes]:
        """Stored subtree roots of one level, in order."""
        ...

    def records(self, start: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf hash, record), in order."""
        ...

    def record(self, index: int) -> bytes | None:
        """One record as first written."""
        ...

    def indexes_of_call(self, call_id: bytes) -> list[int]:
        """The records of a call, in order."""
        ...

    def payload(self, payload_id: int) -> StoredPayload | None:
        """One encrypted payload."""
        ...

    def payloads(self, start: int, end: int) -> Iterator[tuple[int, StoredPayload]]:
        """Payloads with `start <= id < end`, in order."""
        ...

    def count_payloads(self, start: int, end: int, kept_subject: int) -> int:
        """How many payloads have `start <= id < end`, but for those of `kept_subject`."""
        ...

    def needed_from(self, now_us: int) -> int | None:
        """The first leaf that an open intent or a `request_id` not yet expired at `now_us` leads to."""
        ...

    def checkpoint_covering(self, index: int) -> StoredCheckpoint | None:
        """The first checkpoint whose tree holds the leaf."""
        ...

    def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """Checkpoints of sizes greater than `after`, in order."""
        ...

    def unsigned_checkpoints(self) -> list[StoredCheckpoint]:
        """Checkpoints whose signature has not been written back: of batches in flight, or left by a crash."""
        ...

    def newest_signed_checkpoint(self) -> StoredCheckpoint | None:
        """The largest checkpoint that has a signature."""
        ...

    def request(self, key: bytes) -> StoredRequest | None:
        """What a `request_id` led to; it may have expired."""
        ...

    def subject(self, lookup: bytes) -> tuple[int, bytes | None] | None:
        """(id, wrapped key; None once erased)."""
        ...

    def subject_key(self, subject: int) -> bytes | None:
        """The wrapped key of a subject; None once erased."""
        ...

    def file(self, kind: int, name: str) -> tuple[int, bytes] | None:
        """(index, SHA-256) of the newest leaf that holds the file."""
        ...

    def open_intents(self) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf hash, record) of each intent whose end no leaf tells, in order."""
        ...

    def is_boot_gone(self, boot: bytes) -> bool:
        """Whether nobody lives who holds `boot`: what it left open, nobody else will close."""
        ...


class LogStore(LogReading, Protocol):
    """Reading and writing."""

    def writing(self) -> AbstractContextManager[Writing]:
        """One transaction: alone among all processes, durable once the block has been left."""
        ...

    def removing(self) -> AbstractContextManager[bool]:
        """Whether the block is alone among all processes in removing payloads; it does not wait to be."""
        ...

    def empty_write_ahead_log(self) -> bool:
        """Leave no copy of what was overwritten in what is still to be moved; whether no reader kept it from that."""
        ...

    def hold_boot(self, boot: bytes) -> None:
        """Tell all processes that `boot` lives, from now until `close` or the process's end."""
        ...

    def sweep_boots(self) -> None:
        """Forget those who are gone."""
        ...

    def probe(self) -> None:
        """Write and sync something worth a few pages; raise `StoreUnavailable` if that fails."""
        ...

    def close(self) -> None:
        """Close; reading and writing then raise `StoreUnavailable`."""
        ...
