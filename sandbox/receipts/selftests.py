"""What is on record of a self-test? What was tried on which tools, under what configuration, and who did not pass."""

from __future__ import annotations

from sandbox.receipts.log import ExecutionLog
from sandbox.receipts.records import Entry, Generation, base_record, call_key, new_call_id, with_payloads
from sandbox.receipts.subjects import SERVICE
from sandbox.v1 import record_pb2


def record_self_test(log: ExecutionLog, generation: Generation, report: bytes, unserved: int) -> int:
    """Append a self-test's record and return its leaf; raises what `ExecutionLog.append` does."""
    call_id = new_call_id()
    payload = log.subjects.key_of(SERVICE).seal("self_test", report, call_key(call_id))
    record = base_record(record_pb2.RECORD_KIND_SELF_TEST, call_id, generation.build, log.boot)
    record.policy_digest = bytes.fromhex(generation.policy_digest)
    record.policy_indexes.extend(generation.policy_indexes)
    record.config_digest = bytes.fromhex(generation.config_digest)
    record.config_indexes.extend(generation.config_indexes)
    record.counted = unserved
    entry = Entry(record=with_payloads(record, [payload]), call_id=call_key(call_id), payloads=(payload,))
    return log.append(entry).index
