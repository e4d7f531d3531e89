"""Does the offline verifier agree with everybody else's? Public vectors, each by its own id."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.merkle import (
    MerkleInvalid,
    check_consistency,
    hash_children,
    hash_leaf,
    root_from_inclusion,
)
from sandbox.audit.notes import (
    NoteInvalid,
    check_point,
    is_signed,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
)
from sandbox.receipts.note import key_id, verifier_key
from sandbox.receipts.tree import EMPTY_ROOT, GrownTree, complete_subtrees, inclusion_path, leaf_hash

pytestmark = pytest.mark.requirement("log:verify:public-vectors")


@pytest.fixture(scope="session")
def tlog(corpora: Path) -> Path:
    folder = corpora / "tlog"
    if not folder.is_dir():
        pytest.skip(f"public vectors, which are not redistributed: no folder {folder}")
    return folder


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def decoded(texts: list[str] | None) -> list[bytes]:
    return [base64.b64decode(text) for text in texts or []]


def is_included(case: dict[str, Any]) -> bool:
    try:
        root = root_from_inclusion(
            base64.b64decode(case["leafHash"]), case["leafIdx"], case["treeSize"], decoded(case["proof"])
        )
    except MerkleInvalid:
        return False
    return root == base64.b64decode(case["root"])


def is_consistent(case: dict[str, Any]) -> bool:
    roots = base64.b64decode(case["root1"]), base64.b64decode(case["root2"])
    try:
        check_consistency(case["size1"], case["size2"], *roots, decoded(case["proof"]))
    except MerkleInvalid:
        return False
    return True


def test_inclusion_proofs(tlog: Path) -> None:
    cases = list(lines(tlog / "merkle_inclusion.jsonl"))

    assert len(cases) == 98
    assert [case["id"] for case in cases if is_included(case) == case["wantErr"]] == []


def test_consistency_proofs(tlog: Path) -> None:
    cases = list(lines(tlog / "merkle_consistency.jsonl"))

    assert len(cases) == 98
    assert [case["id"] for case in cases if is_consistent(case) == case["wantErr"]] == []


def test_the_reference_tree_is_hashed_alike_by_writer_and_verifier(tlog: Path) -> None:
    reference = json.loads((tlog / "merkle_reference_tree.json").read_text("utf-8"))
    leaves = [bytes.fromhex(leaf) for leaf in reference["leaves_hex"]]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    roots = [bytes.fromhex(root) for root in reference["root_hex_by_size"]]

    assert hashes == [hash_leaf(leaf) for leaf in leaves]
    assert [leaf.hex() for leaf in hashes] == reference["node_hex"]["level0"]
    assert roots[0] == EMPTY_ROOT
    for size in range(1, len(leaves) + 1):
        assert GrownTree(0, b"", hashes[:size]).root() == roots[size], size
        for old in range(size):
            frontier = b"".join(GrownTree(0, b"", hashes[:old]).node(*place) for place in complete_subtrees(old))
            grown = GrownTree(old, frontier, hashes[old:size])
            assert grown.root() == roots[size], (old, size)
            for index in range(old, size):
                path = inclusion_path(grown, index, size)
                assert root_from_inclusion(hashes[index], index, size, path) == roots[size], (old, index, size)


def test_inner_nodes_of_the_reference_tree(tlog: Path) -> None:
    nodes = json.loads((tlog / "merkle_reference_tree.json").read_text("utf-8"))["node_hex"]

    for below, above in (("level0", "level1"), ("level1", "level2")):
        pairs = list(zip(nodes[below][::2], nodes[below][1::2], strict=False))
        made = [hash_children(bytes.fromhex(left), bytes.fromhex(right)).hex() for left, right in pairs]
        assert made == nodes[above][: len(made)]


def verified_names(case: dict[str, Any]) -> list[str] | None:
    """Return the names that signed, or None where the note is refused."""
    try:
        note = parse_note(base64.b64decode(case["note_b64"]))
        names = [key.name for key in map(parse_verifier_key, case["vkeys"]) if is_signed(note, key)]
    except NoteInvalid:
        return None
    return names or None


def test_signed_notes(tlog: Path) -> None:
    cases = list(lines(tlog / "signed_note.jsonl"))

    assert len(cases) == 16
    wrong = [case["id"] for case in cases if verified_names(case) != (case["verified_names"] if case["ok"] else None)]
    assert wrong == []


def is_key(text: str) -> bool:
    try:
        parse_verifier_key(text)
    except NoteInvalid:
        return False
    return True


def test_verifier_keys_and_everything_near_them(tlog: Path) -> None:
    vectors = json.loads((tlog / "signed_note_vkeys.json").read_text("utf-8"))

    for good in vectors["good"]:
        assert is_key(good)
        assert not any(is_key(good[:end]) for end in range(len(good)))
        assert not any(is_key(good[start:]) for start in range(1, len(good)))
        bumped = (good[:i] + chr(ord(c) + 1) + good[i + 1 :] for i, c in enumerate(good))
        assert [text for text in bumped if is_key(text)] == []
    assert [bad for bad in vectors["bad"] if is_key(bad)] == []


def test_our_key_ids_are_those_of_the_specification(tlog: Path) -> None:
    for good in json.loads((tlog / "signed_note_vkeys.json").read_text("utf-8"))["good"]:
        key = parse_verifier_key(good)
        assert key_id(key.name, key.public) == key.key_id
        assert verifier_key(key.name, key.public) == good


def rekor_verifies(case: dict[str, Any]) -> bool:
    proof = case["inclusionProof"]
    if proof is None:
        return False
    try:
        note = parse_note(proof["checkpoint"]["envelope"].encode())
        checkpoint = parse_checkpoint(note.text)
        keys = [
            verifier_key(checkpoint.origin, base64.b64decode(key["spki_b64"])[-32:])
            for key in case["log_keys"]
            if key["details"] == "PKIX_ED25519" and key["baseUrl"] == f"https://{checkpoint.origin}"
        ]
        leaf = hash_leaf(base64.b64decode(case["leaf_b64"]))
        path = decoded(proof["hashes"])
        root = root_from_inclusion(leaf, int(proof["logIndex"]), checkpoint.size, path)
        return root == checkpoint.root and any(is_signed(note, parse_verifier_key(key)) for key in keys)
    except (NoteInvalid, MerkleInvalid):
        return False


def test_checkpoints_of_a_real_log(tlog: Path) -> None:
    cases = list(lines(tlog / "rekor2_bundle_checkpoints.jsonl"))

    assert len(cases) == 14
    assert [case["id"] for case in cases if rekor_verifies(case) != case["ok_bundle"]] == []


def is_enrollable(key: str) -> bool:
    try:
        check_point(bytes.fromhex(key))
    except NoteInvalid:
        return False
    return True


@pytest.mark.requirement("log:keys:low-order")
def test_keys_of_low_order_or_odd_encoding_are_refused(tlog: Path) -> None:
    cases = json.loads((tlog / "ed25519_cctv_edge.json").read_text("utf-8"))
    unsafe = {"low_order_A", "non_canonical_A"}

    assert len(cases) == 914
    assert {case["key"] for case in cases if unsafe & set(case["flags"] or []) and is_enrollable(case["key"])} == set()


def test_ed25519_signatures(tlog: Path) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    wrong = []
    for group in json.loads((tlog / "wycheproof_ed25519_test.json").read_text("utf-8"))["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        check_point(public)
        for test in group["tests"]:
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(
                    bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
                )
                result = "valid"
            except InvalidSignature:
                result = "invalid"
            if result != test["result"]:
                wrong.append(test["tcId"])

    assert wrong == []
