"""Does the starter policy do what its comments say?"""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_cast import SHOP, planned, policies_of, principal

from sandbox.policy import STARTER_POLICY
from sandbox.stages import Action, Deny, Permit

pytestmark = pytest.mark.requirement("policy:starter:teaches")

AGENT = {
    Action.LIST_TOOLS,
    Action.GET_TOOL,
    Action.EXPLAIN,
    Action.GET_CALL,
    Action.CANCEL_CALL,
    Action.GET_RECEIPT,
    Action.CHECK_HEALTH,
    Action.REFLECT,
}
REVIEWER = {
    Action.LIST_TOOLS,
    Action.GET_TOOL,
    Action.GET_CHECKPOINT,
    Action.LIST_RECORDS,
    Action.GET_RECEIPT,
    Action.GET_CONSISTENCY_PROOF,
    Action.READ_PAYLOAD,
    Action.CHECK_HEALTH,
    Action.REFLECT,
}


@pytest.mark.parametrize(("role", "expected"), [("agent", AGENT), ("reviewer", REVIEWER), ("stranger", set())])
def test_each_role_may_what_the_comments_say(tmp_path: Path, role: str, expected: set[Action]) -> None:
    policy = policies_of(tmp_path, STARTER_POLICY)
    who = principal("x", (role,))
    on_tool = {Action.GET_TOOL, Action.EXPLAIN}
    asked = set(Action) - {Action.EXECUTE}
    assert {a for a in asked if policy.may(who, a, "shop.query" if a in on_tool else "")} == expected
    assert isinstance(policy.decide(planned(who)), Permit if role == "agent" else Deny)


def test_it_passes_lint_without_any_tool(tmp_path: Path) -> None:
    assert policies_of(tmp_path, STARTER_POLICY, {}).may(principal(), Action.LIST_TOOLS)


def test_its_example_works_once_the_slashes_are_gone(tmp_path: Path) -> None:
    lines = STARTER_POLICY.splitlines()
    begin = next(number for number, line in enumerate(lines) if '@id("customers-stay-in-eu")' in line)
    lines[begin:] = [line.removeprefix("// ") for line in lines[begin:]]
    policy = policies_of(tmp_path, "\n".join(lines), SHOP)
    customers = ("customers",)
    assert policy.decide(planned(principal(), relations=customers)).rule_ids == ("customers-stay-in-eu",)
    assert isinstance(policy.decide(planned(principal(region="EU"), relations=customers)), Permit)
    assert isinstance(policy.decide(planned(principal())), Permit)
