"""How does a reviewer read the log? Checkpoints, records, proofs, and payloads whose reading is itself on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import orjson

from sandbox.build import build_id
from sandbox.reasons import Reason, Refused, quoted
from sandbox.receipts.calls import unknown_call
from sandbox.receipts.checkpoints import Checkpoints
from sandbox.receipts.log import ExecutionLog
from sandbox.receipts.reading import reading
from sandbox.receipts.records import Entry, base_record, call_key, new_call_id, recorded_binding, with_payloads
from sandbox.receipts.removed import raise_missing
from sandbox.receipts.stored import StoredTree, stored_receipt
from sandbox.receipts.tree import consistency_path
from sandbox.stages import Principal
from sandbox.stores.archive import ArchivedLog
from sandbox.stores.log import MAX_PAYLOADS, StoredPayload
from sandbox.v1 import record_pb2

SCANNED_AT_ONCE: Final = 1000
MAX_SCANS: Final = 20
"""A page looks at no more than 20,000 records; a filter that matches few of them gives a short page and a token."""
MAX_PAGE_BYTES: Final = 2 * 1024 * 1024
"""Half of what a message may hold."""


@final
@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record and its place."""

    index: int
    record: bytes


@final
@dataclass(frozen=True, slots=True)
class ReadCall:
    """What was read of a call."""

    payloads: Mapping[str, bytes]
    """Decrypted, by role."""
    removed: Mapping[str, int]
    """Roles of payloads that retention has removed, and the leaf that says so."""


@final
class LogReader:
    """Reads the log of one process's `ExecutionLog`; raises `Refused` where the log cannot be read."""

    def __init__(
        self, log: ExecutionLog, checkpoint_file: Path | None = None, archive: ArchivedLog | None = None
    ) -> None:
        """Read from `log`; the newest checkpoint is also left in `checkpoint_file`.

        Payloads that the log has no more are looked for in `archive`.
        """
        self._log = log
        self._archive = archive
        self._checkpoints = Checkpoints(log, checkpoint_file)

    @reading()
    def checkpoint(self) -> bytes:
        """The newest signed checkpoint, with each line that the log can sign."""
        return self._checkpoints.newest()

    def publish(self) -> None:
        """Leave the newest checkpoint in its file."""
        self._checkpoints.publish()

    @reading()
    def list_records(self, *, start: int, limit: int, tool: str, kind: int) -> tuple[list[LoggedRecord], int | None]:
        """A page of records and the index the next page starts at, if there is one."""
        found: list[LoggedRecord] = []
        found_bytes = 0
        for _ in range(MAX_SCANS):
            rows = self._log.store.records(start, SCANNED_AT_ONCE)
            for index, _, content in rows:
                if len(found) == limit or found_bytes > MAX_PAGE_BYTES:
                    return found, index
                record = record_pb2.Record.FromString(content)
                if tool in {"", record.tool} and kind in {0, record.kind}:
                    found.append(LoggedRecord(index, content))
                    found_bytes += len(content)
                start = index + 1
            if len(rows) < SCANNED_AT_ONCE:
                return found, None
        return found, start

    @reading()
    def receipt(self, principal: Principal, call_id: str, *, own_only: bool, of_intent: bool = False) -> bytes:
        """The receipt of a call's last record, or of its intent; `own_only` limits it to the principal's own calls."""
        found = self._records(call_id)
        index, content, record = found[0] if of_intent else found[-1]
        is_wrong = of_intent and record.kind != record_pb2.RECORD_KIND_INTENT
        if is_wrong or (
            own_only and record.principal_pseudonym != self._log.subjects.key_of(principal.subject).pseudonym
        ):
            raise unknown_call()
        return stored_receipt(self._log.store, self._log.note_of, index, content)

    @reading()
    def consistency_proof(self, first_size: int, second_size: int) -> tuple[list[bytes], bytes]:
        """The proof and the checkpoint of the larger tree (0: the newest that is signed)."""
        newest = self._log.newest_checkpoint().size
        second = second_size or newest
        checkpoint = self._log.store.checkpoint_covering(second - 1) if 0 < second <= newest else None
        if not 0 <= first_size <= second or checkpoint is None or checkpoint.size != second:
            message = f"no checkpoint of {second} records after {first_size}; sizes come from checkpoints"
            raise Refused(Reason.REQUEST_INVALID, message, is_recorded=False)
        note = self._log.note_of(checkpoint)
        return consistency_path(StoredTree(self._log.store), first_size, second), note

    @reading()
    def read_payload(self, principal: Principal, call_id: str, role: str) -> tuple[bytes, bytes]:
        """One payload and the receipt of the access record, which is durable before the plaintext is returned."""
        places = self._places(call_id)
        if role not in places:
            message = f"the call has no payload {quoted(role)}; it has {', '.join(places) or 'none'}"
            raise Refused(Reason.REQUEST_INVALID, message, is_recorded=False)
        index, record, position = places[role]
        self._stored(index, position)  # what is gone is not read, so no reading of it is recorded
        access = self._access(principal, index, record.tool, {"role": role})
        receipt = self._log.append(access).receipt
        return self._opened(index, record, position), receipt

    @reading()
    def read_call(self, principal: Principal, call_id: str) -> ReadCall:
        """All that is left of a call's payloads, after one access record that names them, which is durable then."""
        last = self._records(call_id)[-1]
        places, removed = self._places(call_id), dict[str, int]()
        for role, (index, _, position) in list(places.items()):
            try:
                self._stored(index, position)
            except Refused as refused:
                if refused.reason is not Reason.PAYLOAD_REMOVED:
                    raise
                removed[role] = int(refused.metadata["leaf"])
                del places[role]
        if places:
            self._log.append(self._access(principal, last[0], last[2].tool, {"roles": list(places)}))
        return ReadCall({role: self._opened(*place) for role, place in places.items()}, removed)

    @reading()
    def last_record(self, call_id: str) -> record_pb2.Record:
        """The call's last record."""
        return self._records(call_id)[-1][2]

    def _places(self, call_id: str) -> dict[str, tuple[int, record_pb2.Record, int]]:
        """Return where a call's payloads are, those of its intent included, by role."""
        return {
            descriptor.role: (index, record, position)
            for index, _, record in self._records(call_id)
            for position, descriptor in enumerate(record.payloads)
        }

    def _opened(self, index: int, record: record_pb2.Record, position: int) -> bytes:
        descriptor = record.payloads[position]
        stored = self._stored(index, position)
        return self._log.subjects.key_by_id(stored.subject).open(descriptor, stored, call_key(record.call_id))

    def _stored(self, index: int, position: int) -> StoredPayload:
        payload_id = index * MAX_PAYLOADS + position
        stored = self._log.store.payload(payload_id)
        if stored is None and self._archive is not None:
            stored = self._archive.payload(payload_id)
        return raise_missing(self._log.store, index) if stored is None else stored

    def _access(self, principal: Principal, index: int, tool: str, what: Mapping[str, str | list[str]]) -> Entry:
        call_id = new_call_id()
        key = self._log.subjects.key_of(principal.subject)
        payload = key.seal("arguments", orjson.dumps(what), call_key(call_id))
        record = base_record(record_pb2.RECORD_KIND_ACCESS, call_id, build_id(), self._log.boot)
        record.principal_pseudonym = key.pseudonym
        record.token_digest = principal.token_digest
        record.certificate_digest = principal.certificate_digest
        record.binding = recorded_binding(principal)
        record.about_index_plus_one = index + 1
        record.tool = tool
        return Entry(
            record=with_payloads(record, [payload]),
            call_id=call_key(call_id),
            token_digest=principal.token_digest,
            payloads=[payload],
        )

    def _records(self, call_id: str) -> list[tuple[int, bytes, record_pb2.Record]]:
        """Return the call's records, in order, at least one: an intent comes before its end."""
        found = [(index, self._log.store.record(index)) for index in self._log.store.indexes_of_call(call_key(call_id))]
        records = [
            (index, content, record_pb2.Record.FromString(content)) for index, content in found if content is not None
        ]
        if not records:
            raise unknown_call()
        return records
