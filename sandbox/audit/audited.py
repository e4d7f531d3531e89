"""What does an audit read? A log, or an archive of one: the Protocol that both satisfy, and what a log has besides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, final

from sandbox.stores.log import Chain, Head, StoredCheckpoint, StoredPayload
from sandbox.v1 import record_pb2


@final
@dataclass(frozen=True, slots=True)
class Leaf:
    """One record at its place."""

    index: int
    content: bytes
    """As it was hashed."""
    record: record_pb2.Record


class Audited(Protocol):
    """What is audited: a log, or an archive of one."""

    def head(self) -> Head:
        """The tree as it stands."""
        ...

    def records(self, start: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf hash, record), in order."""
        ...

    def payloads(self, start: int, end: int) -> Iterator[tuple[int, StoredPayload]]:
        """Payloads with `start <= id < end`, in order."""
        ...

    def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """Checkpoints of sizes greater than `after`, in order."""
        ...

    def tile_roots(self, level: int, start: int, end: int) -> list[bytes]:
        """Stored roots of the complete subtrees of 256**level leaves, in order."""
        ...


class Indexed(Protocol):
    """The tables by which a service finds what its log holds. They are not in the tree, and an archive has none."""

    def head(self) -> Head:
        """The tree as it stands."""
        ...

    def indexes_of_call(self, call_id: bytes) -> list[int]:
        """The records of a call, in order."""
        ...

    def open_intents(self) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf hash, record) of each intent whose end no leaf tells, in order."""
        ...

    def chain(self, token_digest: bytes) -> Chain | None:
        """Where one token's chain stands."""
        ...

    def count_chains(self) -> int:
        """How many tokens have a chain."""
        ...

    def file(self, kind: int, name: str) -> tuple[int, bytes] | None:
        """(index, SHA-256) of the newest leaf that holds the file."""
        ...
