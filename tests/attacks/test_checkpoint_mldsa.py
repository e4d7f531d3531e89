"""Can an ML-DSA-44 line be forged, moved or mistaken for another kind? One trick each on a true checkpoint."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from sandbox.audit.notes import NoteInvalid, parse_log_keys, parse_note, parse_verifier_key, signed_by
from sandbox.audit.verify import ProofInvalid, verify_receipt
from sandbox.receipts.note import (
    ED25519,
    ML_DSA_44,
    MlDsaSigner,
    NoteSigner,
    checkpoint_text,
    cosigned_message,
    key_id,
    signature_line,
    verifier_key,
)
from sandbox.receipts.proof import path_text, proof_text
from sandbox.receipts.tree import leaf_hash

pytestmark = pytest.mark.requirement("log:mldsa:forged")

ORIGIN = "attacked.example/log"
ED_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"attacked").digest())
PQ_KEY = MLDSA44PrivateKey.from_seed_bytes(hashlib.sha256(b"attacked").digest())
SIGNER = NoteSigner(ORIGIN, ED_KEY, MlDsaSigner(ORIGIN, PQ_KEY))
PQ = MlDsaSigner(ORIGIN, PQ_KEY)
ED_PUBLIC, PQ_PUBLIC = ED_KEY.public_key().public_bytes_raw(), PQ_KEY.public_key().public_bytes_raw()
PQ_ID = key_id(ORIGIN, PQ_PUBLIC, ML_DSA_44)
ED_LINE_KEY, PQ_LINE_KEY = SIGNER.verifier_key, PQ.verifier_key
SIZE, ROOT = 7, hashlib.sha256(b"root").digest()
PLAIN = SIGNER.note(SIZE, ROOT, SIGNER.sign(SIZE, ROOT))
LINE = PQ.line(SIZE, ROOT)


def kinds(note: bytes, *keys: str) -> list[int]:
    """Return the kinds of key that signed; raises `NoteInvalid`."""
    return [key.kind for key in signed_by(parse_note(note), parse_log_keys(keys or (ED_LINE_KEY, PQ_LINE_KEY)))]


def content_of(line: bytes) -> bytes:
    return base64.b64decode(line.split(b" ")[2])


def signed(message: bytes, *, time: int = 0, key: MLDSA44PrivateKey = PQ_KEY) -> bytes:
    """Return a line in the log's name with a signature over any message."""
    return signature_line(ORIGIN, PQ_ID, time.to_bytes(8, "big") + key.sign(message))


def test_the_untouched_checkpoint_has_both() -> None:
    assert kinds(PLAIN + LINE) == [1, 6]
    assert kinds(PLAIN + LINE, PQ_LINE_KEY) == [6]
    assert kinds(PLAIN) == [1]


def message_of(
    *,
    label: bytes = b"subtree/v1\n\0",
    cosigner: bytes = ORIGIN.encode(),
    time: int = 0,
    origin: bytes = ORIGIN.encode(),
    start: int = 0,
    end: int = SIZE,
    root: bytes = ROOT,
) -> bytes:
    numbers = [number.to_bytes(8, "big") for number in (time, start, end)]
    prefixed = [bytes([len(name)]) + name for name in (cosigner, origin)]
    return b"".join((label, prefixed[0], numbers[0], prefixed[1], numbers[1], numbers[2], root))


def test_a_line_with_a_time_is_the_specification_s_too() -> None:
    assert message_of() == cosigned_message(ORIGIN, SIZE, ROOT)
    for time in (1, 1_800_000_000, (1 << 63) - 1):
        assert kinds(PLAIN + signed(message_of(time=time), time=time)) == [1, 6]


FALSE: dict[str, bytes] = {
    "another key under this key's id": signed(message_of(), key=MLDSA44PrivateKey.generate()),
    "of another size": PQ.line(SIZE + 1, ROOT),
    "of another root": PQ.line(SIZE, hashlib.sha256(b"other").digest()),
    "of a subtree": signed(message_of(start=4)),
    "of another cosigner": signed(message_of(cosigner=b"witness.example")),
    "of another log": signed(message_of(origin=b"other.example/log")),
    "of another label": signed(message_of(label=b"subtree/v2\n\0")),
    "over the note's text": signed(checkpoint_text(ORIGIN, SIZE, ROOT)),
    "over the text of an Ed25519 cosignature": signed(
        b"cosignature/v1\ntime 0\n" + checkpoint_text(ORIGIN, SIZE, ROOT)
    ),
    "with a time that was not signed": signed(message_of(), time=1),
    "without the time that was signed": signed(message_of(time=1)),
    "with a time beyond 2^63": signed(message_of(time=1 << 63), time=1 << 63),
    "with a context": signature_line(ORIGIN, PQ_ID, bytes(8) + PQ_KEY.sign(message_of(), b"context")),
    "empty but for a time": signature_line(ORIGIN, PQ_ID, bytes(8)),
    "one byte": signature_line(ORIGIN, PQ_ID, b"\0"),
    "an Ed25519 signature": signature_line(ORIGIN, PQ_ID, SIGNER.sign(SIZE, ROOT)),
    "an Ed25519 signature with a time": signature_line(ORIGIN, PQ_ID, bytes(8) + SIGNER.sign(SIZE, ROOT)),
    "a byte short": signature_line(ORIGIN, PQ_ID, content_of(LINE)[4:-1]),
    "a byte long": signature_line(ORIGIN, PQ_ID, content_of(LINE)[4:] + b"\0"),
    "without its time": signature_line(ORIGIN, PQ_ID, content_of(LINE)[12:]),
    "all zero": signature_line(ORIGIN, PQ_ID, bytes(2428)),
    "all ones": signature_line(ORIGIN, PQ_ID, bytes(8) + b"\xff" * 2420),
    "twice": LINE + LINE,
    "a true one and a false one": LINE + PQ.line(SIZE + 1, ROOT),
}


@pytest.mark.parametrize("line", FALSE.values(), ids=FALSE.keys())
def test_a_false_line_refuses_the_note_whichever_keys_are_given(line: bytes) -> None:
    for keys in ((ED_LINE_KEY, PQ_LINE_KEY), (PQ_LINE_KEY,)):
        with pytest.raises(NoteInvalid):
            kinds(PLAIN + line, *keys)
    assert kinds(PLAIN + line, ED_LINE_KEY) == [1], "a key that is not given is unknown, and its line is ignored"


def test_no_bit_of_a_line_can_be_changed() -> None:
    content = content_of(LINE)
    chosen = random.Random(44).sample(range(32, len(content) * 8), 300)  # noqa: S311 - which bits, not a secret
    for bit in [*range(32, 32 + 64), *chosen, len(content) * 8 - 1]:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NoteInvalid):
            kinds(PLAIN + signature_line(ORIGIN, PQ_ID, bytes(flipped[4:])))


@pytest.mark.parametrize("place", range(4))
def test_lines_of_unknown_keys_are_ignored_and_prove_nothing(place: int) -> None:
    """The same name with another id, and the same id with another name (signed-note, "Signatures")."""
    other_id = bytes(byte ^ (1 << 4 if index == place else 0) for index, byte in enumerate(PQ_ID))
    for line in (signature_line(ORIGIN, other_id, content_of(LINE)[4:]), LINE.replace(b"attacked", b"attacker")):
        assert kinds(PLAIN + line) == [1]
        with pytest.raises(NoteInvalid, match="no signature"):
            kinds(PLAIN + line, PQ_LINE_KEY)


def other_named(kind: bytes, public: bytes) -> str:
    return verifier_key(ORIGIN, public, kind)


UNFIT: dict[str, str] = {
    "an Ed25519 key as ML-DSA-44": other_named(ML_DSA_44, ED_PUBLIC),
    "an ML-DSA-44 key as Ed25519": other_named(ED25519, PQ_PUBLIC),
    "an ML-DSA-44 key as a witness's": other_named(b"\x04", PQ_PUBLIC),
    "a byte short": other_named(ML_DSA_44, PQ_PUBLIC[:-1]),
    "a byte long": other_named(ML_DSA_44, PQ_PUBLIC + b"\0"),
    "empty": other_named(ML_DSA_44, b""),
    "as long as one of ML-DSA-65": other_named(ML_DSA_44, bytes(1952)),
    "of type 5": other_named(b"\x05", PQ_PUBLIC),
    "of a long type": other_named(b"\xff", PQ_PUBLIC),
    "with the id it has as Ed25519": PQ_LINE_KEY.replace(PQ_ID.hex(), key_id(ORIGIN, PQ_PUBLIC, ED25519).hex()),
}


@pytest.mark.parametrize("key", UNFIT.values(), ids=UNFIT.keys())
def test_keys_of_another_length_or_kind_are_refused(key: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_verifier_key(key)


def test_a_line_is_not_taken_under_the_other_type() -> None:
    """Each kind's bytes under each other kind's key id: the id names name, type and key at once."""
    as_ed25519 = signature_line(ORIGIN, key_id(ORIGIN, ED_PUBLIC), content_of(LINE)[4:])
    with pytest.raises(NoteInvalid):
        kinds(PLAIN[: PLAIN.rindex("— ".encode())] + as_ed25519 + LINE)
    confused = signature_line(ORIGIN, key_id(ORIGIN, ED_PUBLIC, ML_DSA_44), SIGNER.sign(SIZE, ROOT))
    assert kinds(PLAIN + confused) == [1]


@dataclass(frozen=True)
class Leaf:
    """A receipt of one leaf, with any lines under its checkpoint."""

    content: bytes = b""

    def receipt(self, *lines: Callable[[int, bytes], bytes]) -> bytes:
        root = leaf_hash(self.content)
        note = checkpoint_text(ORIGIN, 1, root) + b"\n" + b"".join(line(1, root) for line in lines)
        return proof_text(self.content, 0, path_text([]), note)


def ed_line(size: int, root: bytes) -> bytes:
    return signature_line(ORIGIN, key_id(ORIGIN, ED_PUBLIC), SIGNER.sign(size, root))


@pytest.mark.requirement("log:verify:several-keys")
def test_a_receipt_says_which_of_the_given_keys_have_signed() -> None:
    both, one = Leaf().receipt(ed_line, PQ.line), Leaf().receipt(ed_line)

    verified = verify_receipt(both, ED_LINE_KEY, PQ_LINE_KEY)
    assert verified.signed_with == ("Ed25519", "ML-DSA-44")
    assert not any("ML-DSA-44" in item for item in verified.not_checked)
    for keys in ((ED_LINE_KEY, PQ_LINE_KEY), (PQ_LINE_KEY, ED_LINE_KEY)):
        lacking = verify_receipt(one, *keys)
        assert lacking.signed_with == ("Ed25519",)
        assert f"{PQ_ID.hex()} (ML-DSA-44): the checkpoint carries none" in lacking.not_checked[0]
    assert verify_receipt(both, PQ_LINE_KEY).signed_with == ("ML-DSA-44",)
    assert verify_receipt(both, ED_LINE_KEY).signed_with == ("Ed25519",)


@pytest.mark.requirement("log:verify:several-keys")
def test_the_ml_dsa_key_alone_refuses_what_it_has_not_signed() -> None:
    with pytest.raises(ProofInvalid, match="receipts are signed with the Ed25519 key alone"):
        verify_receipt(Leaf().receipt(ed_line), PQ_LINE_KEY)


@pytest.mark.requirement("log:verify:several-keys")
def test_one_false_line_is_not_outweighed_by_a_true_one() -> None:
    def wrong_tree(line: Callable[[int, bytes], bytes]) -> Callable[[int, bytes], bytes]:
        return lambda size, root: line(size + 1, root)

    for lines in ((ed_line, wrong_tree(PQ.line)), (wrong_tree(ed_line), PQ.line)):
        with pytest.raises(ProofInvalid, match="is false"):
            verify_receipt(Leaf().receipt(*lines), ED_LINE_KEY, PQ_LINE_KEY)


@pytest.mark.requirement("log:verify:several-keys")
def test_keys_of_two_logs_are_not_taken_together() -> None:
    other = MlDsaSigner("other.example/log", PQ_KEY).verifier_key
    with pytest.raises(ProofInvalid, match="2 logs"):
        verify_receipt(Leaf().receipt(ed_line), ED_LINE_KEY, other)
    with pytest.raises(ProofInvalid, match="witness"):
        verify_receipt(Leaf().receipt(ed_line), ED_LINE_KEY, other_named(b"\x04", ED_PUBLIC))


def test_a_checkpoint_in_another_log_s_name_is_refused() -> None:
    """The key's own line under a text whose first line is another origin."""
    text = checkpoint_text("other.example/log", SIZE, ROOT) + b"\n"
    line = signed(message_of(origin=b"other.example/log"))

    with pytest.raises(NoteInvalid, match="another log"):
        kinds(text + line, PQ_LINE_KEY)
    with pytest.raises(NoteInvalid, match="255 bytes"):
        kinds(checkpoint_text("o" * 256, SIZE, ROOT) + b"\n" + line, PQ_LINE_KEY)
    with pytest.raises(NoteInvalid, match="checkpoint is"):
        kinds(b"no checkpoint\n\n" + line, PQ_LINE_KEY)
