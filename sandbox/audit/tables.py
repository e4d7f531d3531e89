"""Does a service find what its log holds? The tables beside the tree, compared with the records.

Nothing is proven by these tables, but a call that they do not lead to is not shown, and a record written on from them
is wrong for ever.
"""

from __future__ import annotations

from typing import Final, final

from sandbox.audit.audited import Indexed, Leaf
from sandbox.audit.calls import Chains, Intents
from sandbox.audit.files import Files
from sandbox.audit.removed import NAME, Removals
from sandbox.v1 import record_pb2

MOVED: Final = "where the tables say that tokens, files and open calls stand (a service wrote meanwhile)"
UNPROVEN: Final = "what the `request_id`s that are still remembered lead to (nothing in the log says it twice)"
_HEX_DIGITS: Final = 32
"""Of a call id, which a table holds as 16 bytes."""


@final
class Tables:
    """What one log's tables say."""

    def __init__(self, log: Indexed) -> None:
        """Read those of `log`."""
        self._log = log
        self._told: tuple[str, ...] = ()

    def follow(self, leaf: Leaf) -> str:
        """Return what is wrong with the way to a record, in a phrase."""
        digits = leaf.record.call_id.replace("-", "")
        if len(digits) == _HEX_DIGITS and leaf.index not in self._log.indexes_of_call(bytes.fromhex(digits)):
            return f"the table of calls does not lead to the record of its call {leaf.record.call_id}"
        return ""

    def wrong_at_end(self, size: int, chains: Chains, intents: Intents, files: Files, removals: Removals) -> str:
        """Compare with what the first `size` records say; returns what differs, in a phrase."""
        fault = self._wrong_intents(intents) or self._wrong_chains(chains) or self._wrong_files(files, removals)
        if self._log.head().size == size:
            return fault
        self._told = (MOVED,)  # what differs may be the work of a service
        return ""

    def not_compared(self) -> tuple[str, ...]:
        """Say what was not compared, a line each for the report."""
        return (*self._told, UNPROVEN)

    def _wrong_intents(self, intents: Intents) -> str:
        listed = {index for index, _, _ in self._log.open_intents()}
        for index in sorted(listed ^ intents.open.keys()):
            how = "lists an intent that is not open" if index in listed else "does not list an intent that is open"
            return f"leaf {index}: the table of open calls {how}"
        return ""

    def _wrong_chains(self, chains: Chains) -> str:
        for token, head in chains.heads.items():
            if self._log.chain(token) != head:
                return f"the table of tokens has another last record of the token {token.hex()[:16]} than the log"
        if self._log.count_chains() != len(chains.heads):
            return "the table of tokens has tokens that no record names"
        return ""

    def _wrong_files(self, files: Files, removals: Removals) -> str:
        for (kind, name), known in files.newest().items():
            if self._log.file(kind, name) != known:
                return f"leaf {known[0]}: the table of files does not lead to `{name}`"
        listed = self._log.file(record_pb2.RECORD_KIND_RETENTION, NAME)
        if (listed and listed[0]) != removals.newest():
            return "the table of files does not lead to the newest record of removed payloads"
        return ""
