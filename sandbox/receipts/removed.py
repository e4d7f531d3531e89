"""Which payloads has retention removed? The last record that says so, believed only if it is what was hashed."""

from __future__ import annotations

from typing import Final, NamedTuple, NoReturn

from google.protobuf.message import DecodeError

from sandbox.reasons import Reason, Refused
from sandbox.receipts.payloads import PayloadUnreadable
from sandbox.receipts.tree import leaf_hash
from sandbox.stores.log import LogReading, StoreUnavailable
from sandbox.v1 import record_pb2

NAME: Final = "payloads"
"""Under which the store finds the newest such record, as it finds the newest of a file."""


class Removal(NamedTuple):
    """What the newest record of retention says."""

    leaf: int
    """Its own."""
    payloads_below: int
    """The leaf below which callers' payloads are removed."""


NEVER: Final = Removal(0, 0)


def last_removal(store: LogReading) -> Removal:
    """Return the newest removal, `NEVER` if there was none; raises `StoreUnavailable` where a table names another leaf.

    # INVARIANT: nothing is removed, and nothing told as removed, because a table alone says so.
    """
    known = store.file(record_pb2.RECORD_KIND_RETENTION, NAME)
    if known is None:
        return NEVER
    for index, leaf, content in store.records(known[0], 1):
        try:
            record = record_pb2.Record.FromString(content)
        except DecodeError:
            break
        is_sound = index == known[0] and leaf_hash(content) == leaf and record.payloads_below <= index
        if is_sound and record.kind == record_pb2.RECORD_KIND_RETENTION:
            return Removal(index, record.payloads_below)
    raise StoreUnavailable("the record of retention is not where the log's table says")


def raise_missing(store: LogReading, index: int) -> NoReturn:
    """Raise what is to say of a payload that the store does not have, of the record at `index`.

    `Refused` with `PAYLOAD_REMOVED` if retention has removed it, else `PayloadUnreadable`.
    """
    removal = last_removal(store)
    if index < removal.payloads_below:
        message = f"the payload was older than payloads are kept, and is removed (leaf {removal.leaf} says so)"
        leaf = str(removal.leaf)
        raise Refused(Reason.PAYLOAD_REMOVED, f"{message}; its record is kept", is_recorded=False, leaf=leaf)
    raise PayloadUnreadable("the payload is gone")
