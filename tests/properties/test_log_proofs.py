"""Do proofs hold for every tree, and only for it? Grown in any batches, by the service and as the RFC defines it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sandbox.audit.merkle import MerkleInvalid, check_consistency, root_from_inclusion
from sandbox.receipts.proof import line, path_text
from sandbox.receipts.stored import StoredTree
from sandbox.receipts.tree import EMPTY_ROOT, GrownTree, consistency_path, inclusion_path, leaf_hash
from sandbox.stores.log import TILE_BITS

pytestmark = pytest.mark.requirement("log:proofs:any-tree")

batches = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def reference_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + reference_root(leaves[:k]) + reference_root(leaves[k:])).digest()


def leaf_hashes(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


class FakeStore:
    """What a store would hold after the batches."""

    def __init__(self, leaves: list[bytes], tiles: dict[tuple[int, int], bytes]) -> None:
        self.leaves = leaves
        self.tiles = tiles

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        return self.leaves[start:end]

    def tile_roots(self, level: int, start: int, end: int) -> list[bytes]:
        return [self.tiles[level, index] for index in range(start, end) if (level, index) in self.tiles]


def grow(sizes: Sequence[int], tile_bits: int = TILE_BITS) -> tuple[list[GrownTree], FakeStore]:
    leaves = leaf_hashes(sum(sizes))
    trees: list[GrownTree] = []
    tiles: dict[tuple[int, int], bytes] = {}
    size, frontier = 0, b""
    for count in sizes:
        tree = GrownTree(size, frontier, leaves[size : size + count])
        tiles |= {(level, index): root for level, index, root in tree.completed(size, tile_bits)}
        trees.append(tree)
        size, frontier = tree.size, tree.frontier()
    return trees, FakeStore(leaves, tiles)


@given(batches)
def test_batches_make_the_tree_that_the_rfc_defines(sizes: list[int]) -> None:
    trees, store = grow(sizes)

    for tree in trees:
        assert tree.root() == reference_root(store.leaves[: tree.size])


@given(batches)
def test_every_leaf_of_a_batch_has_a_proof_that_verifies(sizes: list[int]) -> None:
    trees, store = grow(sizes)
    tree, old = trees[-1], trees[-1].size - sizes[-1]

    texts = tree.new_paths(old, line)
    for index in range(old, tree.size):
        path = inclusion_path(tree, index, tree.size)
        assert root_from_inclusion(store.leaves[index], index, tree.size, path) == tree.root()
        assert texts[index - old] == path_text(path)


@given(st.integers(1, 1500), st.data())
def test_stored_trees_give_the_same_proofs_long_after(size: int, data: st.DataObject) -> None:
    _, store = grow([size])
    part = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, part - 1))
    stored = StoredTree(store)  # type: ignore[arg-type]
    root = reference_root(store.leaves[:part])

    assert stored.node(0, part) == root
    path = inclusion_path(stored, index, part)
    assert root_from_inclusion(store.leaves[index], index, part, path) == root
    proof = consistency_path(stored, part, size)
    check_consistency(part, size, root, reference_root(store.leaves), proof)


@given(st.integers(1, 300), st.data())
def test_no_other_index_size_leaf_or_hash_verifies(size: int, data: st.DataObject) -> None:
    (tree,), store = grow([size])
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_path(tree, index, size)
    other_index = data.draw(st.integers(0, size + 1))
    other_size = data.draw(st.integers(1, size * 2))
    assume(other_index != index)

    assert not leads_to(tree.root(), store.leaves[index], other_index, size, path)
    # The path of one shape may fit another size; its root is then another tree's, or this very leaf's place in it.
    if leads_to(tree.root(), store.leaves[index], index, other_size, path):
        assert len(inclusion_path(GrownTree(0, b"", leaf_hashes(other_size)), index, other_size)) == len(path)
    if path:
        position = data.draw(st.integers(0, len(path) - 1))
        changed = [*path]
        changed[position] = bytes([changed[position][0] ^ 1]) + changed[position][1:]
        assert not leads_to(tree.root(), store.leaves[index], index, size, changed)
    assert not leads_to(tree.root(), store.leaves[index], index, size, path[:-1]) or not path
    assert not leads_to(tree.root(), store.leaves[index], index, size, [*path, bytes(32)])


def leads_to(root: bytes, leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bool:
    try:
        return root_from_inclusion(leaf, index, size, path) == root
    except MerkleInvalid:
        return False


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_trees_that_differ_have_no_consistency_proof(first: int, more: int, data: st.DataObject) -> None:
    leaves = leaf_hashes(first + more)
    forged = [*leaves]
    forged[data.draw(st.integers(0, first - 1))] = bytes(32)
    tree = GrownTree(0, b"", leaves)
    root, forged_root = reference_root(leaves), reference_root(forged)
    path = consistency_path(tree, first, first + more)
    own = reference_root(leaves[:first])

    check_consistency(first, first + more, own, root, path)
    for roots in ((own, forged_root), (reference_root(forged[:first]), root)):
        with pytest.raises(MerkleInvalid):
            check_consistency(first, first + more, *roots, path)
