"""What proves a call? Records, their tree, signatures and the receipts made of them."""

from __future__ import annotations

from sandbox.receipts.calls import Calls
from sandbox.receipts.log import ExecutionLog, RecordKind, proven_size
from sandbox.receipts.orphans import close_orphans
from sandbox.receipts.peers import NO_PEERS, Answering, Asked, Elsewhere, Peers, PeersSilent
from sandbox.receipts.reader import LogReader
from sandbox.receipts.receipts import Receipts
from sandbox.receipts.records import Generation
from sandbox.receipts.retention import Retention
from sandbox.receipts.selftests import record_self_test

__all__ = [
    "NO_PEERS",
    "Answering",
    "Asked",
    "Calls",
    "Elsewhere",
    "ExecutionLog",
    "Generation",
    "LogReader",
    "Peers",
    "PeersSilent",
    "Receipts",
    "RecordKind",
    "Retention",
    "close_orphans",
    "proven_size",
    "record_self_test",
]
