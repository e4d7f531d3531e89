"""What does a checkpoint carry that is asked for, and what does its second line cost the calls? Nothing."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from log_house import ORIGIN, House, call_of, deployment_at, open_house, settings_of

from sandbox.audit.notes import Note, parse_checkpoint, parse_log_keys, parse_note, signed_by
from sandbox.audit.verify import parse_proof
from sandbox.deployment import Misconfigured
from sandbox.receipts import ExecutionLog, LogReader
from sandbox.receipts.checkpoints import Checkpoints
from sandbox.receipts.note import MlDsaSigner, cosigned_message, key_id, verifier_key
from sandbox.receipts.stored import StoredTree

requirement = pytest.mark.requirement


class CountingSigner:
    """An ML-DSA signer that tells how often, and for which sizes, it was asked."""

    def __init__(self, signer: MlDsaSigner) -> None:
        self.signer = signer
        self.sizes: list[int] = []

    def line(self, size: int, root: bytes) -> bytes:
        self.sizes.append(size)
        return self.signer.line(size, root)


def counting(house: House) -> CountingSigner:
    signer = house.log.signer.ml_dsa
    assert signer is not None
    house.log.signer.ml_dsa = counted = CountingSigner(signer)  # type: ignore[assignment]
    return counted


def keys_of(house: House) -> tuple[str, str]:
    keys = house.deployment.keys
    return (keys / "log.vkey").read_text("utf-8"), (keys / "log-mldsa44.vkey").read_text("utf-8")


def labels(note: Note, house: House) -> list[int]:
    return [key.kind for key in signed_by(note, parse_log_keys(keys_of(house)))]


@requirement("log:mldsa:format")
def test_the_signed_message_is_laid_out_as_the_specification_says() -> None:
    message = cosigned_message("example.com/behind-the-sofa", 20852163, bytes(range(32)))

    assert message == (
        b"subtree/v1\n\x00"
        b"\x1bexample.com/behind-the-sofa"
        b"\x00\x00\x00\x00\x00\x00\x00\x00"
        b"\x1bexample.com/behind-the-sofa"
        b"\x00\x00\x00\x00\x00\x00\x00\x00"
        b"\x00\x00\x00\x00\x01\x3e\x2d\xc3" + bytes(range(32))
    )


@requirement("log:mldsa:format")
def test_the_line_is_key_id_time_and_signature_over_that_message() -> None:
    private = MLDSA44PrivateKey.from_seed_bytes(bytes(32))
    public, root = private.public_key(), bytes(range(32))
    signer = MlDsaSigner(ORIGIN, private)
    dash, name, encoded = signer.line(7, root).decode().removesuffix("\n").split(" ")
    content = base64.b64decode(encoded)

    assert (dash, name, len(content)) == ("—", ORIGIN, 4 + 8 + 2420)
    assert content[:12] == key_id(ORIGIN, public.public_bytes_raw(), b"\x06") + bytes(8)
    public.verify(content[12:], cosigned_message(ORIGIN, 7, root))
    assert signer.verifier_key == verifier_key(ORIGIN, public.public_bytes_raw(), b"\x06")


@requirement("log:mldsa:format")
def test_the_newest_checkpoint_carries_both_lines(house: House) -> None:
    house.answer(call_of())
    note = parse_note(LogReader(house.log).checkpoint())

    assert labels(note, house) == [1, 6]
    assert parse_checkpoint(note.text).size == house.log.store.head().size


@requirement("log:mldsa:once")
def test_a_tree_is_signed_once_however_many_ask(house: House) -> None:
    signer, reader = counting(house), LogReader(house.log)
    first = reader.checkpoint()
    asking = [threading.Thread(target=reader.checkpoint) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()

    size = house.log.store.head().size
    assert reader.checkpoint() == first
    assert signer.sizes == [size]
    house.answer(call_of())
    assert reader.checkpoint() != first
    assert signer.sizes == [size, size + 1]


@requirement("log:mldsa:once")
def test_calls_and_receipts_are_made_without_it(house: House) -> None:
    signer = counting(house)
    receipt = house.answer(call_of()).receipt
    house.refuse(call_of())

    assert [len(line.signature) for line in parse_note(parse_proof(receipt).checkpoint).lines] == [64]
    assert signer.sizes == []


@requirement("log:mldsa:keys")
def test_a_deployment_without_the_key_has_no_second_line(tmp_path: Path) -> None:
    deployment = deployment_at(tmp_path)
    for path in deployment.keys.glob("log-mldsa44.*"):
        path.unlink()
    with open_house(tmp_path) as house:
        house.answer(call_of())
        reader = LogReader(house.log, deployment.checkpoint)
        reader.publish()

        assert len(parse_note(reader.checkpoint()).lines) == 1
    assert not deployment.checkpoint.exists()


def foreign_pem(private: MLDSA44PrivateKey | Ed25519PrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@requirement("log:mldsa:keys")
@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ("no private half", "cannot be read"),
        ("no public half", "cannot be read"),
        ("open to others", "only 0600"),
        ("a link", "cannot be read"),
        ("no PEM", "not a private key in PEM"),
        ("another kind", "not an ML-DSA-44 key"),
        ("another key", "not the public half"),
    ],
)
def test_a_key_that_is_not_as_it_was_made_stops_the_start(tmp_path: Path, spoilt: str, told: str) -> None:
    deployment = deployment_at(tmp_path)
    secret, public = (deployment.keys / f"log-mldsa44.{ending}" for ending in ("key", "vkey"))
    match spoilt:
        case "no private half":
            secret.unlink()
        case "no public half":
            public.unlink()
        case "open to others":
            secret.chmod(0o640)
        case "a link":
            secret.rename(tmp_path / "elsewhere")
            secret.symlink_to(tmp_path / "nowhere")
            public.unlink()
        case "no PEM":
            secret.write_bytes(b"key")
        case "another kind":
            secret.write_bytes(foreign_pem(Ed25519PrivateKey.generate()))
        case _:
            secret.write_bytes(foreign_pem(MLDSA44PrivateKey.generate()))

    with pytest.raises(Misconfigured, match=told):
        ExecutionLog.open(deployment, settings_of())


@requirement("log:mldsa:keys")
def test_an_origin_too_long_for_the_line_stops_the_start(tmp_path: Path) -> None:
    from sandbox.receipts.keys import create_keys, read_signer

    deployment = deployment_at(tmp_path)
    for path in deployment.keys.iterdir():
        path.unlink()
    origin = "é" * 128
    with pytest.raises(OverflowError):
        cosigned_message(origin, 1, bytes(32))
    create_keys(deployment, origin)

    with pytest.raises(Misconfigured, match="255 bytes"):
        read_signer(deployment, origin)


@requirement("log:audit:published")
def test_the_newest_checkpoint_is_left_in_its_file(house: House) -> None:
    reader = LogReader(house.log, house.deployment.checkpoint)
    reader.publish()
    first = house.deployment.checkpoint.read_bytes()
    assert first == reader.checkpoint()
    assert labels(parse_note(first), house) == [1, 6]
    house.answer(call_of())

    reader.checkpoint()
    assert house.deployment.checkpoint.read_bytes() == first, "reading wrote again within ten seconds"
    reader.publish()
    assert house.deployment.checkpoint.read_bytes() == reader.checkpoint() != first
    assert [path.name for path in house.deployment.state.iterdir() if "checkpoint" in path.name] == ["checkpoint"]


@requirement("log:audit:published")
def test_a_checkpoint_of_a_larger_tree_is_never_written_over(house: House) -> None:
    file = house.deployment.checkpoint
    for kept in (b"origin\n1000000\nroot\n", b"nothing that can be read"):
        file.write_bytes(kept)
        LogReader(house.log, file).publish()
        assert file.read_bytes() == kept
    first = base64.b64encode(StoredTree(house.log.store).node(0, 1))
    file.write_bytes(b"origin\n1\n%b\n" % first)
    LogReader(house.log, file).publish()
    assert parse_checkpoint(parse_note(file.read_bytes()).text).size == house.log.store.head().size


@requirement("log:audit:published")
def test_a_file_that_cannot_be_written_keeps_nobody_from_reading(house: House, tmp_path: Path) -> None:
    checkpoints = Checkpoints(house.log, tmp_path / "no such folder" / "checkpoint")
    checkpoints.publish()

    assert labels(parse_note(checkpoints.newest()), house) == [1, 6]
