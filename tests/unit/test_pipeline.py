"""Does a call go through the stages in order, and does what stops it leave the later ones untouched?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Self

import pytest

from sandbox.pipeline import Pipeline
from sandbox.reasons import Reason, Refused
from sandbox.stages import Rights, SqlPlan
from sandbox.toolspec import Digest

ORDER = [
    "authenticate",
    "open",
    "validate",
    "spend",
    "trace",
    "plan",
    "authorize",
    "intend",
    "take",
    "execute",
    "give back",
    "release",
    "settle",
    "free",
    "seal",
]

PLAN = SqlPlan(
    dialect="sqlite",
    connection="shop",
    connection_digest=Digest("0" * 64),
    proposed_sql=None,
    sql_to_run="SELECT 1",
    parameters={},
    claims={},
    rights=Rights(relations=(), columns=(), functions=(), claims=()),
    omitted=(),
    is_fenced=False,
    max_seconds=1.0,
    max_rows=1,
    max_bytes=1,
)


class House:
    """Every part of the pipeline, noting what is asked of it; stops at `stop_at`."""

    def __init__(self, stop_at: str = "", *, is_answered: bool = False) -> None:
        self.stop_at = stop_at
        self.is_answered = is_answered
        self.seen: list[str] = []
        self.sealing = "sealing"

    def note(self, stage: str) -> SimpleNamespace:
        self.seen.append(stage)
        if stage == self.stop_at:
            raise Refused(Reason.POLICY_DENIED, f"stopped at {stage}")
        spec = SimpleNamespace(name="t", tables={})
        traced = SimpleNamespace(validated=SimpleNamespace(spec=spec))
        return SimpleNamespace(spec=spec, traced=traced, plan=PLAN, word="permit", rule_ids=())

    def __getattr__(self, stage: str) -> object:
        return lambda *_, **__: self.note(stage)

    def open(self, _: object) -> House:
        self.note("open")
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, _: object) -> bool:
        self.seen.append("seal")
        return isinstance(error, Refused)

    @contextmanager
    def spend(self, _: object, *, is_answered: bool) -> Iterator[None]:
        assert is_answered is self.is_answered
        self.note("spend")
        try:
            yield
        finally:
            self.seen.append("free")

    @contextmanager
    def take(self, _: object) -> Iterator[str]:
        self.note("take")
        try:
            yield "lease"
        finally:
            self.seen.append("give back")


def pipeline(house: House) -> Pipeline:
    parts = ("identity", "receipts", "specs", "limits", "flow", "executors", "policy", "leases")
    return Pipeline(**dict.fromkeys(parts, house))


@pytest.mark.requirement("pipeline:order")
def test_a_call_goes_through_every_stage_in_order() -> None:
    house = House()
    assert pipeline(house).run("call") == "sealing"
    assert house.seen == ORDER


@pytest.mark.requirement("pipeline:order")
@pytest.mark.parametrize("stage", ["validate", "spend", "trace", "plan", "authorize", "intend", "take", "execute"])
def test_what_stops_a_call_leaves_the_later_stages_untouched(stage: str) -> None:
    house = House(stop_at=stage)
    assert pipeline(house).run("call") == "sealing"
    reached = [each for each in house.seen if each not in {"free", "give back", "seal"}]
    assert reached == [each for each in ORDER if each not in {"free", "give back", "seal"}][: len(reached)]
    assert reached[-1] == stage
    assert house.seen[-1] == "seal"
    assert ("free" in house.seen) is (ORDER.index(stage) > ORDER.index("spend"))


@pytest.mark.requirement("pipeline:order")
@pytest.mark.parametrize("stage", ["authenticate", "open"])
def test_strangers_and_a_broken_log_leave_no_receipt(stage: str) -> None:
    house = House(stop_at=stage)
    with pytest.raises(Refused):
        pipeline(house).run("call")
    assert "seal" not in house.seen


@pytest.mark.requirement("pipeline:order")
def test_an_answered_request_is_authorized_again_and_not_run() -> None:
    house = House(is_answered=True)
    assert pipeline(house).run("call") == "sealing"
    assert "authorize" in house.seen
    assert "execute" not in house.seen


@pytest.mark.requirement("pipeline:order")
def test_an_explained_request_is_not_charged_again() -> None:
    house = House(is_answered=True)  # its `spend` asserts that it is told so
    assert pipeline(house).explain("call") == "sealing"
    assert "permit" in house.seen
    assert "decide" not in house.seen


@pytest.mark.requirement("pipeline:order")
def test_explaining_decides_and_never_executes() -> None:
    house = House()
    assert pipeline(house).explain("call") == "sealing"
    assert "decide" in house.seen
    assert not {"take", "execute", "intend", "authorize"} & set(house.seen)
