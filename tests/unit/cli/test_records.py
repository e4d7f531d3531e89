"""Is a record of another version, or one that nobody should have written, told as it is?"""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CommandLine

from sandbox.cli.records import kind_name, listed_line, moment, record_facts, status_name
from sandbox.receipts.reader import LoggedRecord
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement
YEAR_30000_US = 884_541_340_800_000_000


def record(**fields: object) -> record_pb2.Record:
    made = record_pb2.Record(schema_version=1, call_id="c")
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@requirement("log:verify:unknown-numbers")
@pytest.mark.parametrize("kind", [77, -1, 2**31 - 1])
@pytest.mark.parametrize("wall_time_us", [YEAR_30000_US, 2**64 - 1])
def test_what_this_version_does_not_know_is_told_as_numbers(kind: int, wall_time_us: int) -> None:
    foreign = record_pb2.Record.FromString(
        record(kind=kind, status=99, wall_time_us=wall_time_us).SerializeToString()
    )  # fmt: skip

    facts = record_facts(foreign)

    assert (facts["kind"], facts["status"]) == (str(kind), "99")
    assert facts["time"] == f"{wall_time_us} µs since 1970 UTC"
    assert listed_line(LoggedRecord(3, foreign.SerializeToString()), {}).isprintable()


def test_known_numbers_have_names() -> None:
    assert (kind_name(record_pb2.RECORD_KIND_ACCESS), status_name(2)) == ("access", "refused")
    assert moment(0) == "1970-01-01T00:00:00.000+00:00"
    assert record_facts(record_pb2.Record()) == {}


@requirement("log:verify:unknown-numbers")
def test_a_receipt_of_a_later_version_verifies(sandbox: CommandLine, tmp_path: Path) -> None:
    leaf = record(kind=77, status=9, wall_time_us=YEAR_30000_US, tool="a\x1b[2Jb").SerializeToString()
    proof, key = proof_of(leaf)
    (tmp_path / "proof").write_bytes(proof)
    (tmp_path / "key").write_text(key)

    told = sandbox.run("log", "verify", str(tmp_path / "proof"), "--key", str(tmp_path / "key"))
    asked = sandbox.run("log", "verify", str(tmp_path / "proof"), "--key", str(tmp_path / "key"), "--json")

    assert (told.code, asked.code) == (0, 0), told.err
    assert "\x1b" not in told.out
    assert max(map(len, told.out.splitlines())) <= 80
    assert asked.json()["record"]["kind"] == "77"


def proof_of(leaf: bytes) -> tuple[bytes, str]:
    """Return a proof of a tree of one leaf, and the verifier key of the log that signed it."""
    from base64 import b64encode

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from sandbox.audit.merkle import hash_leaf
    from sandbox.receipts.note import NoteSigner

    signer = NoteSigner("sandbox.example/log", Ed25519PrivateKey.generate())
    root = hash_leaf(leaf)
    note = signer.note(1, root, signer.sign(1, root))
    head = f"c2sp.org/tlog-proof@v1\nextra {b64encode(leaf).decode()}\nindex 0\n\n"
    return head.encode() + note, signer.verifier_key
