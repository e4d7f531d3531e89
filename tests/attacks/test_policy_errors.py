"""Can a call slip past a forbid by making it err, or by breaking the engine?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cedarpy
import pytest
from policy_cast import SHOP, planned, policies_of, principal

from sandbox.policy import CedarPolicy
from sandbox.policy.decider import ERROR, UNREADABLE
from sandbox.policy.facts import context_json, principal_json, tool_json
from sandbox.policy.questions import Question
from sandbox.problems import LintFailed
from sandbox.reasons import Reason, Refused
from sandbox.stages import Action, Deny, Permit
from sandbox.toolspec import ToolName

PERMIT = '@id("open") permit (principal, action, resource);'
ERRING = (
    '@id("big") forbid (principal, action == Sandbox::Action::"Execute:shop.query", resource) '
    "when { context.arguments has limit && context.arguments.limit + 9223372036854775807 > 0 };"
)
"""Overflows for every limit above 0: Cedar's integers do not wrap, they err, and no validator can tell."""


def asked_of_cedar_alone(policy: CedarPolicy, text: str, arguments: dict[str, object]) -> cedarpy.AuthzResult:
    plan = planned(arguments=arguments)  # type: ignore[arg-type] - JSON
    question: Question = policy._executing["shop.query"]
    return cedarpy.is_authorized(
        {
            "principal": 'Sandbox::Principal::"alice"',
            "action": 'Sandbox::Action::"Execute:shop.query"',
            "resource": 'Sandbox::Tool::"shop.query"',
            "context": context_json(plan, question.types),
        },
        text,
        f"[{principal_json(principal())},{tool_json(SHOP[ToolName('shop.query')])}]",
        policy._schema,
    )


@pytest.mark.requirement("policy:error:erring-forbid-denies")
def test_a_forbid_that_errs_denies_although_cedar_alone_would_allow(tmp_path: Path) -> None:
    policy = policies_of(tmp_path, PERMIT + ERRING)
    arguments = {"sql": "SELECT 1", "limit": 1}
    alone = asked_of_cedar_alone(policy, PERMIT + ERRING, arguments)
    assert alone.decision == cedarpy.Decision.Allow
    assert len(alone.diagnostics.errors) == 1
    assert policy.decide(planned(arguments=arguments)) == Deny(policy_digest=policy.digest, rule_ids=(ERROR, "big"))
    with pytest.raises(Refused, match="could not be decided by `big`") as caught:
        policy.authorize(planned(arguments=arguments))
    assert (caught.value.reason, caught.value.rule) == (Reason.POLICY_DENIED, ERROR)
    assert caught.value.metadata == {"policies": f"{ERROR},big"}
    assert isinstance(policy.decide(planned(arguments={"sql": "SELECT 1"})), Permit)


@pytest.mark.requirement("policy:error:erring-forbid-denies")
def test_a_forbid_on_an_absent_argument_cannot_be_loaded(tmp_path: Path) -> None:
    absent = (
        '@id("cap") forbid (principal, action == Sandbox::Action::"Execute:shop.query", resource) '
        "when { context.arguments.limit > 10 };"
    )
    policy = policies_of(tmp_path, PERMIT)
    alone = asked_of_cedar_alone(policy, PERMIT + absent, {"sql": "SELECT 1"})
    assert (alone.decision, bool(alone.diagnostics.errors)) == (cedarpy.Decision.Allow, True)
    with pytest.raises(LintFailed, match="may be absent"):
        policies_of(tmp_path, PERMIT + absent)


@pytest.mark.requirement("policy:schema:every-request")
def test_without_the_schema_a_missing_required_argument_would_pass(tmp_path: Path) -> None:
    forbid = (
        '@id("writes") forbid (principal, action == Sandbox::Action::"Execute:shop.query", resource) '
        'when { context.arguments.sql like "*secret*" };'
    )
    policy = policies_of(tmp_path, PERMIT + forbid)
    lone = cedarpy.is_authorized(
        {
            "principal": 'Sandbox::Principal::"alice"',
            "action": 'Sandbox::Action::"Execute:shop.query"',
            "resource": 'Sandbox::Tool::"shop.query"',
            "context": json.dumps({"arguments": {}}),
        },
        PERMIT + forbid,
        "[]",
    )
    assert lone.decision == cedarpy.Decision.Allow
    assert policy.decide(planned(arguments={})) == Deny(policy_digest=policy.digest, rule_ids=(ERROR,))


@pytest.mark.requirement("policy:error:unreadable-argument-denies")
@pytest.mark.parametrize("price", [10.00001, 1e300, 10**30, 922337203685477.6])
def test_a_price_too_fine_or_too_large_does_not_slip_past_its_forbid(tmp_path: Path, price: float) -> None:
    forbid = (
        '@id("dear") forbid (principal, action == Sandbox::Action::"Execute:shop.query", resource) '
        'when { context.arguments has price && context.arguments.price.greaterThan(decimal("10.0")) };'
    )
    policy = policies_of(tmp_path, PERMIT + forbid)
    arguments = {"sql": "SELECT 1", "price": price}
    assert policy.decide(planned(arguments=arguments)) == Deny(policy_digest=policy.digest, rule_ids=(UNREADABLE,))
    with pytest.raises(Refused, match="over 4 decimal places") as caught:
        policy.authorize(planned(arguments=arguments))
    assert caught.value.rule == UNREADABLE
    assert isinstance(policy.decide(planned(arguments={"sql": "SELECT 1", "price": 10})), Permit)


@pytest.mark.requirement("policy:error:unreadable-argument-denies")
def test_values_that_no_policy_reads_harm_nobody(tmp_path: Path) -> None:
    forbid = (
        '@id("no-one") forbid (principal, action == Sandbox::Action::"Execute:shop.order_by_id", resource) '
        "when { context.arguments.id == 1 };"
    )
    policy = policies_of(tmp_path, PERMIT + forbid)
    plan = planned(tool_name="shop.order_by_id", arguments={"id": 2, "rate": 0.123456789})
    assert isinstance(policy.decide(plan), Permit)
    plan = planned(tool_name="shop.order_by_id", arguments={"id": 1, "rate": 0.123456789})
    assert isinstance(policy.decide(plan), Deny)


class PanicException(BaseException):
    """Looks like a panic of a Rust extension."""


READING = (
    '@id("r") forbid (principal, action == Sandbox::Action::"Execute:shop.query", resource) '
    'when { context.arguments.sql == "x" };'
)


@pytest.mark.requirement("policy:error:engine-failure-denies")
@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, PanicException])
@pytest.mark.parametrize("text", [PERMIT, PERMIT + READING])
def test_a_broken_engine_denies_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], text: str
) -> None:
    policy = policies_of(tmp_path, text)
    with monkeypatch.context() as broken:
        broken.setattr(cedarpy, "is_authorized", raising(error))
        assert policy.decide(planned()) == Deny(policy_digest=policy.digest, rule_ids=(ERROR,))
        assert not policy.may(principal(), Action.LIST_TOOLS)
        with pytest.raises(Refused) as caught:
            policy.authorize(planned())
        assert (caught.value.reason, caught.value.rule) == (Reason.POLICY_DENIED, ERROR)
        assert "secret" not in caught.value.message
    assert isinstance(policy.decide(planned()), Permit)
    assert policy.may(principal(), Action.LIST_TOOLS)


@pytest.mark.requirement("policy:error:engine-failure-denies")
def test_an_interrupt_is_not_taken_for_a_denial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policies_of(tmp_path, PERMIT)
    monkeypatch.setattr(cedarpy, "is_authorized", raising(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        policy.decide(planned())


@pytest.mark.requirement("policy:error:engine-failure-denies")
@pytest.mark.parametrize(
    "who",
    [
        replace(principal(), subject="\ud800"),
        replace(principal(), claims={"x": "\udfff"}),
        replace(principal(), roles=frozenset({"\ud800"})),
    ],
)
def test_text_that_cedar_cannot_take_denies(tmp_path: Path, who: object) -> None:
    policy = policies_of(tmp_path, PERMIT)
    assert policy.decide(planned(who)) == Deny(policy_digest=policy.digest, rule_ids=(ERROR,))  # type: ignore[arg-type]


@pytest.mark.requirement("policy:error:engine-failure-denies")
def test_a_request_that_the_schema_refuses_is_denied_and_not_remembered(tmp_path: Path) -> None:
    policy = policies_of(tmp_path, PERMIT)
    assert policy.decide(planned(arguments={})) == Deny(policy_digest=policy.digest, rule_ids=(ERROR,))
    assert isinstance(policy.decide(planned()), Permit)


def raising(error: type[BaseException]) -> Callable[..., cedarpy.AuthzResult]:
    def broken(*_: object) -> cedarpy.AuthzResult:
        raise error("secret")

    return broken
