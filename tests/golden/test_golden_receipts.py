"""Do receipts of earlier versions still verify, and are formats what they were?"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from make_receipts import CHECKPOINT, FOLDER, LEAVES, ML_DSA, SHOWN, made, made_checkpoint

from sandbox.audit.merkle import check_consistency
from sandbox.audit.notes import parse_checkpoint, parse_log_keys, parse_note, signed_by
from sandbox.audit.verify import parse_proof, verify_receipt
from sandbox.receipts.payloads import SubjectKey
from sandbox.stores.log import StoredPayload
from sandbox.v1.record_pb2 import PayloadDescriptor

pytestmark = pytest.mark.requirement("log:golden:stable")

VKEY = (FOLDER / "log.vkey").read_text("utf-8")
PROOFS = sorted(FOLDER.glob("*.tlog-proof"))


def test_the_generator_makes_the_very_same_bytes() -> None:
    files = made()

    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == files


@pytest.mark.parametrize("path", PROOFS, ids=lambda path: path.stem)
def test_golden_receipts_verify_and_say_what_they_said(path: Path) -> None:
    index, size = (int(number) for number in path.stem.split("-of-"))
    verified = verify_receipt(path.read_bytes(), VKEY)

    assert (verified.index, verified.tree_size, verified.origin) == (index, size, "golden.example/log")
    assert verified.record.call_id == f"01900000-0000-7000-8000-{index:012x}"
    assert (verified.record.token_sequence, verified.record.rows) == (index + 1, index)


@pytest.mark.parametrize("index", SHOWN[:-1])
def test_golden_consistency_proofs_hold(index: int) -> None:
    def root_of(name: str) -> bytes:
        proof = parse_proof((FOLDER / f"{name}.tlog-proof").read_bytes())
        return parse_checkpoint(parse_note(proof.checkpoint).text).root

    first = index + 1
    path = [base64.b64decode(line) for line in (FOLDER / f"{first}-to-{LEAVES}.consistency").read_bytes().split()]
    check_consistency(first, LEAVES, root_of(f"{index}-of-{first}"), root_of(f"{index}-of-{LEAVES}"), path)


def test_a_golden_checkpoint_with_both_lines_verifies() -> None:
    kept = (CHECKPOINT / f"{LEAVES}.checkpoint").read_bytes()
    vkey = (CHECKPOINT / "log-mldsa44.vkey").read_text("utf-8")
    note = parse_note(kept)

    assert [key.kind for key in signed_by(note, parse_log_keys((VKEY, vkey)))] == [1, 6]
    assert vkey == ML_DSA.verifier_key + "\n"
    again = made_checkpoint()
    second_line = kept.rindex("— ".encode())
    assert (again[:second_line], len(again)) == (kept[:second_line], len(kept))


def test_a_payload_of_version_1_opens() -> None:
    """Made once and kept: keys derive, wrap and commit as they did."""
    stored = StoredPayload(1, bytes.fromhex(WRAPPED), bytes.fromhex(CIPHERTEXT))
    descriptor = PayloadDescriptor.FromString(bytes.fromhex(DESCRIPTOR))

    assert SubjectKey(1, bytes(range(32)), b"").open(descriptor, stored, b"golden-call-id-0") == b'{"id":7}'


WRAPPED = (
    "86bc9952aa2681bc0da28dd5c07e8b714b4c15568f9742865191b0a8c412f00f4947ee091839731b6d506da250f9179f"
    "77023f29195a708b82b69f78"
)
CIPHERTEXT = (
    "87b33165904c338ff030148345a08da2749a6b0e90ff3529c825e74e44a99762a04c4fb4ac09624c8e6b0dda26928d08"
    "75327239b021b62a6b8fce1d64541d797dc44c0959460588cbf7dd93b6e6aa5a4bd6dc4e3887f494d922017717c5b432"
    "dc7ff2a66d162d74fddd1c2acf3e6033477cee1f082bab0c0d2e226a89409511c3149362b2686e854751113511217c13"
    "c51a83f0a84e37076ecd286d376d46e84dd8db667f79ec3779767b735ea854f192d28bf4ffde9b0767094060288b9361"
    "533885475fdfb8065f540af7aa341c7da6149a0b7db6996931ee68424454f0d7d1a6a4cc41bf520d80bd84e44a7cad91"
    "009e84382dd5c805c52ab78601154e20e5a164a1b0d39494c95781b054a17ae0"
)
DESCRIPTOR = (
    "0a09617267756d656e74731220a841d7da26ecffdd5ca14095349bc8fbe8054c90a7ee9c4ee0b42ebcb9180a75188002"
    "222023e33e19dfc3daf2ed5d5efe3a02df1f443cbbd3b62841de4c4e004ac60641e72a202f3adb0f23cce4993da2afb6"
    "5cb6f4c0a127448099e919158bf559b4a3ce310d"
)
