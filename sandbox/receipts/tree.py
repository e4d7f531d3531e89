"""What is the root of the tree, and where in it does a leaf stand? RFC 6962, section 2.1, over ranges of leaves.

A node is named by the range of leaves beneath it. `Nodes` computes a node from what it knows (leaves, roots of complete
subtrees); the proofs are the same whoever knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
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
    """A tree that has just grown by a batch: the old tree's frontier and the new leaves are all it needs."""

    __slots__ = ("_known", "_text", "size")

    def __init__(self, old_size: int, frontier: bytes, leaves: Iterable[bytes]) -> None:
        """Grow a tree of `old_size` leaves, whose complete subtrees have the roots `frontier`, by leaf hashes."""
        self._known = {
            place: frontier[i * HASH_BYTES : (i + 1) * HASH_BYTES]
            for i, place in enumerate(complete_subtrees(old_size))
        }
        self.size = old_size
        for leaf in leaves:
            self._known[self.size, self.size + 1] = leaf
            self.size += 1

    def node(self, start: int, end: int) -> bytes:
        """The hash of a node that the batch changed, or of a complete subtree of the old tree."""
        known = self._known.get((start, end))
        if known is None:
            middle = start + split(end - start)
            known = self._known[start, end] = node_hash(self.node(start, middle), self.node(middle, end))
        return known

    def root(self) -> bytes:
        """The root."""
        return self.node(0, self.size)

    def frontier(self) -> bytes:
        """The roots of the complete subtrees, the largest first."""
        return b"".join(self.node(start, end) for start, end in complete_subtrees(self.size))

    def completed(self, old_size: int, level_bits: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield (level, index, root) of each subtree of 2^(bits·level) leaves that the batch completed."""
        level = 1
        while (width := 1 << level_bits * level) <= self.size:
            for index in range(old_size // width, self.size // width):
                yield level, index, self.node(index * width, (index + 1) * width)
            level += 1


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
