"""Is the leaf in the tree? The verifier's own reading of RFC 9162, sections 2.1.3.2 and 2.1.4.2 (trees of RFC 6962)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


class MerkleInvalid(ValueError):
    """A proof does not lead to the root."""


def hash_leaf(leaf: bytes) -> bytes:
    """Hash a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    """Hash an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that a leaf hash and its path lead to; raises `MerkleInvalid` for a path of the wrong length."""
    if any(len(node) != HASH_BYTES for node in (leaf, *path)):
        raise MerkleInvalid("a hash is 32 bytes")
    if not 0 <= index < size:
        raise MerkleInvalid(f"index {index} is not below the tree's size {size}")
    node, position, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            raise MerkleInvalid("the path has more hashes than the tree has levels")
        if position & 1 or position == last:
            node = hash_children(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = hash_children(node, sibling)
        position >>= 1
        last >>= 1
    if last:
        raise MerkleInvalid("the path has fewer hashes than the tree has levels")
    return node


def check_consistency(  # noqa: C901 - the RFC's algorithm, in its own steps
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> None:
    """Raise `MerkleInvalid` unless the tree of `first` leaves is the beginning of that of `second`; 0 is refused."""
    if not 0 < first <= second:
        raise MerkleInvalid(f"sizes {first} and {second} are not in order")
    if first == second:
        if path or first_root != second_root:
            raise MerkleInvalid("trees of one size need one root and no path")
        return
    hashes = list(path)
    if first & (first - 1) == 0:
        hashes.insert(0, first_root)
    if not hashes:
        raise MerkleInvalid("the path is empty")
    position, last = first - 1, second - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise MerkleInvalid("the path has more hashes than the tree has levels")
        if position & 1 or position == last:
            old, new = hash_children(sibling, old), hash_children(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = hash_children(new, sibling)
        position >>= 1
        last >>= 1
    if last or old != first_root or new != second_root:
        raise MerkleInvalid("the path does not lead to both roots")


@final
@dataclass(slots=True)
class GrowingTree:
    """The roots of the complete subtrees so far, the largest first: enough to know the root at every size."""

    size: int = 0
    parts: list[tuple[int, bytes]] = field(default_factory=list)
    """(height, root) of each."""

    def append(self, leaf: bytes) -> list[tuple[int, bytes]]:
        """Append a leaf hash; returns (height, root) of each subtree of 2**height leaves that this completed."""
        height, node = 0, leaf
        completed: list[tuple[int, bytes]] = []
        while self.parts and self.parts[-1][0] == height:
            node = hash_children(self.parts.pop()[1], node)
            height += 1
            completed.append((height, node))
        self.parts.append((height, node))
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Return the root of the tree as it is."""
        if not self.parts:
            return EMPTY_ROOT
        node = self.parts[-1][1]
        for _, left in reversed(self.parts[:-1]):
            node = hash_children(left, node)
        return node
