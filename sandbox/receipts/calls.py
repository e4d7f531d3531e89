"""Where is a call now? Running ones in memory, answered ones in the log; each caller sees only their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, final

from sandbox.reasons import Fault, Reason, Refused
from sandbox.receipts.answers import raise_fault, read_explanation, read_refusal, read_result
from sandbox.receipts.log import ExecutionLog
from sandbox.receipts.orphans import effect_unknown
from sandbox.receipts.payloads import SubjectKey
from sandbox.receipts.peers import NO_PEERS, Asked, Elsewhere, Peers, PeersSilent, not_told
from sandbox.receipts.reading import reading
from sandbox.receipts.records import call_key
from sandbox.receipts.removed import raise_missing
from sandbox.receipts.requests import lookup_key, replayed
from sandbox.receipts.running import RequestKey, Running
from sandbox.receipts.stored import stored_receipt
from sandbox.stages import Answer, CallId, Principal, SealedResult, StillRunning
from sandbox.stores.log import MAX_PAYLOADS, StoredRequest
from sandbox.v1 import record_pb2

RETRY_S: Final = 0.2
"""When to ask again about a call that is still running."""

MAX_TOLD: Final = 64
"""Characters of an id, and of the name of a tool, that processes tell each other: those of calls are no longer."""


@final
class Calls:
    """The calls of the service's processes, and the answers in the log."""

    def __init__(self, log: ExecutionLog, peers: Peers = NO_PEERS) -> None:
        """Know what `log` holds, and what `peers` run."""
        self._log = log
        self._peers = peers

    def answered(self, principal: Principal, key: RequestKey) -> SealedResult | None:
        """Return the earlier answer to the same request; raises `Refused` with `CALL_REPLAYED` for other bytes."""
        stored = self._remembered(key.key)
        if stored is None:
            return None
        if stored.content != key.content:
            raise replayed()
        return self._sealed(stored.index, principal)

    @reading()
    def find(self, principal: Principal, *, call_id: str = "", request_id: str = "") -> SealedResult:
        """Return the answer so far; raises `Refused` with `CALL_UNKNOWN` for any but the principal's own.

        Raises the `Fault` that a call ended with, under the reference it was told with.
        """
        running = self._find_running(principal, call_id, request_id)
        if running is not None:
            return still_running(running)
        elsewhere = self._elsewhere(principal, call_id, request_id, cancels=False)
        if isinstance(elsewhere, Elsewhere):
            return still_running(elsewhere)
        # Asked first, looked up then: a call that ends in between is on record.
        index = self._index_of(principal, call_id, request_id)
        if index is None:
            raise elsewhere or unknown_call()
        return self._sealed(index, principal)

    @reading()
    def cancel(self, principal: Principal, *, call_id: str = "", request_id: str = "") -> bool:
        """Tell a running call to stop; whether there was one. Raises `Refused` as `find` does."""
        running = self._find_running(principal, call_id, request_id)
        if running is not None:
            running.cancellation.cancel()
            return True
        elsewhere = self._elsewhere(principal, call_id, request_id, cancels=True)
        if isinstance(elsewhere, Elsewhere):
            return True
        index = self._index_of(principal, call_id, request_id)
        if index is None:
            raise elsewhere or unknown_call()
        self._own_record(index, principal)
        return False

    def here(self, asked: Asked) -> Elsewhere | None:
        """Answer another process: whether this one runs the call, which is told to stop if that is asked."""
        running = self._log.running.find(call_id=asked.call_id, request_key=asked.request_key)
        if running is None or self._digest(running.subject) != asked.subject:
            return None
        if asked.cancels:
            running.cancellation.cancel()
        return Elsewhere(running.call_id, running.tool[:MAX_TOLD])

    def _elsewhere(
        self, principal: Principal, call_id: str, request_id: str, *, cancels: bool
    ) -> Elsewhere | Refused | None:
        """Return the call that another process runs, or why that is not known."""
        if len(call_id) > MAX_TOLD:
            return None
        key = b"" if call_id else lookup_key(self._log, principal, request_id)
        try:
            return self._peers.ask(Asked(self._digest(principal.subject), call_id, key, cancels))
        except PeersSilent:
            return not_told()

    def _digest(self, subject: str) -> bytes:
        return self._log.root.derive(b"asked of a peer", subject.encode("utf-8", "surrogatepass"))

    def _find_running(self, principal: Principal, call_id: str, request_id: str) -> Running | None:
        key = b"" if call_id else lookup_key(self._log, principal, request_id)
        running = self._log.running.find(call_id=call_id, request_key=key)
        return running if running is not None and running.subject == principal.subject else None

    def _index_of(self, principal: Principal, call_id: str, request_id: str) -> int | None:
        if call_id:
            indexes = self._log.store.indexes_of_call(call_key(call_id))
            return indexes[-1] if indexes else None
        stored = self._remembered(lookup_key(self._log, principal, request_id))
        return stored.index if stored is not None else None

    def _remembered(self, key: bytes) -> StoredRequest | None:
        """Return what a `request_id` led to, unless its time is over."""
        stored = self._log.store.request(key)
        return stored if stored is not None and stored.expires_us >= time.time_ns() // 1000 else None

    def _own_record(self, index: int, principal: Principal) -> tuple[bytes, record_pb2.Record, SubjectKey]:
        """Return the record of a call's answer, as bytes and read, and its subject's key; only of one's own call."""
        content = self._log.store.record(index)
        if content is None:
            raise unknown_call()
        record = record_pb2.Record.FromString(content)
        key = self._log.subjects.key_of(principal.subject)
        if record.principal_pseudonym != key.pseudonym or record.kind not in _ANSWERED:
            raise unknown_call()
        return content, record, key

    def _sealed(self, index: int, principal: Principal) -> SealedResult:
        content, record, key = self._own_record(index, principal)
        if record.kind == record_pb2.RECORD_KIND_INTENT:
            end = self._log.store.indexes_of_call(call_key(record.call_id))[-1]
            return self._sealed(end, principal) if end != index else _unrecorded(record)
        return SealedResult(
            call_id=CallId(record.call_id),
            tool=record.tool,
            answer=self._answer(index, record, key),
            receipt=stored_receipt(self._log.store, self._log.note_of, index, content),
        )

    def _answer(self, index: int, record: record_pb2.Record, key: SubjectKey) -> Answer:
        if record.kind == record_pb2.RECORD_KIND_ORPHAN:
            return effect_unknown()
        for position, descriptor in enumerate(record.payloads):
            read = _READERS.get(descriptor.role)
            if read is not None:
                stored = self._log.store.payload(index * MAX_PAYLOADS + position)
                if stored is None:
                    raise_missing(self._log.store, index)
                return read(key.open(descriptor, stored, call_key(record.call_id)))
        raise Fault("a record without an answer")


_READERS: Final[Mapping[str, Callable[[bytes], Answer]]] = {
    "result": read_result,
    "refusal": read_refusal,
    "explanation": read_explanation,
    "fault": raise_fault,
}

_ANSWERED: Final = frozenset(
    {
        record_pb2.RECORD_KIND_READ,
        record_pb2.RECORD_KIND_REFUSAL,
        record_pb2.RECORD_KIND_EXPLANATION,
        record_pb2.RECORD_KIND_INTENT,
        record_pb2.RECORD_KIND_OUTCOME,
        record_pb2.RECORD_KIND_ORPHAN,
    }
)


def still_running(running: Running | Elsewhere) -> SealedResult:
    """Return what there is to say about a call that has not ended."""
    return SealedResult(call_id=running.call_id, tool=running.tool, answer=StillRunning(RETRY_S), receipt=b"")


def _unrecorded(intent: record_pb2.Record) -> SealedResult:
    """Return what there is to say about a call that had begun, and of whose end nothing is on record."""
    answer = StillRunning(RETRY_S, is_unrecorded=True)
    return SealedResult(call_id=CallId(intent.call_id), tool=intent.tool, answer=answer, receipt=b"")


def unknown_call() -> Refused:
    """Return the one refusal for calls that do not exist and for other people's."""
    message = "there is no such call among your own; `call_id` comes with every answer"
    return Refused(Reason.CALL_UNKNOWN, message, is_recorded=False)
