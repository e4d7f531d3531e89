"""Can a call be let through by a decision that was made about another?"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from policy_cast import planned, policies_of, principal

from sandbox.stages import Action, Decision, Permit

pytestmark = pytest.mark.requirement("policy:cache:every-fact")

PERMIT = '@id("open") permit (principal, action, resource);'
QUERY = 'action == Sandbox::Action::"Execute:shop.query"'


def test_a_forbidden_argument_is_not_carried_through_by_a_harmless_one(tmp_path: Path) -> None:
    forbid = f'@id("f") forbid (principal, {QUERY}, resource) when {{ context.arguments.sql like "*salaries*" }};'
    policy = policies_of(tmp_path, PERMIT + forbid)
    for _ in range(3):
        assert isinstance(policy.decide(planned(arguments={"sql": "SELECT 1"})), Permit)
        assert policy.decide(planned(arguments={"sql": "SELECT * FROM salaries"})).rule_ids == ("f",)


def test_a_forbidden_relation_is_not_carried_through_by_the_same_arguments(tmp_path: Path) -> None:
    forbid = f'@id("f") forbid (principal, {QUERY}, resource) when {{ context.relations.contains("salaries") }};'
    policy = policies_of(tmp_path, PERMIT + forbid)
    for _ in range(3):
        assert isinstance(policy.decide(planned(relations=("orders",))), Permit)
        assert policy.decide(planned(relations=("orders", "salaries"))).rule_ids == ("f",)


def test_a_forbidden_request_is_not_carried_through_by_the_same_arguments(tmp_path: Path) -> None:
    when = 'context.requests.contains("POST https://crm.example.com/v1/notes")'
    policy = policies_of(tmp_path, PERMIT + f'@id("f") forbid (principal, {QUERY}, resource) when {{ {when} }};')
    for _ in range(3):
        assert isinstance(policy.decide(planned(requests=("GET https://crm.example.com/v1/notes",))), Permit)
        assert policy.decide(planned(requests=("POST https://crm.example.com/v1/notes",))).rule_ids == ("f",)


def test_what_one_principal_may_is_not_lent_to_another_with_the_same_token_id(tmp_path: Path) -> None:
    text = (
        '@id("boss") permit (principal in Sandbox::Role::"boss", action, resource);'
        '@id("eu") permit (principal, action, resource) when { principal.hasTag("r") '
        '&& principal.getTag("r") == "EU" };'
        '@id("via") permit (principal, action, resource) when { principal.actors.contains("bot") };'
        '@id("ann") permit (principal == Sandbox::Principal::"ann", action, resource);'
    )
    policy = policies_of(tmp_path, text)
    nobody = principal("x", ())
    allowed = [
        (replace(nobody, roles=frozenset({"boss"})), "boss"),
        (replace(nobody, claims={"r": "EU"}), "eu"),
        (replace(nobody, actors=("bot",)), "via"),
        (replace(nobody, subject="ann"), "ann"),
    ]
    for _ in range(2):
        for who, rule in allowed:
            assert policy.decide(planned(who)).rule_ids == (rule,)
            assert policy.may(who, Action.READ_PAYLOAD)
            assert policy.decide(planned(nobody)).rule_ids == ()
            assert not policy.may(nobody, Action.READ_PAYLOAD)


def test_facts_cannot_be_shifted_from_one_field_into_another(tmp_path: Path) -> None:
    forbid = (
        f'@id("f") forbid (principal, {QUERY}, resource) when {{ context.relations.contains("x") '
        '|| context.functions.contains("y") || context.columns.contains("a.b") };'
    )
    policy = policies_of(tmp_path, PERMIT + forbid)
    calls = [
        (planned(relations=("x",), functions=(), columns=()), False),
        (planned(relations=(), functions=("x",), columns=()), True),
        (planned(relations=("y",), functions=(), columns=()), True),
        (planned(relations=(), functions=("y",), columns=()), False),
        (planned(relations=("a.b",), functions=(), columns=()), True),
        (planned(relations=(), functions=(), columns=(("a", "b"),)), False),
    ]
    for plan, is_permitted in calls * 2:
        assert isinstance(policy.decide(plan), Permit) is is_permitted


def test_two_tools_do_not_share_decisions(tmp_path: Path) -> None:
    policy = policies_of(tmp_path, f'@id("a") permit (principal, {QUERY}, resource);')
    other = planned(tool_name="shop.order_by_id", arguments={"id": 1, "rate": 1})
    for _ in range(2):
        assert isinstance(policy.decide(planned()), Permit)
        assert not isinstance(policy.decide(other), Permit)


def test_threads_that_ask_at_once_get_their_own_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.policy.decider.MAX_REMEMBERED", 8)
    policy = policies_of(
        tmp_path, f'@id("even") permit (principal, {QUERY}, resource) when {{ context.arguments.sql like "*even" }};'
    )
    wrong: list[Decision] = []

    def ask(offset: int) -> None:
        for number in range(200):
            is_even = (number + offset) % 2 == 0
            sql = f"{number % 12} {'even' if is_even else 'odd'}"
            decision = policy.decide(planned(arguments={"sql": sql}))
            if isinstance(decision, Permit) is not is_even:
                wrong.append(decision)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
