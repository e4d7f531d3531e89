"""What is the root of the tree, and where in it does a leaf stand? RFC 6962, section 2.1, over ranges of leaves.

A node is named by the range of leaves beneath it. A `NodeSource` knows its hash, or computes it (leaves, complete
subtrees); the proofs are the same whoever knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256().digest()
"""The root of a tree without leaves (RFC 6962, section 2.1)."""
_sha256 = hashlib.sha256


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf (RFC 6962, section 2.1)."""
    return _sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node (RFC 6962, section 2.1)."""
    return _sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """Return the largest power of two smaller than `size`: how many leaves go left."""
    return 1 << ((size - 1).bit_length() - 1)


def complete_subtrees(size: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of the complete subtrees that make up a tree, the largest first."""
    start = 0
    for bit in range(size.bit_length() - 1, -1, -1):
        if size >> bit & 1:
            yield start, start + (1 << bit)
            start += 1 << bit


class NodeSource(Protocol):
    """Knows the hash of every node of one tree."""

    def node(self, start: int, end: int) -> bytes:
        """The hash over leaves `start` to `end` (exclusive)."""
        ...


@final
class GrownTree:
    """A tree that has just grown by a batch: the old tree's frontier and the new leaves are all it needs.

    Held level by level. A node without a right sibling stands for its parent too, which makes the same tree as
    splitting at powers of two (RFC 6962, section 2.1).
    """

    __slots__ = ("_levels", "size")

    def __init__(self, old_size: int, frontier: bytes, leaves: Sequence[bytes]) -> None:
        """Grow a tree of `old_size` leaves, whose complete subtrees have the roots `frontier`, by leaf hashes."""
        self.size = old_size + len(leaves)
        self._levels: list[tuple[int, list[bytes]]] = []
        """Of each level the index of the first node that is known, an even one, and the nodes from there on."""
        row, level, end = list(leaves), 0, len(frontier)
        while True:
            first = old_size >> level
            if first & 1:  # the last complete subtree of the old tree on this level is the left sibling
                first -= 1
                row.insert(0, frontier[end - HASH_BYTES : end])
                end -= HASH_BYTES
            self._levels.append((first, row))
            if first == 0 and len(row) <= 1:
                return
            pairs = iter(row)
            above = [_sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
            row = above + row[-1:] if len(row) & 1 else above
            level += 1

    def node(self, start: int, end: int) -> bytes:
        """The hash of a node that the batch changed, or of a complete subtree that stands beside one.

        Raises `LookupError` for a node that only the old tree knows.
        """
        level = (end - start - 1).bit_length()
        if end - start != 1 << level and end != self.size:
            middle = start + split(end - start)
            return node_hash(self.node(start, middle), self.node(middle, end))
        first, row = self._levels[level]
        place = (start >> level) - first
        if place < 0:
            raise LookupError(f"the tree does not know its node over leaves {start} to {end}")
        return row[place]

    def root(self) -> bytes:
        """The root."""
        return self._levels[-1][1][0]

    def frontier(self) -> bytes:
        """The roots of the complete subtrees, the largest first."""
        return b"".join([self.node(start, end) for start, end in complete_subtrees(self.size)])

    def completed(self, old_size: int, level_bits: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield (level, index, root) of each subtree of 2^(bits·level) leaves that the batch completed."""
        level = 1
        while (width := 1 << level_bits * level) <= self.size:
            for index in range(old_size // width, self.size // width):
                yield level, index, self.node(index * width, (index + 1) * width)
            level += 1

    def new_paths(self, old_size: int, line: Callable[[bytes], bytes]) -> list[bytes]:
        """Return the inclusion path of each leaf from `old_size` on, its nodes written by `line` and joined.

        Neighbours share all but their first lines, so each node is written once.
        """
        above = [b""]
        for level in range(len(self._levels) - 2, -1, -1):
            first, row = self._levels[level]
            siblings = [b""] * len(row)  # the last node of a row may have none
            paired = len(row) & ~1
            siblings[0:paired:2] = [line(node) for node in row[1::2]]
            siblings[1:paired:2] = [line(node) for node in row[0:paired:2]]
            offset = (first >> 1) - self._levels[level + 1][0]
            above = [sibling + above[offset + (place >> 1)] for place, sibling in enumerate(siblings)]
        return above[old_size - self._levels[0][0] :]


def inclusion_path(nodes: NodeSource, index: int, size: int) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962, section 2.1.1: the leaf's sibling first."""
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append(nodes.node(middle, end))
            end = middle
        else:
            path.append(nodes.node(start, middle))
            start = middle
    path.reverse()
    return path


def consistency_path(nodes: NodeSource, first: int, second: int) -> list[bytes]:
    """Return PROOF(first, D[second]) of RFC 6962, section 2.1.2; empty where `first` is 0 or `second`."""
    if first in {0, second}:
        return []
    path: list[bytes] = []
    start, end = 0, second
    is_whole = True  # the first tree is the node we stand on
    while first != end:
        middle = start + split(end - start)
        if first <= middle:
            path.append(nodes.node(middle, end))
            end = middle
        else:
            path.append(nodes.node(start, middle))
            start = middle
            is_whole = False
    if not is_whole:
        path.append(nodes.node(start, end))
    path.reverse()
    return path
