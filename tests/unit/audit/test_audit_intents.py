"""Does the audit see an end without its intent? And are the calls counted that have none yet?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from log_house import House, call_of, open_house, principal_of
from typer.testing import CliRunner

from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.cli.log import app
from sandbox.receipts import close_orphans
from sandbox.receipts.records import Entry, base_record, call_key, new_call_id
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement

OUTCOME, ORPHAN = record_pb2.RECORD_KIND_OUTCOME, record_pb2.RECORD_KIND_ORPHAN


def end(house: House, kind: int, about: int, call_id: str = "") -> int:
    """Append what a service that had gone wrong, or was made to, could write; return its leaf."""
    record = base_record(kind, call_id or new_call_id(), "test", house.log.boot)  # type: ignore[arg-type]
    record.about_index_plus_one = about + 1
    return house.log.append(Entry(record=record.SerializeToString(), call_id=call_key(record.call_id))).index


def last(house: House) -> int:
    return house.log.store.head().size - 1


def without_intent(house: House) -> int:
    sealed = house.answer(call_of())
    return end(house, OUTCOME, last(house), sealed.call_id)


def of_another_call(house: House) -> int:
    house.begin(call_of())
    return end(house, OUTCOME, last(house))


def told_twice(house: House) -> int:
    sealed = house.write(call_of())
    return end(house, ORPHAN, last(house) - 1, sealed.call_id)


def about_nothing(house: House) -> int:
    return end(house, ORPHAN, -1)


def about_itself(house: House) -> int:
    return end(house, OUTCOME, last(house) + 1)


@requirement("log:audit:intents")
@pytest.mark.parametrize("wrong", [without_intent, of_another_call, told_twice, about_nothing, about_itself])
def test_an_end_that_is_not_of_one_open_intent_of_its_call_is_refused(
    tmp_path: Path, wrong: Callable[[House], int]
) -> None:
    with open_house(tmp_path) as house:
        leaf = wrong(house)

    with pytest.raises(LogInvalid, match=f"leaf {leaf}: leaf .* is no open intent of its call"):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:intents")
def test_open_intents_are_counted_and_nothing_wrong(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.write(call_of())
        for number in range(3):
            house.begin(call_of(principal=principal_of("bob", f"t{number}")))
        key = str(house.deployment.keys / "log.vkey")
        asked = ["audit", "--key", key, "--deployment", str(tmp_path)]

        told, found = CliRunner().invoke(app, asked), CliRunner().invoke(app, [*asked, "--json"])
        assert (told.exit_code, found.exit_code) == (0, 0)
        assert "begun, and no end on record: 3 calls (`sandbox log open` names them)" in told.stdout
        assert json.loads(found.stdout)["open_intents"] == 3
    with open_house(tmp_path) as house:
        close_orphans(house.log)
        assert audit_log(house.deployment.log_database, house.vkey).open_intents == 0
