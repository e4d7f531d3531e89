"""Which payloads may be gone? Those of calls below the leaf that a signed record of retention names, and no others."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from typing import Final, NamedTuple, final

from sandbox.audit.audited import Leaf
from sandbox.v1 import record_pb2

NAME: Final = "payloads"
"""Under which the log's table names the newest record of retention."""

_KEPT: Final = frozenset(
    {
        record_pb2.RECORD_KIND_SPEC,
        record_pb2.RECORD_KIND_POLICY,
        record_pb2.RECORD_KIND_CONFIG,
        record_pb2.RECORD_KIND_SELF_TEST,
    }
)
"""Kinds whose payloads are never removed: they are the service's own, and records are read with them."""


class _Said(NamedTuple):
    """What one record of retention says."""

    leaf: int
    """Its own."""
    below: int
    """Below which leaf payloads were removed."""
    first: int | None
    """The first leaf with a missing payload of which no earlier record told; None if there is none."""


@final
class Removals:
    """What is missing in a log, and what its own records say of that.

    # INVARIANT: what is missing is excused by a record that a signature covers, and by nothing else in the file; the
    service removes nothing before that signature is in it.
    """

    def __init__(self) -> None:
        """Begin before the first record."""
        self._missing = array("Q")
        """Leaves with a missing payload of which no record has told yet."""
        self._said: list[_Said] = []
        self._digest = b""
        """SHA-256 of the newest of them."""
        self.count = 0
        """Payloads that are missing."""

    def may_be_missing(self, leaf: Leaf) -> bool:
        """Whether a payload of the leaf may be missing, if a record to come says so; `untold` asks for that."""
        if leaf.record.kind in _KEPT:
            return False
        if not self._missing or self._missing[-1] != leaf.index:
            self._missing.append(leaf.index)
        self.count += 1
        return True

    def follow(self, leaf: Leaf) -> str:
        """Take a record into account; returns what is wrong with it, in a phrase."""
        below = leaf.record.payloads_below
        if leaf.record.kind != record_pb2.RECORD_KIND_RETENTION:
            return ""
        if not (self._said[-1].below if self._said else 0) < below <= leaf.index:
            return f"the record says that payloads below leaf {below} were removed, which it cannot say here"
        told = bisect_left(self._missing, below)
        self._said.append(_Said(leaf.index, below, self._missing[0] if told else None))
        self._digest = hashlib.sha256(leaf.content).digest()
        del self._missing[:told]
        return ""

    def untold(self, covered: int) -> int | None:
        """Return the first leaf with a missing payload of which none of the first `covered` records tells."""
        unbelieved = [said.first for said in self._said if said.leaf >= covered and said.first is not None]
        return next(iter([*unbelieved, *self._missing[:1]]), None)

    def newest(self) -> dict[tuple[int, str], tuple[int, bytes]]:
        """Return (leaf, SHA-256) of the newest record of retention, as the log's table of files has it."""
        kind = record_pb2.RECORD_KIND_RETENTION
        return {(kind, NAME): (self._said[-1].leaf, self._digest)} if self._said else {}

    def told(self, covered: int) -> tuple[str, ...]:
        """Say what was removed, as the first `covered` records have it, in a line for the report."""
        believed = [said for said in self._said if said.leaf < covered]
        if not believed:
            return ()
        gone = "1 payload is removed" if self.count == 1 else f"{self.count} payloads are removed"
        return (f"what calls below leaf {believed[-1].below} said: {gone}, as leaf {believed[-1].leaf} says",)
