"""Are decisions remembered where they may be, within bounds, and only the policies asked that matter?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cedarpy
import pytest
from policy_cast import SHOP, planned, policies_of, principal, tool

from sandbox.policy import CedarPolicy, decider
from sandbox.stages import Action, Deny, Permit
from sandbox.toolspec import ToolName

QUERY = 'action == Sandbox::Action::"Execute:shop.query"'
EXECUTE = 'action in Sandbox::Action::"Execute"'
AGENTS = f'@id("agents") permit (principal in Sandbox::Role::"agent", {EXECUTE}, resource);'


class Engine:
    """Counts the questions that reach Cedar, and keeps the last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.schema: object = None
        self.policies: cedarpy.PolicySet | None = None
        self._ask = cedarpy.is_authorized
        monkeypatch.setattr(cedarpy, "is_authorized", self)

    def __call__(
        self, request: dict[str, object], policies: cedarpy.PolicySet, entities: str, schema: cedarpy.Schema
    ) -> cedarpy.AuthzResult:
        self.asked += 1
        self.schema, self.policies = schema, policies
        return self._ask(request, policies, entities, schema)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    return Engine(monkeypatch)


@pytest.mark.requirement("policy:cache:every-fact")
def test_facts_that_no_policy_reads_do_not_part_decisions(tmp_path: Path, engine: Engine) -> None:
    policy = policies_of(tmp_path, AGENTS)
    for number in range(5):
        who = principal(unread=number)
        policy.decide(planned(who, arguments={"sql": f"SELECT {number}"}, relations=(f"t{number}",), door=f"{number}"))
    assert engine.asked == 1
    policy.decide(planned(principal("bob")))
    policy.decide(planned(principal("bob")))
    assert engine.asked == 2


@pytest.mark.requirement("policy:schema:every-request")
def test_the_schema_goes_with_every_request(tmp_path: Path, engine: Engine) -> None:
    policy = policies_of(tmp_path, AGENTS)
    for ask in (
        lambda: policy.decide(planned()),
        lambda: policy.may(principal(), Action.GET_TOOL, "shop.query"),
        lambda: policy.may(principal(), Action.LIST_RECORDS),
    ):
        engine.schema = None
        ask()
        assert isinstance(engine.schema, cedarpy.Schema)


@pytest.mark.requirement("policy:cache:every-fact")
@pytest.mark.parametrize(
    ("condition", "one", "other"),
    [
        ('context.arguments.sql == "a"', {"arguments": {"sql": "a"}}, {"arguments": {"sql": "b"}}),
        (
            "context.arguments has limit && context.arguments.limit == 1",
            {"arguments": {"sql": "", "limit": 1}},
            {"arguments": {"sql": "", "limit": 2}},
        ),
        ("context.arguments has limit", {"arguments": {"sql": "", "limit": 1}}, {"arguments": {"sql": ""}}),
        (
            'context.arguments has regions && context.arguments.regions.contains("a")',
            {"arguments": {"sql": "", "regions": ["a", "b"]}},
            {"arguments": {"sql": "", "regions": ["ab"]}},
        ),
        (
            "context.arguments == context.arguments && context.arguments has dry",
            {"arguments": {"sql": "", "dry": False}},
            {},
        ),
        (
            '(if true then context.arguments else context.arguments).sql == "a"',
            {"arguments": {"sql": "a"}},
            {"arguments": {"sql": "b"}},
        ),
        ('(if true then context else context).door == "a"', {"door": "a"}, {"door": "b"}),
        ('(if true then context else context).relations.contains("a")', {"relations": ("a",)}, {"relations": ()}),
        ('context.relations.contains("a")', {"relations": ("a",)}, {"relations": ("b",)}),
        ('context.columns.contains("a.b")', {"columns": (("a", "b"),)}, {"columns": (("a", "c"),)}),
        ('context.functions.contains("a")', {"functions": ("a",)}, {"functions": ()}),
        ('context.door == "a"', {"door": "a"}, {"door": "b"}),
        ('principal.hasTag("r") && principal.getTag("r") == "1"', {"who": principal(r=1)}, {"who": principal(r=True)}),
        ('principal.hasTag("r")', {"who": principal(r="x")}, {"who": principal()}),
        ("principal.hasTag(resource.connection)", {"who": principal(shop="x")}, {"who": principal(shoq="x")}),
        ('principal.actors.contains("a")', {"who": principal(actors=("a",))}, {"who": principal(actors=("b",))}),
        ('principal.roles.contains("a")', {"who": principal(roles=("a",))}, {"who": principal(roles=("b",))}),
        (
            'principal.binding == "bearer"',
            {"who": dataclasses.replace(principal(), certificate_digest=b"")},
            {"who": principal()},
        ),
        ('principal.subject == "a"', {"who": principal("a")}, {"who": principal("b")}),
    ],
)
def test_every_fact_that_a_policy_reads_parts_decisions(
    tmp_path: Path, engine: Engine, condition: str, one: dict[str, object], other: dict[str, object]
) -> None:
    policy = policies_of(tmp_path, f'@id("p") permit (principal, {QUERY}, resource) when {{ {condition} }};')
    for _ in range(2):
        assert isinstance(policy.decide(planned(**one)), Permit)  # type: ignore[arg-type] - facts of any kind
        assert isinstance(policy.decide(planned(**other)), Deny)  # type: ignore[arg-type] - facts of any kind
    assert engine.asked == 2


@pytest.mark.requirement("policy:cache:bounded")
def test_the_number_of_remembered_decisions_is_bounded(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decider, "MAX_REMEMBERED", 10)
    policy = policies_of(tmp_path, AGENTS)
    for number in range(100):
        policy.decide(planned(principal(f"p{number}")))
    assert len(policy._steady) == 10
    policy.decide(planned(principal("p99")))
    assert engine.asked == 100


@pytest.mark.requirement("policy:cache:bounded")
def test_long_call_facts_are_not_remembered_and_others_push_nothing_out(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decider, "MAX_REMEMBERED", 10)
    reading = f'@id("r") forbid (principal, {QUERY}, resource) when {{ context.arguments.sql == "x" }};'
    listing = '@id("s") permit (principal, action == Sandbox::Action::"ListTools", resource);'
    policy = policies_of(tmp_path, AGENTS + reading + listing)
    assert policy.may(principal(), Action.LIST_TOOLS)
    for number in range(100):
        policy.decide(planned(arguments={"sql": f"SELECT {number}"}))
    assert len(policy._varied) == 10
    asked = engine.asked
    assert policy.may(principal(), Action.LIST_TOOLS)
    assert engine.asked == asked
    for _ in range(3):
        policy.decide(planned(arguments={"sql": "x" * (decider.MAX_KEY_CHARACTERS + 1)}))
    assert engine.asked == asked + 3


@pytest.mark.requirement("policy:cache:one-generation")
def test_a_new_generation_remembers_nothing(tmp_path: Path) -> None:
    before = policies_of(tmp_path, AGENTS)
    assert isinstance(before.decide(planned()), Permit)
    after = policies_of(tmp_path, f'{AGENTS} @id("stop") forbid (principal, {EXECUTE}, resource);')
    assert after.decide(planned()) == Deny(policy_digest=after.digest, rule_ids=("stop",))
    assert before.digest != after.digest


def slice_size(policy: CedarPolicy, action: Action, name: str) -> int:
    return len(policy._questions[action.value, name].policies)


@pytest.mark.requirement("policy:slices:by-scope")
def test_a_thousand_policies_are_asked_in_slices(tmp_path: Path, engine: Engine) -> None:
    tools = {ToolName(f"t.n{number}"): tool(f"t.n{number}", {"type": "object"}) for number in range(100)}
    rules = ['@id("all") forbid (principal in Sandbox::Role::"banned", action, resource);']
    for number in range(500):
        who, name = f'principal in Sandbox::Role::"r{number}"', f"t.n{number % 100}"
        both = 'action in [Sandbox::Action::"Execute", Sandbox::Action::"GetTool"]'
        rules += [
            f'@id("r{number}") permit ({who}, action == Sandbox::Action::"Execute:{name}", resource);',
            f'@id("s{number}") permit ({who}, {both}, resource == Sandbox::Tool::"{name}");',
        ]
    policy = policies_of(tmp_path, "\n".join(rules), tools)
    assert slice_size(policy, Action.EXECUTE, "t.n7") == 11
    assert slice_size(policy, Action.GET_TOOL, "t.n7") == 6
    assert slice_size(policy, Action.EXPLAIN, "t.n7") == 1
    assert slice_size(policy, Action.LIST_RECORDS, "") == 1
    spec = tools[ToolName("t.n7")]
    assert policy.decide(planned(principal(roles=("r107",)), spec=spec)).rule_ids == ("r107", "s107")
    assert policy.decide(planned(principal(roles=("r107", "banned")), spec=spec)).rule_ids == ("all",)
    assert policy.decide(planned(principal(roles=("r106",)), spec=spec)).rule_ids == ()
    assert engine.policies is not None
    assert len(engine.policies) == 11


@pytest.mark.requirement("policy:slices:by-scope")
@pytest.mark.parametrize(
    ("scope", "executes", "gets"),
    [
        ("principal, action, resource", 1, 1),
        (f"principal, {EXECUTE}, resource", 1, 0),
        ('principal, action in [Sandbox::Action::"GetTool", Sandbox::Action::"Execute"], resource', 1, 1),
        ('principal, action == Sandbox::Action::"Execute:shop.query", resource', 1, 0),
        ('principal, action == Sandbox::Action::"Execute:shop.order_by_id", resource', 0, 0),
        ('principal, action in Sandbox::Action::"Execute:shop.query", resource', 1, 0),
        ('principal, action in Sandbox::Action::"GetTool", resource', 0, 1),
        ('principal, action, resource == Sandbox::Tool::"shop.query"', 1, 1),
        ('principal, action, resource in Sandbox::Tool::"shop.query"', 1, 1),
        ('principal, action, resource == Sandbox::Tool::"shop.order_by_id"', 0, 0),
        ("principal, action, resource is Sandbox::Tool", 1, 1),
        ('principal, action, resource is Sandbox::Tool in Sandbox::Tool::"shop.order_by_id"', 1, 1),
    ],
)
def test_every_policy_that_can_match_is_in_the_slice(tmp_path: Path, scope: str, executes: int, gets: int) -> None:
    policy = policies_of(tmp_path, f'@id("a") permit ({scope});', SHOP)
    assert slice_size(policy, Action.EXECUTE, "shop.query") == executes
    assert slice_size(policy, Action.GET_TOOL, "shop.query") == gets
