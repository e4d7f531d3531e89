"""What does a record say? Building its bytes; the committer adds the place in the token's chain at the end."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self, final

from msgspec import Struct

from sandbox.reasons import Fault
from sandbox.receipts.payloads import SealedPayload
from sandbox.receipts.randomness import Draw, draw
from sandbox.receipts.running import RequestKey
from sandbox.stages import Binding, CallId, Principal
from sandbox.toolspec import Digest, ToolName, ToolSpec
from sandbox.v1 import record_pb2

SCHEMA_VERSION: Final = 1
MAX_RECORD_BYTES: Final = 65_535
"""Below 64 KiB, for entry bundles of C2SP tlog-tiles have 16-bit lengths."""
MAX_ENTRY_BYTES: Final = MAX_RECORD_BYTES - 64
"""Of a record that has no place in its token's chain yet."""
MAX_LISTED: Final = 256
"""Tables, columns, functions or policies a record lists; of longer lists the statement, a payload, tells the rest."""
MAX_LISTED_BYTES: Final = 8 * 1024
"""Of one such list, for the names are those of a database."""

BOOT_BYTES: Final = 16
"""Of the random id of one opening of the log, which tells who wrote a record."""

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
    specs: Mapping[ToolName, ToolSpec] = field(default_factory=dict)
    """By tool name, so that a refusal names the spec it was refused under."""


@final
class Entry(Struct, frozen=True, kw_only=True):
    """A record on its way into the log."""

    record: bytes
    """Serialised, but for its place in the token's chain."""
    call_id: bytes
    token_digest: bytes = b""
    """Whose chain it joins; empty for none."""
    payloads: Sequence[SealedPayload] = ()
    request: RequestKey | None = None
    """A `request_id` to remember."""
    file: tuple[int, str, bytes] | None = None
    """(record kind, name, SHA-256) of a file whose bytes the record commits to."""
    opens: bool = False
    """Whether the record is an intent, which is open until another record tells its end."""
    closes: int | None = None
    """The index of the intent whose end the record tells; the committer keeps such an entry until it is written."""
    forgets: bytes = b""
    """The key of a request that led to the closed intent and may be asked anew."""

    def __post_init__(self) -> None:
        """Raise `Fault` for a record larger than a log entry can be."""
        if len(self.record) > MAX_ENTRY_BYTES:
            raise Fault("receipts: a record larger than a log entry can be")

    def entry(self, _draw: Draw, /) -> Self:
        """Return the entry itself: a finished one is its own draft."""
        return self


class Draft(Protocol):
    """What will become an entry, on the thread that appends it."""

    @property
    def closes(self) -> int | None:
        """The index of the intent whose end it will tell, if there is one."""
        ...

    def entry(self, draw: Draw, /) -> Entry:
        """Make the entry; keys and nonces come from `draw`."""
        ...


def recorded_binding(principal: Principal) -> str:
    """Return what a record says of the token's binding: nothing of one that is bound to a certificate."""
    return "" if principal.binding is Binding.CERTIFICATE else principal.binding.value


def new_call_id() -> CallId:
    """Mint a UUIDv7 (RFC 9562, section 5.7): sortable by time, unguessable in the rest."""
    ms, random = time.time_ns() // 1_000_000, int.from_bytes(draw(10), "big")
    return CallId(_UUID7 % (ms >> 16, ms & 0xFFFF, random >> 68, random >> 48 & 0x3FFF | 0x8000, random & _48_BITS))


_UUID7: Final = "%08x-%04x-7%03x-%04x-%012x"
_48_BITS: Final = 2**48 - 1
_CALL_ID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def call_key(call_id: str) -> bytes:
    """Return the sixteen bytes of a call id; empty for what is none."""
    return bytes.fromhex(call_id.replace("-", "")) if _CALL_ID.fullmatch(call_id) else b""


def listed(names: Iterable[str]) -> list[str]:
    """Return as many of the names as a record lists."""
    kept: list[str] = []
    size = 0
    for name in names:
        size += len(name.encode("utf-8", "surrogatepass"))
        if len(kept) == MAX_LISTED or size > MAX_LISTED_BYTES:
            break
        kept.append(name)
    return kept


def base_record(kind: record_pb2.RecordKind, call_id: str, build: str, boot: bytes) -> record_pb2.Record:
    """Return a record with what every record says."""
    return record_pb2.Record(
        schema_version=SCHEMA_VERSION,
        kind=kind,
        call_id=call_id,
        wall_time_us=time.time_ns() // 1000,
        boot_id=boot,
        build=build,
    )


def with_payloads(record: record_pb2.Record, payloads: Iterable[SealedPayload]) -> bytes:
    """Serialise a record with its payloads' descriptors."""
    return record.SerializeToString() + b"".join([payload.descriptor_field for payload in payloads])


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
