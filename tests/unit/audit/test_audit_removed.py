"""Does the audit take a payload for removed only where a signed record says so, and nowhere else?"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from log_house import House, call_of, deployment_at, open_house
from typer.testing import CliRunner

from sandbox.audit import audit
from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.cli.log import app
from sandbox.receipts import Retention
from sandbox.receipts.records import Entry, base_record, call_key, new_call_id
from sandbox.receipts.retention import DAY_US
from sandbox.receipts.tree import GrownTree, leaf_hash
from sandbox.settings import LogSettings, Settings
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement

RETENTION = record_pb2.RECORD_KIND_RETENTION
FIRST_CALL = 5
"""The leaf of the first call: after the key, the spec, the policy and two files of configuration."""


def opened(root: Path, days: int = 7) -> House:
    deployment = deployment_at(root)
    return House(deployment, Settings(log=LogSettings(origin="sandbox.example/test-log", payload_days=days)))


def remove(house: House) -> None:
    Retention(house.log).run(time.time_ns() // 1000 + 8 * DAY_US)


def removed(root: Path) -> House:
    """Leave a log of two calls, the payloads of the first of which are removed."""
    house = opened(root)
    house.answer(call_of())
    remove(house)
    house.answer(call_of())
    house.close()
    return house


def change(house: House, *statements: str) -> None:
    connection = apsw.Connection(str(house.deployment.log_database))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def drop_payloads_of(leaf: int) -> str:
    return f"DELETE FROM payloads WHERE id >= {leaf * 8} AND id < {leaf * 8 + 8}"  # noqa: S608 - a number of ours


@requirement("log:audit:removed")
def test_a_payload_that_is_missing_without_a_record_of_its_removal_is_proven_bad(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
    change(house, drop_payloads_of(FIRST_CALL))

    with pytest.raises(LogInvalid, match=f"leaf {FIRST_CALL}: a payload is missing, and no signed record says"):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:removed")
def test_below_the_recorded_leaf_payloads_may_be_missing_and_above_they_may_not(tmp_path: Path) -> None:
    house = removed(tmp_path)
    assert audit_log(house.deployment.log_database, house.vkey).removed_payloads == 4

    change(house, drop_payloads_of(FIRST_CALL + 2))
    with pytest.raises(LogInvalid, match=f"leaf {FIRST_CALL + 2}: a payload is missing, and no signed record says"):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:removed")
def test_what_records_are_read_with_may_never_be_missing(tmp_path: Path) -> None:
    house = removed(tmp_path)
    change(house, drop_payloads_of(1))
    with pytest.raises(LogInvalid, match="leaf 1: the payload `source` is missing"):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:removed")
def test_what_is_still_there_must_be_what_its_record_commits_to(tmp_path: Path) -> None:
    house = opened(tmp_path)
    house.answer(call_of())
    connection = apsw.Connection(str(house.deployment.log_database))
    (kept,) = connection.execute("SELECT * FROM payloads WHERE id = ?", (FIRST_CALL * 8,))
    connection.close()
    remove(house)
    house.close()
    connection = apsw.Connection(str(house.deployment.log_database))
    connection.execute("INSERT INTO payloads VALUES (?, ?, ?, ?)", (*kept[:3], b"x" + kept[3][1:]))  # type: ignore[index,operator]
    connection.close()

    with pytest.raises(LogInvalid, match="is not the one that the record commits to"):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:removed")
@pytest.mark.parametrize("leaf", [1, FIRST_CALL, FIRST_CALL + 2, 999])
def test_the_table_alone_allows_nothing(tmp_path: Path, leaf: int) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
    change(house, drop_payloads_of(FIRST_CALL), f"INSERT INTO files VALUES ({RETENTION}, 'payloads', {leaf}, x'00')")  # noqa: S608 - numbers of ours
    with pytest.raises(LogInvalid, match=f"leaf {FIRST_CALL}: a payload is missing, and no signed record says"):
        audit_log(house.deployment.log_database, house.vkey)


def forged(house: House, below: int) -> record_pb2.Record:
    record = base_record(RETENTION, new_call_id(), "forged", house.log.boot)
    record.payloads_below = below
    return record


def put_at_the_end(house: House, record: record_pb2.Record, signature: str) -> None:
    """Append a record to the closed log as whoever can write its file but has no key, and lead all tables to it."""
    content, key = record.SerializeToString(), call_key(record.call_id)
    connection = apsw.Connection(str(house.deployment.log_database))
    hashes = [row[0] for row in connection.execute("SELECT hash FROM leaves ORDER BY idx")]
    tree = GrownTree(0, b"", [*hashes, leaf_hash(content)])  # type: ignore[list-item]
    size = len(hashes)
    connection.execute("INSERT INTO leaves VALUES (?, ?, ?, ?)", (size, leaf_hash(content), key, content))
    connection.execute("INSERT INTO files VALUES (?, 'payloads', ?, x'00')", (RETENTION, size))
    connection.execute("UPDATE head SET size = ?, root = ?, frontier = ?", (tree.size, tree.root(), tree.frontier()))
    connection.execute(
        f"INSERT INTO checkpoints SELECT ?, ?, {signature}, seal FROM checkpoints WHERE size = ?",  # noqa: S608 - of ours
        (tree.size, tree.root(), size),
    )
    connection.close()


@requirement("log:audit:removed")
@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("signature", "the signature of .* is false"),
        ("NULL", f"leaf {FIRST_CALL}: a payload is missing, and no signed record says that it was removed"),
    ],
)
def test_a_record_of_retention_cannot_be_forged_without_the_key(tmp_path: Path, signature: str, told: str) -> None:
    """The attack: payloads taken away, and a record put at the end, as a crash leaves some, that excuses it."""
    with open_house(tmp_path) as house:
        house.answer(call_of())
    put_at_the_end(house, forged(house, FIRST_CALL + 1), signature)
    change(house, drop_payloads_of(FIRST_CALL))

    with pytest.raises(LogInvalid, match=told):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:removed")
def test_a_forged_record_excuses_nothing_beside_a_true_one(tmp_path: Path) -> None:
    house = removed(tmp_path)
    change(house, "DELETE FROM files WHERE name = 'payloads'")
    put_at_the_end(house, forged(house, FIRST_CALL + 3), "NULL")
    change(house, drop_payloads_of(FIRST_CALL + 2))

    with pytest.raises(LogInvalid, match=f"leaf {FIRST_CALL + 2}: a payload is missing, and no signed record says"):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:removed")
@pytest.mark.parametrize("further", [0, -FIRST_CALL, 1])
def test_a_record_that_cannot_say_so_is_refused_even_if_it_is_signed(tmp_path: Path, further: int) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
        own = house.log.store.head().size
        said = [own, own + 1 + further] if further <= 0 else [own + further]
        for below in said:
            record = forged(house, below)
            content = record.SerializeToString()
            file = (RETENTION, "payloads", hashlib.sha256(content).digest())
            house.log.append(Entry(record=content, call_id=call_key(record.call_id), file=file))

    bad = own + len(said) - 1
    if further == 0:
        audit_log(house.deployment.log_database, house.vkey)
    else:
        with pytest.raises(LogInvalid, match=f"leaf {bad}: the record says that payloads below leaf {said[-1]} were"):
            audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:removed-beside")
def test_what_a_service_removes_during_an_audit_is_followed_to_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CHUNK", 7)
    house = opened(tmp_path)
    for _ in range(30):
        house.answer(call_of())
    acts: list[Callable[[], object]] = [lambda: remove(house), lambda: house.answer(call_of())]

    report = audit_log(house.deployment.log_database, house.vkey, progress=lambda *_: acts.pop(0)() if acts else None)

    assert report.tree_size == house.log.store.head().size
    assert report.removed_payloads > 4 * 20
    house.close()


@requirement("log:audit:removed")
def test_the_command_says_how_much_was_removed_and_by_which_leaf(tmp_path: Path) -> None:
    house = removed(tmp_path)
    asked = ["audit", "--key", str(house.deployment.keys / "log.vkey"), "--deployment", str(tmp_path)]

    told, found = CliRunner().invoke(app, asked), CliRunner().invoke(app, [*asked, "--json"])

    assert (told.exit_code, found.exit_code) == (0, 0)
    text = " ".join(told.stdout.split())
    assert f"what calls below leaf {FIRST_CALL + 1} said: 4 payloads are removed, as leaf {FIRST_CALL + 1} says" in text
    assert json.loads(found.stdout)["removed_payloads"] == 4
