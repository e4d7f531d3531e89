"""Does a service find what its log holds? The file and the tables beside the tree, compared with the records.

Nothing is proven by these tables, but a call that they do not lead to is not shown, and a record written on from them
is wrong for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, final

from sandbox.audit.audited import Indexed, Leaf
from sandbox.audit.calls import Chains, Intents
from sandbox.audit.files import Files
from sandbox.audit.removed import Removals
from sandbox.stores.log import MAX_PAYLOADS, TILE_BITS, Head, StoredTables

UNPROVEN: Final = "what the `request_id`s that are still remembered lead to (nothing in the log says it twice)"
AT_ONCE: Final = 2000
_CALL_ID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
"""A call id that a table holds, as its 16 bytes; of any other it holds nothing."""


@final
class Tables:
    """What one log's tables say."""

    def __init__(self, log: Indexed) -> None:
        """Read those of `log`."""
        self._log = log
        self._keys: dict[int, bytes | None] = {}
        """Of the leaves that come next."""
        self._stored: StoredTables | None = None

    def damage(self) -> str:
        """Return what is wrong with the file that holds them, in a phrase."""
        return self._log.damage()

    def follow(self, leaf: Leaf) -> str:
        """Return what is wrong with the way to a record, in a phrase."""
        if leaf.index not in self._keys:
            self._keys = dict(self._log.call_keys(leaf.index, AT_ONCE))
        call_id = leaf.record.call_id
        key = bytes.fromhex(call_id.replace("-", "")) if _CALL_ID.fullmatch(call_id) else None
        if self._keys.get(leaf.index) != key:
            return "the table of calls does not lead to the record by the id of its call"
        return ""

    def read(self) -> Head:
        """Read them as they are at one moment; returns the tree of that moment."""
        self._stored = self._log.tables()
        return self._stored.head

    def wrong(self, chains: Chains, intents: Intents, files: Files, removals: Removals) -> str:
        """Compare what was read last with what as many records say; returns what differs, in a phrase."""
        stored = self._stored
        return "" if stored is None else next(_differing(stored, chains, intents, files, removals), "")


def _differing(
    stored: StoredTables, chains: Chains, intents: Intents, files: Files, removals: Removals
) -> Iterator[str]:
    for index in sorted(stored.open_intents ^ intents.open.keys()):
        is_listed = index in stored.open_intents
        how = "lists an intent that is not open" if is_listed else "does not list an intent that is open"
        yield f"leaf {index}: the table of open calls {how}"
    for token, head in chains.heads.items():
        if stored.chains.get(token) != head:
            yield f"the table of tokens has another last record of the token {token.hex()[:16]} than the log"
    if len(stored.chains) != len(chains.heads):
        yield "the table of tokens has tokens that no record names"
    known = files.newest() | removals.newest()
    for (kind, name), at in known.items():
        if stored.files.get((kind, name)) != at:
            yield f"leaf {at[0]}: the table of files does not lead to `{name}`"
    for _, name in sorted(stored.files.keys() - known.keys()):
        yield f"the table of files has `{name}`, which no record names"
    if stored.tiles != sum(stored.head.size >> TILE_BITS * level for level in range(1, 9)):
        yield "the table of tiles has other ones than the tree"
    if stored.payloads_end > stored.head.size * MAX_PAYLOADS:
        yield f"leaf {stored.head.size} is missing; a payload of it, or of one beyond, is there"
