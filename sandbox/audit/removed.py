"""Which payloads may be gone? Those of calls below the leaf that a signed record of retention names, and no others."""

from __future__ import annotations

from typing import Final, final

from google.protobuf.message import DecodeError

from sandbox.audit.audited import Audited
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


@final
class Removals:
    """What is missing in a log, and what its own records say of that.

    What the table says is a hint for where to look on: that payloads were removed is believed of records alone.
    """

    def __init__(self, store: Audited) -> None:
        """Follow the log in `store`."""
        self._store = store
        self._hint = (0, 0)
        self._below = 0
        """As the records so far say."""
        self._leaf = 0
        """Of the record that said so last."""
        self._highest = -1
        """The last leaf with a payload that is missing."""
        self.count = 0
        """Payloads that are missing."""

    def may_be_missing(self, index: int, record: record_pb2.Record) -> bool:
        """Whether a payload of the leaf may be missing, if a record to come says so; `wrong_at_end` asks for that."""
        if record.kind in _KEPT:
            return False
        if index >= self._hint[1]:
            self._hint = self._looked_up()  # a service removes while it is audited
        if index >= self._hint[1]:
            return False
        self._highest = index
        self.count += 1
        return True

    def follow(self, index: int, record: record_pb2.Record) -> str:
        """Take a record into account; returns what is wrong with it, in a phrase."""
        if record.kind != record_pb2.RECORD_KIND_RETENTION:
            return ""
        if not self._below < record.payloads_below <= index:
            return f"says that payloads below leaf {record.payloads_below} were removed, which it cannot say here"
        self._below, self._leaf = record.payloads_below, index
        return ""

    def goes_beyond(self, size: int) -> bool:
        """Whether the record that is to tell of what is missing lies beyond a tree of `size` leaves."""
        return self.count > 0 and self._hint[0] >= size

    def wrong_at_end(self) -> str:
        """Return what is missing that no record tells of, in a phrase."""
        if self._highest >= self._below:
            return f"leaf {self._highest}: a payload is missing, and no record says that it was removed"
        return ""

    def told(self) -> tuple[str, ...]:
        """Say what was removed, a line for the report."""
        if not self._leaf:
            return ()
        gone = "1 payload is removed" if self.count == 1 else f"{self.count} payloads are removed"
        return (f"what calls below leaf {self._below} said: {gone}, as leaf {self._leaf} says",)

    def _looked_up(self) -> tuple[int, int]:
        known = self._store.file(record_pb2.RECORD_KIND_RETENTION, NAME)
        content = None if known is None else self._store.record(known[0])
        if known is None or content is None:
            return self._hint
        try:
            return known[0], record_pb2.Record.FromString(content).payloads_below
        except DecodeError:
            return self._hint
