"""Can somebody with the file, and without the key, have a changed history signed? Found by a red team."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from log_house import House, call_of, change, deployment_at, open_house, settings_of

from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.deployment import Misconfigured
from sandbox.reasons import Reason, Refused
from sandbox.receipts import LogReader
from sandbox.receipts.tree import GrownTree, leaf_hash
from sandbox.stores.log import StoreUnavailable


def with_calls(root: Path) -> House:
    with open_house(root) as house:
        for _ in range(3):
            house.answer(call_of())
    return house


@pytest.mark.requirement("log:audit:covered")
def test_a_log_whose_signatures_were_taken_away_is_not_valid(tmp_path: Path) -> None:
    house = with_calls(tmp_path / "deployment")
    audit_log(house.deployment.log_database, house.vkey)
    change(house, "UPDATE checkpoints SET signature = NULL")
    with pytest.raises(LogInvalid, match="no signature covers"):
        audit_log(house.deployment.log_database, house.vkey)


@pytest.mark.requirement("log:reader:signs-nothing")
def test_a_head_changed_beneath_the_service_is_neither_handed_out_nor_built_on(tmp_path: Path) -> None:
    with open_house(tmp_path / "deployment") as house:
        house.answer(call_of())
        reader = LogReader(house.log)
        before = reader.checkpoint()
        change(house, "UPDATE head SET size = 424242, root = zeroblob(32)")
        assert reader.checkpoint() == before
        with pytest.raises(Refused) as refused:
            house.answer(call_of())
    assert refused.value.reason is Reason.RECEIPT_LOG_UNAVAILABLE


@pytest.mark.requirement("log:start:covered")
def test_more_unsigned_records_than_a_crash_leaves_are_not_signed_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = with_calls(tmp_path / "deployment")
    change(house, "UPDATE checkpoints SET signature = NULL")
    monkeypatch.setattr("sandbox.receipts.opening.MAX_UNSIGNED", 2)
    with pytest.raises(Misconfigured, match="bear no signature"):
        House(deployment_at(tmp_path / "deployment"), settings_of())


@pytest.mark.requirement("log:reader:signs-nothing")
def test_leaves_put_behind_the_service_s_own_without_the_key_are_not_built_on(tmp_path: Path) -> None:
    with open_house(tmp_path / "deployment") as house:
        house.answer(call_of())
        head = house.log.store.head()
        tree = GrownTree(head.size, head.frontier, [leaf_hash(b"forged")])
        connection = apsw.Connection(str(house.deployment.log_database))
        connection.execute("INSERT INTO leaves VALUES (?, ?, NULL, ?)", (head.size, leaf_hash(b"forged"), b"forged"))
        connection.execute(
            "INSERT INTO checkpoints SELECT ?, ?, NULL, seal FROM checkpoints WHERE size = ?",
            (tree.size, tree.root(), head.size),
        )
        grown = (tree.size, tree.root(), tree.frontier())
        connection.execute("UPDATE head SET size = ?, root = ?, frontier = ?", grown)
        connection.close()
        with pytest.raises(Refused) as refused:
            house.answer(call_of())
        assert refused.value.reason is Reason.RECEIPT_LOG_UNAVAILABLE
        forged = house.log.store.checkpoint_covering(head.size)
        assert forged is not None
        with pytest.raises(StoreUnavailable):
            house.log.note_of(forged)
