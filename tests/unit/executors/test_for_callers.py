"""Does a refusal tell a model what a model can do, and operators what an operator can?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Never

import pytest
from executor_cast import Shop, make_database, open_table, tool

from sandbox.executors import executors
from sandbox.executors.engine import NotSetUp
from sandbox.reasons import ASK_LATER, Reason, Refused
from sandbox.telemetry import events

SETUP = "`sandbox doctor --setup-sql shop` prints the script that its administrator runs"


@pytest.fixture(autouse=True)
def told_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_often", {})


@pytest.mark.requirement("executors:refusals:callers")
def test_what_mends_a_set_up_is_told_to_operators_alone(capsys: pytest.CaptureFixture[str]) -> None:
    refused = NotSetUp("the view of `orders` is gone", SETUP)

    told = executors._for_caller("shop", refused)

    assert (told.reason, refused.reason) == (Reason.EXECUTOR_UNAVAILABLE, Reason.EXECUTOR_UNAVAILABLE)
    assert SETUP in refused.message
    assert told.message == f"the view of `orders` is gone; {ASK_LATER}"
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["kind"], event["causes"]) == ("set-up not whole", "shop", refused.message)


@pytest.mark.requirement("executors:refusals:callers")
@pytest.mark.parametrize(
    "refused",
    [
        Refused(Reason.EXECUTOR_UNAVAILABLE, "the database cannot run this now", retry_after_s=1.0),
        Refused(Reason.SQL_FAILED, f"a text of the caller's; {SETUP}"),
    ],
)
def test_any_other_refusal_goes_as_it_came(refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    assert executors._for_caller("shop", refused) is refused
    assert capsys.readouterr().err == ""


@pytest.mark.requirement("executors:refusals:callers")
@pytest.mark.parametrize(
    ("refused", "causes"),
    [
        (Refused(Reason.EXECUTOR_UNAVAILABLE, "the database cannot run this now"), ["OSError"]),
        (NotSetUp("the view of `orders` is gone", SETUP), ["NotSetUp", "OSError"]),
    ],
)
def test_a_refusal_keeps_its_cause(tmp_path: Path, refused: Refused, causes: list[str]) -> None:
    class Failing:
        def run(self, *_: object) -> Never:
            raise refused from OSError("the line is down")

    shop = Shop(make_database(tmp_path / "shop.db"), (tool(tables={"orders": open_table("orders", "id")}),))
    shop.executors._executors["shop"] = Failing()  # type: ignore[assignment]

    raised = shop.refusal({"sql": "SELECT id FROM orders"})

    assert events.causes_of(raised).split(" < ") == causes


@pytest.mark.requirement("executors:refusals:callers")
def test_a_model_is_told_of_no_command() -> None:
    assert "`" not in ASK_LATER
    assert "operator" in ASK_LATER
