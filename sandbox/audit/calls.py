"""Do records follow one another as they must? Each in its token's chain, each end after the intent it is of."""

from __future__ import annotations

import hashlib
from typing import Final, final

from sandbox.audit.audited import Leaf
from sandbox.v1 import record_pb2

_ENDS: Final = frozenset({record_pb2.RECORD_KIND_OUTCOME, record_pb2.RECORD_KIND_ORPHAN})
"""Kinds that tell what came of an intent."""


@final
class Chains:
    """The records of each token, each of which names the one before."""

    def __init__(self) -> None:
        """Begin before the first record."""
        self.heads: dict[bytes, tuple[int, bytes]] = {}
        """(sequence, SHA-256) of each token's last record, by the token's digest."""

    def follow(self, leaf: Leaf) -> str:
        """Take a record into account; returns what is wrong with it, in a phrase."""
        record = leaf.record
        if not record.token_digest:
            return ""
        sequence, digest = self.heads.get(record.token_digest, (0, b""))
        if record.token_sequence != sequence + 1 or record.previous_record_sha256 != digest:
            return f"not the next record of its token after number {sequence}"
        self.heads[record.token_digest] = (sequence + 1, hashlib.sha256(leaf.content).digest())
        return ""


@final
class Intents:
    """What had begun, and what came of it: of each intent at most one end is told, by the same call."""

    def __init__(self) -> None:
        """Begin before the first record."""
        self.open: dict[int, str] = {}
        """The call of each intent whose end no record has told, by its leaf."""

    def follow(self, leaf: Leaf) -> str:
        """Take a record into account; returns what is wrong with it, in a phrase."""
        record = leaf.record
        if record.kind == record_pb2.RECORD_KIND_INTENT:
            self.open[leaf.index] = record.call_id
        elif record.kind in _ENDS:
            about = record.about_index_plus_one - 1
            if self.open.pop(about, None) != record.call_id:
                return f"leaf {about} is no open intent of its call"
        return ""
