"""What does the offline verifier accept, and what does it say? Witnesses, foreign proofs, unknown fields."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from log_house import House, call_of, open_house

from sandbox.audit.merkle import hash_leaf
from sandbox.audit.notes import check_point
from sandbox.audit.verify import ProofInvalid, QuorumShort, parse_proof, verify_receipt
from sandbox.receipts.keys import create_keys
from sandbox.receipts.note import NoteSigner
from sandbox.receipts.proof import path_text, proof_text
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as opened:
        yield opened


class Witness:
    """Cosigns checkpoints (https://c2sp.org/tlog-cosignature, Ed25519)."""

    def __init__(self, name: str, secret: bytes) -> None:
        self.name = name
        self.key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret).digest())
        self.content = b"\x04" + self.key.public_key().public_bytes_raw()

    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self.content).digest()[:4]

    def vkey(self) -> str:
        return f"{self.name}+{self.key_id().hex()}+{base64.b64encode(self.content).decode()}"

    def cosign(self, receipt: bytes, seconds: int = 1_700_000_000) -> bytes:
        checkpoint = parse_proof(receipt).checkpoint
        body = checkpoint[: checkpoint.rindex(b"\n\n") + 1]
        signature = self.key.sign(b"cosignature/v1\ntime %d\n" % seconds + body)
        content = self.key_id() + seconds.to_bytes(8, "big") + signature
        return receipt + f"— {self.name} {base64.b64encode(content).decode()}\n".encode()


ONE, TWO = Witness("witness.example/one", b"one"), Witness("witness.example/two", b"two")


@requirement("log:verify:witnesses")
def test_cosignatures_of_named_witnesses_are_counted(house: House) -> None:
    receipt = TWO.cosign(ONE.cosign(house.answer(call_of()).receipt))

    assert verify_receipt(receipt, house.vkey).witnesses == ()
    both = verify_receipt(receipt, house.vkey, witnesses=[ONE.vkey(), TWO.vkey()])
    assert both.witnesses == (ONE.name, TWO.name)
    assert len(both.not_checked) == len(verify_receipt(receipt, house.vkey).not_checked) - 1


@requirement("log:verify:witnesses")
def test_a_short_quorum_is_its_own_answer(house: House) -> None:
    receipt = ONE.cosign(house.answer(call_of()).receipt)
    keys = [ONE.vkey(), TWO.vkey()]

    assert verify_receipt(receipt, house.vkey, witnesses=keys, quorum=1).witnesses == (ONE.name,)
    for quorum in (None, 2):
        with pytest.raises(QuorumShort):
            verify_receipt(receipt, house.vkey, witnesses=keys, quorum=quorum)
    again = Witness("witness.example/alias", b"one")
    with pytest.raises(QuorumShort):
        verify_receipt(again.cosign(receipt), house.vkey, witnesses=[ONE.vkey(), again.vkey()])


@requirement("log:verify:witnesses")
def test_a_false_cosignature_of_a_named_witness_refuses_the_proof(house: House) -> None:
    receipt = house.answer(call_of()).receipt
    impostor = Witness(ONE.name, b"somebody else")
    forged = receipt + impostor.cosign(receipt)[len(receipt) :]
    swapped = ONE.cosign(house.answer(call_of()).receipt)
    moved = receipt + swapped[swapped.rindex("— ".encode()) :]

    assert verify_receipt(forged, house.vkey).witnesses == ()
    with pytest.raises(QuorumShort):
        verify_receipt(forged, house.vkey, witnesses=[ONE.vkey()])
    with pytest.raises(ProofInvalid, match="false"):
        verify_receipt(moved, house.vkey, witnesses=[ONE.vkey()])


@requirement("log:verify:witnesses")
def test_keys_of_logs_and_witnesses_are_not_taken_for_each_other(house: House) -> None:
    receipt = house.answer(call_of()).receipt

    with pytest.raises(ProofInvalid, match="type 4"):
        verify_receipt(receipt, house.vkey, witnesses=[house.vkey])
    with pytest.raises(ProofInvalid, match="type 1"):
        verify_receipt(ONE.cosign(receipt), ONE.vkey())


@requirement("log:verify:offline")
def test_any_tlog_proof_verifies_with_its_leaf() -> None:
    signer = NoteSigner("other.example/log", Ed25519PrivateKey.generate())
    leaf = b"\xff not a record"
    root = hash_leaf(leaf)
    proof = proof_text(b"", 0, path_text([]), signer.note(1, root, signer.sign(1, root))).replace(b"extra \n", b"")

    verified = verify_receipt(proof, signer.verifier_key, leaf=leaf)
    assert (verified.leaf, verified.index, verified.tree_size) == (leaf, 0, 1)
    assert verified.record == record_pb2.Record()
    for wrong in (b"another", None):
        with pytest.raises(ProofInvalid):
            verify_receipt(proof, signer.verifier_key, leaf=wrong)


@requirement("log:verify:says-what-not")
def test_fields_of_later_versions_are_told_and_do_not_stop_the_verifier(house: House) -> None:
    plain = verify_receipt(house.answer(call_of()).receipt, house.vkey)
    record = plain.leaf + b"\xba\x03\x05later"  # field 55
    signer, root = house.log.signer, hash_leaf(record)
    verified = verify_receipt(proof_text(record, 0, b"", signer.note(1, root, signer.sign(1, root))), house.vkey)

    assert verified.record.call_id == plain.record.call_id
    assert set(plain.not_checked) < set(verified.not_checked)
    assert "55" in verified.not_checked[-1]


@requirement("log:keys:low-order")
def test_keys_we_make_are_safe_and_private(tmp_path: Path) -> None:
    from sandbox.audit.notes import parse_verifier_key
    from sandbox.deployment import Deployment

    deployment = Deployment(tmp_path)
    deployment.keys.mkdir()
    create_keys(deployment, "made.example/log")

    key = parse_verifier_key((deployment.keys / "log.vkey").read_text("utf-8"))
    check_point(key.public)
    post_quantum = parse_verifier_key((deployment.keys / "log-mldsa44.vkey").read_text("utf-8"))
    assert (key.name, key.kind) == ("made.example/log", 1)
    assert (post_quantum.name, post_quantum.kind, len(post_quantum.public)) == ("made.example/log", 6, 1312)
    modes = {path.name: path.stat().st_mode & 0o777 for path in deployment.keys.iterdir()}
    private = {"log.key": 0o600, "log-mldsa44.key": 0o600, "root.key": 0o600}
    assert modes == private | {"log.vkey": 0o644, "log-mldsa44.vkey": 0o644}
