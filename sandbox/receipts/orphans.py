"""What becomes of an intent whose process is gone? An orphan closes it: whether it took effect, nobody here knows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from google.protobuf.message import DecodeError

from sandbox.build import build_id
from sandbox.deployment import Misconfigured
from sandbox.reasons import Effect, Fault, Reason, Refused
from sandbox.receipts.log import ExecutionLog, unavailable
from sandbox.receipts.records import Entry, call_key
from sandbox.receipts.tree import leaf_hash
from sandbox.stores.log import StoreUnavailable
from sandbox.telemetry.events import warn
from sandbox.v1 import record_pb2
from sandbox.v1.record_pb2 import Record


def close_orphans(log: ExecutionLog) -> int:
    """Close each open intent whose process is gone, and tell operators of it; returns how many there were to close.

    Several processes may do so at once: an intent has one end, whoever is quicker.

    Raises `Misconfigured` for one that is not open or not what was hashed, `Refused` with `RECEIPT_LOG_UNAVAILABLE` if
    the log cannot be read or written.
    """
    try:
        orphans = [(index, intent) for index, intent in _open(log) if log.store.is_boot_gone(intent.boot_id)]
        closed = [index for index, intent in orphans if _close(log, index, intent)]
        log.store.sweep_boots()
    except StoreUnavailable as error:
        raise unavailable() from error
    return len(closed)


def effect_unknown() -> Refused:
    """Return what the caller of such a call is told."""
    message = (
        "the call had begun when the service went down, and whether it took effect is not known;"
        " look at its target before asking for it again, under another `request_id`"
    )
    return Refused(Reason.EFFECT_UNKNOWN, message, effect=Effect.UNKNOWN)


def _close(log: ExecutionLog, index: int, intent: Record) -> bool:
    """Append the intent's end; whether nobody was quicker."""
    try:
        if log.store.indexes_of_call(call_key(intent.call_id))[-1] != index:
            raise _untrue(index)
        log.append(_orphan(log, index, intent))
    except (Misconfigured, Fault):
        if any(still_open == index for still_open, _, _ in log.store.open_intents()):
            raise
        return False
    warn("an intent's process is gone, effect unknown", leaf=index, call_id=intent.call_id, tool=intent.tool)
    return True


def _open(log: ExecutionLog) -> Iterator[tuple[int, Record]]:
    """Yield open intents and their leaves; raises `Misconfigured` if one is none: a table's word signs nothing."""
    for index, leaf, content in log.store.open_intents():
        record = Record()
        with suppress(DecodeError):
            record = Record.FromString(content)
        if record.kind != record_pb2.RECORD_KIND_INTENT or leaf_hash(content) != leaf:
            raise _untrue(index)
        yield index, record


def _untrue(index: int) -> Misconfigured:
    message = (
        f"record {index} is no open intent, though a table of the log says so; `sandbox log audit` finds the place"
    )
    return Misconfigured(message)


def _orphan(log: ExecutionLog, index: int, intent: Record) -> Entry:
    """Return a record of the same call, told by this process."""
    orphan = Record()
    orphan.CopyFrom(intent)
    for field in ("payloads", "timings", "token_sequence", "previous_record_sha256"):
        orphan.ClearField(field)
    orphan.kind = record_pb2.RECORD_KIND_ORPHAN
    orphan.reason = Reason.EFFECT_UNKNOWN.value
    orphan.effect = record_pb2.EFFECT_UNKNOWN
    orphan.about_index_plus_one = index + 1
    orphan.wall_time_us = time.time_ns() // 1000
    orphan.boot_id = log.boot
    orphan.build = build_id()
    return Entry(
        record=orphan.SerializeToString(),
        call_id=call_key(orphan.call_id),
        token_digest=orphan.token_digest,
        closes=index,
    )
