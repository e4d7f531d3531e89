"""Can a changed receipt pass, or stop the verifier? Every bit of one, and hundreds of crafted ones."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from log_house import call_of, open_house

from sandbox.audit.verify import ProofInvalid, verify_receipt
from sandbox.receipts.note import NoteSigner, verifier_key

pytestmark = pytest.mark.requirement("log:verify:mutated")


@dataclass(frozen=True)
class Receipts:
    """Some receipts of one log, and its key."""

    texts: tuple[bytes, ...]
    vkey: str


@pytest.fixture(scope="module")
def receipts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receipts]:
    with open_house(tmp_path_factory.mktemp("log")) as house:
        texts = tuple(house.answer(call_of()).receipt for _ in range(9))
        yield Receipts(texts, house.vkey)


def is_refused(text: bytes, vkey: str, leaf: bytes | None = None) -> bool:
    """Whether the verifier refuses; anything but `ProofInvalid` is a crash and fails the test."""
    try:
        verify_receipt(text, vkey, leaf=leaf)
    except ProofInvalid:
        return True
    return False


def test_the_receipts_are_good(receipts: Receipts) -> None:
    assert [text for text in receipts.texts if is_refused(text, receipts.vkey)] == []


def test_every_single_bit_counts(receipts: Receipts) -> None:
    text = receipts.texts[-1]
    passed = []
    for position in range(len(text)):
        for bit in range(8):
            changed = bytearray(text)
            changed[position] ^= 1 << bit
            if not is_refused(bytes(changed), receipts.vkey):
                passed.append((position, bit))

    assert passed == []


def test_every_single_byte_counts_when_left_out_doubled_or_cut_off(receipts: Receipts) -> None:
    text = receipts.texts[-1]
    mutants = [text[:i] + text[i + 1 :] for i in range(len(text)) if text[i : i + 1] != text[i + 1 : i + 2]]
    mutants += [text[: i + 1] + text[i : i + 1] + text[i + 1 :] for i in range(len(text))]
    mutants += [text[:i] for i in range(len(text))]

    assert [mutant for mutant in mutants if not is_refused(mutant, receipts.vkey)] == []


def swap_extra(text: bytes, other: bytes) -> bytes:
    extra = re.search(rb"^extra .*$", other, re.MULTILINE)
    assert extra
    return re.sub(rb"^extra .*$", extra.group().replace(b"\\", b""), text, count=1, flags=re.MULTILINE)


def swap_path(text: bytes, other: bytes) -> bytes:
    path = other[other.index(b"\nindex ") : other.index(b"\n\n")].split(b"\n", 2)[-1]
    head = text[: text.index(b"\nindex ") + 1]
    index = text[len(head) :].split(b"\n", 1)[0]
    return head + index + b"\n" + path + text[text.index(b"\n\n") :]


def swap_checkpoint(text: bytes, other: bytes) -> bytes:
    return text[: text.index(b"\n\n")] + other[other.index(b"\n\n") :]


def swap_index(text: bytes, other: bytes) -> bytes:
    index = re.search(rb"^index .*$", other, re.MULTILINE)
    assert index
    return re.sub(rb"^index .*$", index.group(), text, count=1, flags=re.MULTILINE)


@pytest.mark.parametrize("swap", [swap_extra, swap_path, swap_checkpoint, swap_index])
def test_parts_of_two_receipts_do_not_make_a_third(receipts: Receipts, swap: Callable[[bytes, bytes], bytes]) -> None:
    mixed = [swap(one, two) for one in receipts.texts for two in receipts.texts if one != two]

    changed = [mutant for mutant in mixed if mutant not in receipts.texts]
    assert len(changed) >= 30
    assert [mutant for mutant in changed if not is_refused(mutant, receipts.vkey)] == []


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def craft(text: bytes) -> bytes:
        assert old in text
        return text.replace(old, new, 1)

    return craft


def last_line_twice(text: bytes) -> bytes:
    return text + text[text.rindex("— ".encode()) :]


def loose_base64(text: bytes) -> bytes:
    """Set the unused bits of the root's last character; a lenient decoder reads the same bytes."""
    end = text.rindex(b"=\n\n")
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    loose = alphabet[alphabet.index(text[end - 1 : end]) | 1 : (alphabet.index(text[end - 1 : end]) | 1) + 1]
    changed = text[: end - 1] + loose + text[end:]
    return changed if changed != text else text[: end - 1] + alphabet[alphabet.index(loose) + 1 :][:1] + text[end:]


CRAFTED: dict[str, Callable[[bytes], bytes]] = {
    "carriage returns": lambda text: text.replace(b"\n", b"\r\n"),
    "one carriage return": replaced(b"\n\n", b"\r\n\n"),
    "another version": replaced(b"@v1", b"@v2"),
    "a space before": lambda text: b" " + text,
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "a line after": lambda text: text + b"\n",
    "an empty line more": replaced(b"\n\n", b"\n\n\n"),
    "no empty line": replaced(b"\n\n", b"\n"),
    "no extra": lambda text: re.sub(rb"extra .*\n", b"", text),
    "an empty extra": lambda text: re.sub(rb"extra .*\n", b"extra \n", text),
    "two extras": lambda text: re.sub(rb"(extra .*\n)", rb"\1\1", text),
    "no index": lambda text: re.sub(rb"index .*\n", b"", text),
    "an index with a zero": replaced(b"index ", b"index 0"),
    "an index with a sign": replaced(b"index ", b"index +"),
    "a negative index": replaced(b"index ", b"index -"),
    "an index with a space": replaced(b"index ", b"index  "),
    "an index in other digits": lambda text: re.sub(rb"index \d+", "index ١٢".encode(), text),
    "a huge index": lambda text: re.sub(rb"index \d+", b"index " + b"9" * 30, text),
    "an index beyond the tree": lambda text: re.sub(rb"index \d+", b"index 4000000", text),
    "an index of 2^64": lambda text: re.sub(rb"index \d+", b"index 18446744073709551616", text),
    "a hash fewer": lambda text: re.sub(rb"(index \d+\n)[^\n]+\n", rb"\1", text),
    "a hash more": lambda text: re.sub(rb"(index \d+\n)([^\n]+\n)", rb"\1\2\2", text),
    "hashes turned round": lambda text: re.sub(rb"(index \d+\n)([^\n]+\n)([^\n]+\n)", rb"\1\3\2", text),
    "a short hash": lambda text: re.sub(rb"(index \d+\n)[^\n]+\n", rb"\1AAAA\n", text),
    "a thousand hashes": lambda text: re.sub(rb"(index \d+\n)([^\n]+\n)", lambda m: m[1] + m[2] * 1000, text),
    "a hash without padding": lambda text: re.sub(rb"(index \d+\n[^\n]+)=\n", rb"\1\n", text),
    "a hash in the other alphabet": lambda text: re.sub(rb"(index \d+\n)[^\n]{4}", rb"\1-_-_", text),
    "loose bits in the root": loose_base64,
    "a size with a zero": lambda text: re.sub(rb"(test-log\n)(\d+)", rb"\g<1>0\2", text),
    "another size": lambda text: re.sub(rb"(test-log\n)(\d+)", rb"\g<1>99", text),
    "size nought": lambda text: re.sub(rb"(test-log\n)(\d+)", rb"\g<1>0", text),
    "another origin": replaced(b"\nsandbox.example/test-log\n", b"\nsandbox.example/other\n"),
    "an extension line": lambda text: re.sub(rb"(test-log\n\d+\n[^\n]+\n)", rb"\1more\n", text),
    "another name on the signature": replaced("— sandbox.example".encode(), "— sandbox.other".encode()),
    "a dash for an em dash": replaced("— ".encode(), b"- "),
    "no signature": lambda text: text[: text.rindex("— ".encode())],
    "an empty signature": lambda text: re.sub("(— [^ ]+ ).*\n".encode(), rb"\1\n", text),
    "a short signature": lambda text: re.sub("(— [^ ]+ ).*\n".encode(), rb"\1AAAAAA==\n", text),
    "the signature twice": last_line_twice,
    "a signature that is no line": lambda text: text[:-1],
    "not text": lambda text: text[:200] + b"\xff\xfe" + text[200:],
    "a nought byte": replaced(b"index", b"index\x00"),
    "a tab": replaced(b"index ", b"index\t"),
    "a vertical tab in the origin": replaced(b"sandbox.example/test-log\n", b"sandbox.example/test-log\x0b\n"),
    "upper case": lambda text: text.upper(),
    "nothing": lambda _: b"",
    "a megabyte of line feeds": lambda _: b"\n" * 1_000_001,
    "a megabyte more": lambda text: text + b"x" * 1_000_000,
    "an empty record": lambda text: re.sub(rb"extra .*\n", b"extra AA==\n", text),
    "a thousand unknown signatures": lambda text: text + "— a AAAAAAAA\n".encode() * 1000,
}


@pytest.mark.parametrize("craft", CRAFTED.values(), ids=CRAFTED.keys())
def test_crafted_receipts_are_refused(receipts: Receipts, craft: Callable[[bytes], bytes]) -> None:
    for text in receipts.texts[-3:]:
        mutant = craft(text)
        assert mutant != text
        assert is_refused(mutant, receipts.vkey)


def test_random_damage_never_crashes_the_verifier(receipts: Receipts) -> None:
    chance = random.Random(20261125)  # noqa: S311 - repeatable, not secret
    for _ in range(2000):
        text = bytearray(chance.choice(receipts.texts))
        for _ in range(chance.randint(1, 12)):
            place = chance.randrange(len(text))
            text[place : place + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 9))
        if bytes(text) not in receipts.texts:
            assert is_refused(bytes(text), receipts.vkey)


def test_unknown_signature_lines_are_no_harm(receipts: Receipts) -> None:
    line = f"— somebody.example {base64.b64encode(bytes(70)).decode()}\n".encode()

    assert not is_refused(receipts.texts[0] + line, receipts.vkey)


def test_another_key_or_the_same_tree_signed_with_another_is_refused(receipts: Receipts) -> None:
    text = receipts.texts[-1]
    impostor = NoteSigner("sandbox.example/test-log", Ed25519PrivateKey.generate())
    lines = text[text.index(b"\n\n") + 2 :].split(b"\n")
    size, root = int(lines[1]), base64.b64decode(lines[2])
    signed = text[: text.index(b"\n\n") + 2] + impostor.note(size, root, impostor.sign(size, root))

    assert is_refused(text, impostor.verifier_key)
    assert is_refused(signed, receipts.vkey)
    assert not is_refused(signed, impostor.verifier_key)  # under their own key it is their log


def test_one_signature_for_every_message_is_not_believed(receipts: Receipts) -> None:
    """A key of low order: OpenSSL verifies this signature over any text (research/log.md, traps 1)."""
    identity = bytes([1]) + bytes(31)
    signature = identity + bytes(32)
    text, vkey = receipts.texts[-1], verifier_key("sandbox.example/test-log", identity)
    key_id = bytes.fromhex(vkey.split("+")[1])
    line = f"— sandbox.example/test-log {base64.b64encode(key_id + signature).decode()}\n"

    assert is_refused(text[: text.rindex("— ".encode())] + line.encode(), vkey)


@pytest.mark.parametrize(
    "vkey", ["", "+", "++", "a+b+c", "a+00000000+", "a+00000000+AA==", "a b+00000000+AQ==", "é" * 1000, "\x00", "a\nb"]
)
def test_malformed_keys_are_refused(receipts: Receipts, vkey: str) -> None:
    assert is_refused(receipts.texts[0], vkey)


def test_a_receipt_verifies_only_its_own_leaf(receipts: Receipts) -> None:
    own = verify_receipt(receipts.texts[0], receipts.vkey).leaf

    assert not is_refused(receipts.texts[0], receipts.vkey, leaf=own)
    for other in (b"", own + b"\x00", own[:-1], verify_receipt(receipts.texts[1], receipts.vkey).leaf):
        assert is_refused(receipts.texts[0], receipts.vkey, leaf=other)


def test_the_record_is_read_from_the_bytes_that_were_proven(receipts: Receipts) -> None:
    verified = verify_receipt(receipts.texts[0], receipts.vkey)

    assert verified.record.FromString(verified.leaf) == verified.record
