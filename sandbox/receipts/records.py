"""What does a record say? Building its bytes; the committer adds the place in the token's chain at the end."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from sandbox.receipts.payloads import SealedPayload
from sandbox.stages import CallId
from sandbox.toolspec import Digest
from sandbox.v1 import record_pb2

SCHEMA_VERSION: Final = 1
MAX_RECORD_BYTES: Final = 65_535
"""Below 64 KiB, for entry bundles of C2SP tlog-tiles have 16-bit lengths."""
MAX_LISTED: Final = 512
"""Columns a record lists; a plan with more is named by its commitments alone."""

BOOT_ID: Final = os.urandom(16)
"""Which run of a process wrote a record."""

_SEQUENCE_TAG: Final = b"\xc0\x0c"
"""Field 200, varint."""
_PREVIOUS_TAG: Final = b"\xca\x0c\x20"
"""Field 201, 32 bytes."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What was in force, and which leaves hold its bytes. One generation a reload."""

    build: str
    spec_indexes: Mapping[Digest, int]
    policy_digest: Digest
    policy_indexes: tuple[int, ...]
    config_digest: Digest
    config_indexes: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record on its way into the log."""

    record: bytes
    """Serialised, but for its place in the token's chain."""
    call_id: bytes
    token_digest: bytes = b""
    """Whose chain it joins; empty for none."""
    payloads: tuple[SealedPayload, ...] = ()
    request: tuple[bytes, bytes, int] | None = None
    """(key, content, expires_us) of a `request_id` to remember."""
    file: tuple[int, str, bytes] | None = None
    """(record kind, name, SHA-256) of a file whose bytes the record commits to."""


def new_call_id() -> CallId:
    """Mint a UUIDv7 (RFC 9562, section 5.7): sortable by time, unguessable in the rest."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return CallId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def call_key(call_id: str) -> bytes:
    """Return the sixteen bytes of a call id; empty for what is none."""
    try:
        return uuid.UUID(call_id).bytes
    except ValueError:
        return b""


def base_record(kind: record_pb2.RecordKind, call_id: str, build: str) -> record_pb2.Record:
    """Return a record with what every record says."""
    return record_pb2.Record(
        schema_version=SCHEMA_VERSION,
        kind=kind,
        call_id=call_id,
        wall_time_us=time.time_ns() // 1000,
        boot_id=BOOT_ID,
        build=build,
    )


def with_payloads(record: record_pb2.Record, payloads: Iterable[SealedPayload]) -> bytes:
    """Add the payloads' descriptors and serialise; over-long lists of columns are cut to keep a leaf below 64 KiB."""
    record.payloads.extend(payload.descriptor for payload in payloads)
    serialised = record.SerializeToString()
    if len(serialised) > MAX_RECORD_BYTES // 2:
        del record.columns[MAX_LISTED:], record.relations[MAX_LISTED:], record.functions[MAX_LISTED:]
        serialised = record.SerializeToString()
    return serialised


def in_chain(record: bytes, sequence: int, previous: bytes) -> bytes:
    """Append the place in the token's chain: serialised protobuf messages merge by concatenation."""
    place = _SEQUENCE_TAG + _varint(sequence)
    return record + place + (_PREVIOUS_TAG + previous if previous else b"")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
