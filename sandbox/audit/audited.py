"""What does an audit read? A log, or an archive of one: the Protocol that both satisfy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sandbox.stores.log import Head, StoredCheckpoint, StoredPayload


class Audited(Protocol):
    """What is audited: a log, or an archive of one."""

    def head(self) -> Head:
        """The tree as it stands."""
        ...

    def records(self, start: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf hash, record), in order."""
        ...

    def record(self, index: int) -> bytes | None:
        """One record as first written."""
        ...

    def payloads(self, start: int, end: int) -> Iterator[tuple[int, StoredPayload]]:
        """Payloads with `start <= id < end`, in order."""
        ...

    def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """Checkpoints of sizes greater than `after`, in order."""
        ...

    def file(self, kind: int, name: str) -> tuple[int, bytes] | None:
        """(index, SHA-256) of the newest leaf that holds the file."""
        ...
