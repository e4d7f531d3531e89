"""Do the soak and the crash run see what they are there to see? Each kind of loss, planted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import apsw
import pytest
from conftest import Service

from sandbox.deployment import Deployment
from sandbox.serving import opened_house

SCRIPTS = Path(__file__).parents[2] / "scripts" / "lib"


@dataclass
class Ended:
    """A short run that is over, in which nothing was lost."""

    deployment: Deployment
    ledger: Any
    read: Any
    times: dict[str, int]
    judge: Callable[..., Any]

    def lost(self) -> dict[str, int]:
        found = self.judge(self.deployment, self.read, self.ledger, self.times)
        return {what: len(each) for what, each in found.lost.items() if each}


@pytest.fixture
def ended(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ended]:
    monkeypatch.syspath_prepend(SCRIPTS)
    counting, held = import_module("counting"), import_module("held")
    with counting.counting(deployment) as counted:
        book = held.Ledger()
        with (
            opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door),
            Service(deployment, house, door.address).client() as client,
        ):
            for key in ("w1", "w2"):
                answer = client.call("count.write", {"key": key}, request_id=key)
                book.take("write", answer)
                book.told[key] = held.effect_of(answer)
            book.take("read", client.call("shop.order", {"id": 1}))
        yield Ended(deployment, book, held.LogRead(deployment), counted.times(), held.judge)


def change_a_record(ended: Ended) -> None:
    connection = apsw.Connection(str(ended.deployment.log_database))
    connection.execute("UPDATE leaves SET hash = zeroblob(32) WHERE idx = 0")
    connection.close()


@pytest.mark.requirement("app:soak:nothing-lost")
def test_an_honest_run_has_lost_nothing(ended: Ended) -> None:
    assert ended.lost() == {}
    assert (len(ended.ledger.receipts), ended.times, ended.read.intents) == (3, {"w1": 1, "w2": 1}, 2)


@pytest.mark.requirement("app:soak:nothing-lost")
@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda e: e.ledger.receipts.append((0, bytes(32))), "receipts that are not in the log"),
        (lambda e: e.ledger.receipts.append((10**6, bytes(32))), "receipts that are not in the log"),
        (lambda e: e.times.pop("w1"), "writes told as done and not counted"),
        (lambda e: e.ledger.told.update(w2="none"), "writes told as not begun and counted"),
        (lambda e: e.times.update(w1=2), "effects that took place twice"),
        (lambda e: e.times.update(w3=1), "effects without a durable intent"),
        (lambda e: e.read.open.update({3: "call"}), "intents whose end no record tells"),
        (lambda e: e.ledger.wrong.append("a fault"), "what must not have happened"),
        (change_a_record, "audits that failed"),
    ],
    ids=["other", "beyond", "undone", "done-after-all", "twice", "unintended", "open", "wrong", "tampered"],
)
def test_a_planted_loss_is_found(ended: Ended, plant: Callable[[Ended], object], found: str) -> None:
    plant(ended)

    assert ended.lost() == {found: 1}


@pytest.mark.requirement("app:soak:memory")
@pytest.mark.parametrize(
    ("sizes", "held"),
    [
        ([100, 100, 100, 101, 101, 101, 102, 102, 102], True),
        ([50, 100, 100, 100, 104, 104, 104], True),  # the first is before the warm-up is over
        ([100, 100, 100, 104, 106, 106, 106], False),
        ([100, 100, 150, 100, 150, 100, 100], True),  # one sample is no growth
        ([100, 200], True),  # too short to tell
    ],
)
def test_memory_that_grows_is_found(monkeypatch: pytest.MonkeyPatch, sizes: list[int], *, held: bool) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    soak, troubles = import_module("soak"), import_module("soak_troubles")
    samples = [
        troubles.Sample(at_s=60.0 * minute, calls=0, kills=0, parent_mib=0.0, kept_mib=float(mib), others_mib=0.0)
        for minute, mib in enumerate(sizes)
    ]
    growth = soak._growth(samples, 60.0)

    assert growth.is_held() is held
    assert (growth.whole_percent is None) is (len(sizes) < 6)


@pytest.mark.requirement("app:soak:nothing-lost")
def test_a_run_in_which_nothing_happened_holds_no_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    soak, lanes, troubles, held = (import_module(name) for name in ("soak", "soak_lanes", "soak_troubles", "held"))
    callers = lanes.Callers(Deployment(tmp_path), "", held.Ledger(), has_postgres=True)
    beside = troubles.Troubles(None, callers, 1.0, 1.0, held.LogRead(callers.deployment))

    def missing(*effects: str, grown: float | None = 0.0, has_warmed_up: bool = True) -> list[str]:
        growth = soak.Growth(grown, grown)
        return list(soak._missing(beside, dict.fromkeys(effects, 1), growth, has_warmed_up=has_warmed_up))

    names = [thread.name for thread in callers.threads()]
    assert [told.split(":")[0] for told in missing(grown=None)] == [
        "no worker was killed",
        "no effect took place",
        "the log was not audited and archived while it was served",
        *["no call was answered"] * len(names),
        "memory was measured less than 6 times after the warm-up; let it run longer",
    ]
    beside.kills = beside.audits = beside.archives = 1
    for name in names[1:]:
        callers.ledger.count(name, "result")
    callers.ledger.count(names[0], held.UNHEARD)
    assert missing("w1", grown=None, has_warmed_up=False) == [f"no call was answered: {names[0]}"]
    callers.ledger.count(names[0], "result")
    assert missing("w1") == []


@pytest.mark.requirement("app:soak:nothing-lost")
def test_a_thread_of_a_run_that_dies_is_told_as_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    lanes, troubles, held = (import_module(name) for name in ("soak_lanes", "soak_troubles", "held"))
    ended: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: ended.append(told.exc_type.__name__))
    callers = lanes.Callers(Deployment(tmp_path / "nowhere"), "", held.Ledger(), has_postgres=False)
    beside = troubles.Troubles(None, callers, 0.0, 0.0, held.LogRead(callers.deployment))
    threads = [*callers.threads(), *beside.threads()]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    told = [wrong.split(": ended by ")[0] for wrong in callers.ledger.wrong if ": ended by " in wrong]
    assert any(wrong.startswith("log audit: exit code 2") for wrong in callers.ledger.wrong)
    assert sorted(told) == sorted(thread.name for thread in threads)
    assert len(ended) == len(threads)
