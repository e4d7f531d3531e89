"""How is a proof made long after? From stored leaves and subtree roots, the very bytes of the first time."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from sandbox.receipts.proof import path_text, proof_text
from sandbox.receipts.tree import inclusion_path, node_hash, split
from sandbox.stores.log import TILE_BITS, LogReading, StoredCheckpoint, StoreUnavailable

TILE = 1 << TILE_BITS


@final
class StoredTree:
    """Knows every node of the log's tree, by way of its store."""

    def __init__(self, store: LogReading) -> None:
        """Read from `store`."""
        self._store = store
        self._known: dict[tuple[int, int], bytes] = {}

    def node(self, start: int, end: int) -> bytes:
        """The hash over leaves `start` to `end` (exclusive)."""
        if (start, end) not in self._known:
            self._known[start, end] = self._found(start, end)
        return self._known[start, end]

    def _found(self, start: int, end: int) -> bytes:
        width = end - start
        if width == 1:
            self._load_tile(start)
            return self._known[start, end]
        level = 0
        while width % TILE == 0 and width >= TILE:
            width //= TILE
            level += 1
        if level and width == 1:
            index = start // (end - start)
            roots = self._store.tile_roots(level, index, index + 1)
            if roots:
                return roots[0]
        middle = start + split(end - start)
        return node_hash(self.node(start, middle), self.node(middle, end))

    def _load_tile(self, leaf: int) -> None:
        start = leaf // TILE * TILE
        hashes = self._store.leaf_hashes(start, start + TILE)
        if leaf - start >= len(hashes):
            raise StoreUnavailable("a leaf is missing")
        for offset, found in enumerate(hashes):
            self._known[start + offset, start + offset + 1] = found


def stored_receipt(store: LogReading, note_of: Callable[[StoredCheckpoint], bytes], index: int, record: bytes) -> bytes:
    """Return the receipt of a record as it was first given: against the checkpoint of its own batch."""
    checkpoint = store.checkpoint_covering(index)
    if checkpoint is None:
        raise StoreUnavailable("no checkpoint covers the record")
    path = inclusion_path(StoredTree(store), index, checkpoint.size)
    return proof_text(record, index, path_text(path), note_of(checkpoint))
