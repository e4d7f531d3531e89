"""How long are payloads kept? As `log.payload_days` says: a signed record comes first, then they are removed.

INVARIANT: no payload is removed that no durable and signed record says is removed, nor one that a `request_id` which is
still remembered or an open intent leads to. What the service needs to read records with, the bytes of specs, policies
and configuration, is kept.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

from sandbox.build import build_id
from sandbox.reasons import Refused
from sandbox.receipts.log import ExecutionLog
from sandbox.receipts.records import Entry, base_record, call_key, new_call_id
from sandbox.receipts.removed import NAME, Removal, last_removal
from sandbox.receipts.subjects import SERVICE
from sandbox.stores.log import MAX_PAYLOADS, StoreUnavailable
from sandbox.telemetry.events import broke, note, warn
from sandbox.v1 import record_pb2

DAY_US: Final = 24 * 3_600_000_000
EVERY_S: Final = 3600.0
SOON_S: Final = 60.0
"""When to try again what could not be finished: another process removes or archives, the log could not be written, or a
reader kept old pages."""
AT_ONCE: Final = 128
"""Payloads removed in one transaction, for callers wait for it."""
PAUSE_S: Final = 0.01
"""Between two transactions, so that callers' come in between."""
SCANNED_AT_ONCE: Final = 1000


@final
class Retention:
    """Removes payloads that are older than they may be kept; of several processes one at a time."""

    def __init__(self, log: ExecutionLog) -> None:
        """Keep up `log`."""
        self._log = log
        self._ending = threading.Event()

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """Run now and every hour, on a thread of its own, until the block is left."""
        thread = threading.Thread(target=self._keep_up, name="retention", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join()

    def _keep_up(self) -> None:
        delay_s = 0.0
        while not self._ending.wait(delay_s):
            delay_s = SOON_S
            try:
                if self.run(time.time_ns() // 1000):
                    delay_s = EVERY_S
            except (StoreUnavailable, Refused) as error:
                warn("payloads cannot be removed", problem=str(error))
            except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it is
                broke("retention failed", error)

    def run(self, now_us: int) -> bool:
        """Remove what is due, and first what an earlier run recorded and a crash left; whether nothing is left to do.

        That is not known while another process removes or archives, so then False. Raises `StoreUnavailable`, or
        `Refused` with `RECEIPT_LOG_UNAVAILABLE`.
        """
        store = self._log.store
        with store.removing() as is_alone:
            if not is_alone:
                return False
            last = last_removal(store)
            days = self._log.settings.log.payload_days
            below = self._due(last.payloads_below, now_us, now_us - days * DAY_US) if days else 0
            removal = self._recorded(last, below, days=days)
            self._remove(removal)
            is_empty = not removal.payloads_below or store.empty_write_ahead_log()
            return is_empty and not self._count(0, removal.payloads_below)

    def prune(self, size: int, root: bytes) -> int:
        """Remove payloads of an archived tree, but for what is still needed; returns how many.

        # INVARIANT: whoever calls this has held `store.removing()` since the archive was begun, and has read it back.
        """
        needed = self._log.store.needed_from(time.time_ns() // 1000)
        below = size if needed is None else min(size, needed)
        removed = self._remove(self._recorded(last_removal(self._log.store), below, size=size, root=root))
        self._log.store.empty_write_ahead_log()
        return removed

    def _remove(self, removal: Removal) -> int:
        if not removal.payloads_below:
            return 0
        # INVARIANT: signed in the file before the first payload is gone, for an audit believes no other record.
        self._write_signature(removal.leaf)
        removed = self._removed_below(removal.payloads_below)
        if removed:
            note("payloads removed", payloads=removed, below_leaf=removal.payloads_below, leaf=removal.leaf)
        return removed

    def _write_signature(self, leaf: int) -> None:
        """Put a signature of ours that covers the leaf into the file, unless one is there."""
        stored, newest = self._log.store.newest_signed_checkpoint(), self._log.newest_checkpoint()
        for each in (stored, newest):
            signature = b"" if each is None or each.size <= leaf else each.signature or b""
            if each is None or not self._log.signer.is_ours(each.size, each.root, signature):
                continue
            if each is not stored:
                with self._log.store.writing() as writing:
                    writing.sign([(signature, each.size)])
            return
        raise StoreUnavailable("the record of retention is not signed yet")

    def _recorded(self, last: Removal, below: int, *, days: int = 0, size: int = 0, root: bytes = b"") -> Removal:
        """Put a removal on record and return it once that is durable; the last one if nothing more is to be removed."""
        count = self._count(last.payloads_below, below)
        if below <= last.payloads_below or not count:
            return last
        call_id = new_call_id()
        record = base_record(record_pb2.RECORD_KIND_RETENTION, call_id, build_id(), self._log.boot)
        record.payloads_below, record.payload_days, record.counted = below, days, count
        record.archived_size, record.archived_root = size, root
        content = record.SerializeToString()
        digest = hashlib.sha256(content).digest()
        file = (record_pb2.RECORD_KIND_RETENTION, NAME, digest)
        return Removal(self._log.append(Entry(record=content, call_id=call_key(call_id), file=file)).index, below)

    def _due(self, start: int, now_us: int, before_us: int) -> int:
        """Return the first leaf from `start` on that is not older than `before_us`, or that is still needed."""
        needed = self._log.store.needed_from(now_us)
        while True:
            rows = self._log.store.records(start, SCANNED_AT_ONCE)
            for index, _, content in rows:
                is_needed = needed is not None and index >= needed
                if is_needed or record_pb2.Record.FromString(content).wall_time_us >= before_us:
                    return index
            start += len(rows)
            if len(rows) < SCANNED_AT_ONCE:
                return start

    def _removed_below(self, leaf: int) -> int:
        removed = 0
        kept = self._log.subjects.key_of(SERVICE).subject
        while True:
            with self._log.store.writing() as writing:
                count = writing.remove_payloads(leaf * MAX_PAYLOADS, kept, AT_ONCE)
            removed += count
            if count < AT_ONCE or self._ending.wait(PAUSE_S):
                return removed

    def _count(self, start: int, end: int) -> int:
        """How many payloads of callers the leaves from `start` to `end` (exclusive) have."""
        kept = self._log.subjects.key_of(SERVICE).subject
        return self._log.store.count_payloads(start * MAX_PAYLOADS, end * MAX_PAYLOADS, kept)
