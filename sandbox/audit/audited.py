"""What does an audit read? A log, or an archive of one: the Protocol that both satisfy, and what a log has besides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, final

from sandbox.stores.log import Head, StoredCheckpoint, StoredPayload, StoredTables
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

    def damage(self) -> str:
        """What is wrong with the file itself, in a phrase: rows that are there and not found, for one."""
        ...

    def call_keys(self, start: int, limit: int) -> list[tuple[int, bytes | None]]:
        """(index, call id) by which records are found, in order."""
        ...

    def tables(self) -> StoredTables:
        """What the tables beside the tree say, all of one moment."""
        ...
