"""Are calls permitted, denied and named as the policies say?"""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_cast import SHOP, planned, policies_of, principal, tool, validated, write_policies

from sandbox.policy import load_policies
from sandbox.policy.decider import MAX_RULE_IDS
from sandbox.reasons import Fault, Reason, Refused
from sandbox.stages import Action, Deny, Permit

ANYTHING = '@id("anything") permit (principal, action, resource);'
EXECUTE = 'action in Sandbox::Action::"Execute"'


@pytest.mark.requirement("policy:default-deny:nothing-permitted")
def test_what_nothing_permits_is_denied(tmp_path: Path) -> None:
    policy = policies_of(tmp_path, f'@id("b") permit (principal in Sandbox::Role::"boss", {EXECUTE}, resource);')
    decision = policy.decide(planned())
    assert decision == Deny(policy_digest=policy.digest, rule_ids=())
    with pytest.raises(Refused) as caught:
        policy.authorize(planned())
    assert (caught.value.reason, caught.value.rule) == (Reason.POLICY_DENIED, "policy/not-permitted")
    assert caught.value.metadata == {"policies": ""}
    assert "no policy permits `Execute` of `shop.query`" in caught.value.message


@pytest.mark.requirement("policy:default-deny:nothing-permitted")
def test_a_tool_of_another_generation_is_denied(tmp_path: Path) -> None:
    policy = policies_of(tmp_path, ANYTHING)
    stranger = tool("shop.new", {"type": "object", "properties": {}})
    assert policy.decide(planned(spec=stranger)) == Deny(policy_digest=policy.digest, rule_ids=())
    assert not policy.may(principal(), Action.GET_TOOL, "shop.new")
    assert not policy.may(principal(), Action.GET_TOOL)
    assert policy.may(principal(), Action.GET_TOOL, "shop.query")


@pytest.mark.requirement("policy:default-deny:forbid-beats-permit")
def test_a_forbid_beats_every_permit(tmp_path: Path) -> None:
    forbid = f'@id("no-alice") forbid (principal == Sandbox::Principal::"alice", {EXECUTE}, resource);'
    policy = policies_of(tmp_path, ANYTHING + forbid)
    assert policy.decide(planned()) == Deny(policy_digest=policy.digest, rule_ids=("no-alice",))
    assert isinstance(policy.decide(planned(principal("bob"))), Permit)
    with pytest.raises(Refused, match="forbidden by the policy `no-alice`") as caught:
        policy.authorize(planned())
    assert caught.value.rule == "policy/forbidden"
    assert caught.value.metadata == {"policies": "no-alice"}


@pytest.mark.requirement("policy:decision:names-its-policies")
def test_a_permit_names_its_policies_and_holds_the_plan(tmp_path: Path) -> None:
    policy = policies_of(tmp_path, f'@id("z") permit (principal, {EXECUTE}, resource);' + ANYTHING)
    plan = planned()
    authorized = policy.authorize(plan)
    assert authorized.permit == Permit(policy_digest=policy.digest, rule_ids=("anything", "z"))
    assert authorized.planned is plan
    assert authorized.spend() is plan.plan
    with pytest.raises(Fault):
        authorized.spend()
    assert policy.authorize(plan).spend() is plan.plan


@pytest.mark.requirement("policy:decision:bounded")
def test_many_deciding_policies_are_named_in_short(tmp_path: Path) -> None:
    many = "".join(f'@id("f{number:03}") forbid (principal, {EXECUTE}, resource);\n' for number in range(200))
    policy = policies_of(tmp_path, many + ANYTHING)
    decision = policy.decide(planned())
    assert len(decision.rule_ids) == MAX_RULE_IDS + 1
    assert decision.rule_ids[-1] == f"policy/and-{200 - MAX_RULE_IDS}-more"
    with pytest.raises(Refused) as caught:
        policy.authorize(planned())
    assert caught.value.message == "`Execute` of `shop.query` is forbidden by the policy `f000`, `f001`, `f002`, …"


@pytest.mark.requirement("policy:rpc:each-is-an-action")
@pytest.mark.parametrize("action", [action for action in Action if action is not Action.EXECUTE])
def test_each_rpc_is_an_action_of_its_own(tmp_path: Path, action: Action) -> None:
    policy = policies_of(
        tmp_path, f'@id("one") permit (principal, action == Sandbox::Action::"{action.value}", resource);'
    )
    on_tool = {Action.GET_TOOL, Action.EXPLAIN}
    authenticated = validated().authenticated
    for other in Action:
        if other is Action.EXECUTE:
            continue
        name = "shop.query" if other in on_tool else ""
        assert policy.may(principal(), other, name) is (other is action)
        if other is action:
            policy.permit(authenticated, other, name)
            policy.permit_principal(principal(), other, name)
        else:
            with pytest.raises(Refused, match=f"`{other.value}`"):
                policy.permit(authenticated, other, name)
    assert isinstance(policy.decide(planned()), Deny)


@pytest.mark.requirement("policy:rpc:each-is-an-action")
def test_executing_is_never_decided_without_a_plan(tmp_path: Path) -> None:
    policy = policies_of(tmp_path, ANYTHING)
    with pytest.raises(Fault):
        policy.may(principal(), Action.EXECUTE, "shop.query")


@pytest.mark.requirement("doors:call:still-permitted")
@pytest.mark.parametrize("tool_name", ["shop.query", "shop.order_by_id"])
def test_a_stored_result_is_permitted_like_a_call_as_far_as_no_policy_reads_the_call(
    tool_name: str, tmp_path: Path
) -> None:
    agents = f'@id("a") permit (principal in Sandbox::Role::"agent", {EXECUTE}, resource);'
    policy = policies_of(
        tmp_path, agents + f'@id("b") forbid (principal, {EXECUTE}, resource) when {{ principal.hasTag("x") }};'
    )
    policy.permit_result(principal(), tool_name)
    for who, name, rule in (
        (principal(roles=()), tool_name, "policy/not-permitted"),
        (principal(x="y"), tool_name, "policy/forbidden"),
        (principal(), "shop.gone", "policy/not-permitted"),
    ):
        with pytest.raises(Refused) as caught:
            policy.permit_result(who, name)
        assert (caught.value.reason, caught.value.rule) == (Reason.POLICY_DENIED, rule)
    reading = policies_of(
        tmp_path, agents + f'@id("b") forbid (principal, {EXECUTE}, resource) when {{ context.door == "x" }};'
    )
    with pytest.raises(Refused, match="send the same call again with its `request_id`") as caught:
        reading.permit_result(principal(), tool_name)
    assert caught.value.rule == "policy/call-needed"


@pytest.mark.requirement("policy:rpc:each-is-an-action")
def test_one_tool_is_permitted_by_its_action_or_as_the_resource(tmp_path: Path) -> None:
    by_action = policies_of(
        tmp_path, '@id("a") permit (principal, action == Sandbox::Action::"Execute:shop.query", resource);'
    )
    assert isinstance(by_action.decide(planned()), Permit)
    assert isinstance(by_action.decide(planned(tool_name="shop.order_by_id", arguments={"id": 1, "rate": 1})), Deny)
    by_resource = policies_of(
        tmp_path, f'@id("a") permit (principal, {EXECUTE}, resource == Sandbox::Tool::"shop.query");'
    )
    assert isinstance(by_resource.decide(planned()), Permit)
    assert isinstance(by_resource.decide(planned(tool_name="shop.order_by_id", arguments={"id": 1, "rate": 1})), Deny)


@pytest.mark.requirement("policy:digest:names-and-bytes")
def test_the_digest_depends_on_names_and_bytes(tmp_path: Path) -> None:
    folder = write_policies(tmp_path, a=ANYTHING)
    first = load_policies(folder, SHOP)
    assert first.sources == {"policies/a.cedar": ANYTHING.encode()}
    assert load_policies(folder, {}).digest == first.digest
    (folder / "a.cedar").rename(folder / "b.cedar")
    second = load_policies(folder, SHOP)
    write_policies(tmp_path, b=ANYTHING + "\n")
    third = load_policies(folder, SHOP)
    assert len({first.digest, second.digest, third.digest}) == 3
    assert third.decide(planned()).policy_digest == third.digest
