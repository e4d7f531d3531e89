"""Is a log that was tampered with always refused? One change each, on a real log, and the place is named."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from log_house import ORIGIN, call_of, deployment_at, open_house, principal_of, verifier_key

from sandbox.audit import audit
from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.audit.merkle import hash_leaf
from sandbox.receipts import opening
from sandbox.receipts.keys import read_signer
from sandbox.receipts.note import NoteSigner
from sandbox.receipts.tree import GrownTree
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed deployment whose log has 30 records of two tokens."""
    root = tmp_path_factory.mktemp("written")
    with open_house(root) as house:
        for number in range(12):
            house.answer(call_of(request_id=f"r{number}"))
            house.refuse(call_of(principal=principal_of("bob", "t2")))
    return root


@pytest.fixture
def database(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(written / "state" / "log.db", tmp_path / "log.db"))


@pytest.fixture
def key(written: Path) -> str:
    return verifier_key(deployment_at(written))


def change(database: Path, *statements: str) -> None:
    connection = apsw.Connection(str(database))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def resign(database: Path, signer: NoteSigner) -> None:
    """Make leaves, roots, head, signatures and the tables agree again, as somebody with a key would."""
    connection = apsw.Connection(str(database))
    records = list(connection.execute("SELECT idx, record FROM leaves ORDER BY idx"))
    hashes = [hash_leaf(record) for _, record in records]
    for (index, _), leaf in zip(records, hashes, strict=True):
        connection.execute("UPDATE leaves SET hash = ? WHERE idx = ?", (leaf, index))
    connection.execute("DELETE FROM checkpoints WHERE size > ?", (len(hashes),))
    for (size,) in list(connection.execute("SELECT size FROM checkpoints")):
        root = GrownTree(0, b"", hashes[:size]).root()
        signature = signer.sign(size, root)
        connection.execute("UPDATE checkpoints SET root = ?, signature = ? WHERE size = ?", (root, signature, size))
    tree = GrownTree(0, b"", hashes)
    connection.execute("UPDATE head SET size = ?, root = ?, frontier = ?", (tree.size, tree.root(), tree.frontier()))
    connection.execute("DELETE FROM files WHERE idx >= ?", (len(hashes),))
    connection.execute("DELETE FROM chains")
    for _, content in records:
        record = record_pb2.Record.FromString(content)  # type: ignore[arg-type]
        last = (record.token_digest, record.token_sequence, hashlib.sha256(content).digest())  # type: ignore[arg-type]
        if record.token_digest:
            connection.execute("INSERT OR REPLACE INTO chains VALUES (?, ?, ?)", last)
    connection.close()


@requirement("log:audit:covered")
def test_what_many_killed_workers_left_unsigned_is_as_good_for_an_audit_as_for_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_house(tmp_path) as house:
        begun = house.log.store.head().size
        for _ in range(600):
            house.answer(call_of())
    database = house.deployment.log_database
    change(database, f"UPDATE checkpoints SET signature = NULL WHERE size > {begun}")  # noqa: S608 - a number

    report = audit_log(database, house.vkey)

    assert (report.signed_size, report.unsigned_checkpoints) == (begun, 600)
    monkeypatch.setattr(audit, "MAX_UNSIGNED", 599)
    with pytest.raises(LogInvalid, match=f"leaf {begun}: no signature covers the records from here on"):
        audit_log(database, house.vkey)
    monkeypatch.undo()
    assert audit.MAX_UNSIGNED == opening.MAX_UNSIGNED
    with open_house(tmp_path):
        pass
    assert audit_log(database, house.vkey).unsigned_checkpoints == 0


@requirement("log:audit:clean")
def test_an_untouched_log_is_clean_and_the_audit_says_what_it_did_not_check(database: Path, key: str) -> None:
    told: list[tuple[int, int]] = []
    report = audit_log(database, key, progress=lambda done, whole: told.append((done, whole)))

    assert (report.tree_size, report.unsigned_checkpoints, report.tokens) == (29, 0, 2)
    assert report.payloads == 12 * 4 + 12 * 2 + 4
    assert len(report.not_checked) == 4
    assert told[-1] == (29, 29)


TAMPERED = {
    "a record's bit": "UPDATE leaves SET record = CAST(record || x'00' AS BLOB) WHERE idx = 7",
    "a record turned into text": "UPDATE leaves SET record = record || x'ff' WHERE idx = 7",
    "a record and its hash": "UPDATE leaves SET record = (SELECT record FROM leaves WHERE idx = 9),"
    " hash = (SELECT hash FROM leaves WHERE idx = 9) WHERE idx = 7",
    "a leaf hash": "UPDATE leaves SET hash = zeroblob(32) WHERE idx = 0",
    "a missing leaf": "DELETE FROM leaves WHERE idx = 12",
    "a cut tail": "DELETE FROM leaves WHERE idx > 20",
    "no leaves": "DELETE FROM leaves",
    "an added leaf": "INSERT INTO leaves SELECT idx + 1, hash, NULL, record FROM leaves WHERE idx = 28",
    "two swapped leaves": "UPDATE leaves SET idx = -1 WHERE idx = 7; UPDATE leaves SET idx = 7 WHERE idx = 8;"
    " UPDATE leaves SET idx = 8 WHERE idx = -1",
    "a checkpoint's root": "UPDATE checkpoints SET root = zeroblob(32) WHERE size = 9",
    "a checkpoint's signature": "UPDATE checkpoints SET signature = zeroblob(64) WHERE size = 9",
    "a signature of another size": "UPDATE checkpoints SET signature = (SELECT signature FROM checkpoints"
    " WHERE size = 10) WHERE size = 9",
    "a shortened signature": "UPDATE checkpoints SET signature = x'00' WHERE size = 9",
    "the head's size": "UPDATE head SET size = 28",
    "the head's root": "UPDATE head SET root = zeroblob(32)",
    "no head": "DELETE FROM head",
    "a payload's bit": "UPDATE payloads SET ciphertext = zeroblob(272) WHERE id = 56",
    "a missing payload": "DELETE FROM payloads WHERE id = 56",
    "an added payload": "INSERT INTO payloads SELECT id + 7, subject, wrapped_key, ciphertext FROM payloads"
    " WHERE id = 56",
    "swapped payloads": "UPDATE payloads SET id = -1 WHERE id = 56; UPDATE payloads SET id = 56 WHERE id = 57;"
    " UPDATE payloads SET id = 57 WHERE id = -1",
    "a damaged row": "UPDATE leaves SET record = 'text' WHERE idx = 3",
    "an empty record": "UPDATE leaves SET record = x'' WHERE idx = 3",
    "a record of garbage": "UPDATE leaves SET record = x'ffffffff' WHERE idx = 3",
}


@requirement("log:audit:tampered")
@pytest.mark.parametrize("statement", TAMPERED.values(), ids=TAMPERED.keys())
def test_each_change_is_found(database: Path, key: str, statement: str) -> None:
    change(database, statement)

    with pytest.raises(LogInvalid):
        audit_log(database, key)


@requirement("log:audit:tampered")
@pytest.mark.parametrize(("index", "statement"), [(7, TAMPERED["a record's bit"]), (12, TAMPERED["a missing leaf"])])
def test_the_place_is_named(database: Path, key: str, index: int, statement: str) -> None:
    change(database, statement)

    with pytest.raises(LogInvalid, match=f"leaf {index}\\b"):
        audit_log(database, key)


@requirement("log:audit:tampered")
def test_a_log_signed_with_another_key_is_refused(database: Path, key: str) -> None:
    resign(database, NoteSigner(ORIGIN, Ed25519PrivateKey.generate()))

    with pytest.raises(LogInvalid, match="signature"):
        audit_log(database, key)


@pytest.fixture
def signer(written: Path) -> NoteSigner:
    return read_signer(deployment_at(written), ORIGIN)


def forge(database: Path, index: int, edit: Callable[[record_pb2.Record], None]) -> None:
    connection = apsw.Connection(str(database))
    ((content,),) = list(connection.execute("SELECT record FROM leaves WHERE idx = ?", (index,)))
    record = record_pb2.Record.FromString(content)
    edit(record)
    connection.execute("UPDATE leaves SET record = ? WHERE idx = ?", (record.SerializeToString(), index))
    connection.close()


def set_fields(**fields: object) -> Callable[[record_pb2.Record], None]:
    def edit(record: record_pb2.Record) -> None:
        for name, value in fields.items():
            setattr(record, name, value)

    return edit


FORGED = {
    "a number of its token": set_fields(token_sequence=9),
    "another previous record": set_fields(previous_record_sha256=b"x" * 32),
    "another token": set_fields(token_digest=hashlib.sha256(b"other").digest()),
    "no place in the chain": set_fields(token_sequence=0),
    "another spec leaf": set_fields(spec_index=4),
    "another spec": set_fields(spec_digest=b"x" * 32),
    "a spec leaf that is not there": set_fields(spec_index=10_000),
    "another policy": set_fields(policy_digest=b"x" * 32),
    "another configuration": set_fields(config_digest=b"x" * 32),
    "one policy more": lambda record: record.policy_indexes.append(1),
    "one payload fewer": lambda record: record.payloads.pop(),
    "one payload more": lambda record: record.payloads.add(role="result"),
}


@requirement("log:audit:tampered")
@pytest.mark.parametrize("edit", FORGED.values(), ids=FORGED.keys())
def test_what_a_record_says_must_hold_even_if_the_keys_owner_signed_it(
    database: Path, key: str, signer: NoteSigner, edit: Callable[[record_pb2.Record], None]
) -> None:
    forge(database, 27, edit)
    resign(database, signer)

    with pytest.raises(LogInvalid):
        audit_log(database, key)


@requirement("log:audit:tampered")
def test_a_record_left_out_of_a_token_breaks_its_chain(database: Path, key: str, signer: NoteSigner) -> None:
    change(
        database,
        "DELETE FROM leaves WHERE idx = 15",
        "DELETE FROM payloads WHERE id >= 15 * 8 AND id < 16 * 8",
        "UPDATE leaves SET idx = -idx WHERE idx > 15; UPDATE leaves SET idx = -idx - 1 WHERE idx < 0",
        "UPDATE payloads SET id = -id WHERE id >= 16 * 8; UPDATE payloads SET id = -id - 8 WHERE id < 0",
    )
    resign(database, signer)

    with pytest.raises(LogInvalid, match="token"):
        audit_log(database, key)


@requirement("log:audit:remembered")
def test_a_tail_cut_off_and_signed_over_is_seen_with_a_remembered_checkpoint(
    database: Path, key: str, signer: NoteSigner
) -> None:
    remembered = audit_log(database, key).newest_checkpoint
    change(database, "DELETE FROM leaves WHERE idx > 20", "DELETE FROM payloads WHERE id >= 21 * 8")
    resign(database, signer)

    cut = audit_log(database, key)
    assert cut.tree_size == 21
    assert any("cut" in item for item in cut.not_checked)
    with pytest.raises(LogInvalid, match="remembered"):
        audit_log(database, key, remembered=remembered)


@requirement("log:audit:remembered")
def test_a_history_written_anew_is_seen_with_a_remembered_checkpoint(
    database: Path, key: str, signer: NoteSigner
) -> None:
    first = audit_log(database, key)
    assert audit_log(database, key, remembered=first.newest_checkpoint).remembered_size == 29
    forge(database, 28, set_fields(wall_time_us=1))
    resign(database, signer)

    audit_log(database, key)
    with pytest.raises(LogInvalid, match="remembered"):
        audit_log(database, key, remembered=first.newest_checkpoint)


@requirement("log:audit:remembered")
@pytest.mark.parametrize("content", [b"", b"text", b"a\n1\nAAAA\n\n\xe2\x80\x94 a AAAA\n"])
def test_a_remembered_file_that_is_no_checkpoint_is_told(database: Path, key: str, content: bytes) -> None:
    with pytest.raises(LogInvalid):
        audit_log(database, key, remembered=content)


@requirement("log:audit:tampered")
@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"SQLite format 3\x00" + bytes(5000)])
def test_a_file_that_is_no_log_is_told(tmp_path: Path, key: str, content: bytes) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(content)

    with pytest.raises((LogInvalid, ValueError, Exception)) as caught:
        audit_log(path, key)
    assert type(caught.value).__name__ in {"LogInvalid", "Misconfigured"}


@requirement("log:audit:tampered")
def test_every_changed_byte_of_a_record_is_found(database: Path, key: str) -> None:
    connection = apsw.Connection(str(database))
    ((content,),) = list(connection.execute("SELECT record FROM leaves WHERE idx = 11"))
    for position in range(0, len(content), 9):
        changed = bytearray(content)
        changed[position] ^= 1
        connection.execute("UPDATE leaves SET record = ? WHERE idx = 11", (bytes(changed),))
        with pytest.raises(LogInvalid, match="leaf 11"):
            audit_log(database, key)
    connection.close()
