"""Do policies see what they are said to see, and nothing of what they are not?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from policy_cast import planned, policies_of, principal

from sandbox.policy.arguments import ArgumentType, Unreadable, argument_types
from sandbox.policy.facts import tag
from sandbox.stages import Permit
from sandbox.values import JsonObject, JsonValue

QUERY = 'action == Sandbox::Action::"Execute:shop.query"'


def is_permitted(folder: Path, condition: str, **facts: object) -> bool:
    policy = policies_of(folder, f'@id("p") permit (principal, {QUERY}, resource) when {{ {condition} }};')
    return isinstance(policy.decide(planned(**facts)), Permit)  # type: ignore[arg-type] - facts of any kind


@pytest.mark.requirement("policy:facts:claims")
@pytest.mark.parametrize(
    ("claim", "shown"),
    [
        ("EU", "EU"),
        ("", ""),
        ("ünï\x00", "ünï\x00"),
        (7, "7"),
        (-(2**63), str(-(2**63))),
        (True, "true"),
        (False, "false"),
        (2**63, None),
        (1.0, None),
        (None, None),
        (["EU"], None),
        ({"a": 1}, None),
    ],
)
def test_claims_are_shown_as_text_or_not_at_all(claim: JsonValue, shown: str | None) -> None:
    assert tag(claim) == shown


@pytest.mark.requirement("policy:facts:claims")
def test_a_claim_is_read_as_a_tag(tmp_path: Path) -> None:
    in_eu = 'principal.hasTag("region") && principal.getTag("region") == "EU"'
    assert is_permitted(tmp_path, in_eu, who=principal(region="EU"))
    assert not is_permitted(tmp_path, in_eu, who=principal(region="US"))
    assert not is_permitted(tmp_path, in_eu, who=principal())
    assert not is_permitted(tmp_path, in_eu, who=principal(region=["EU"]))
    assert is_permitted(tmp_path, '!principal.hasTag("region")', who=principal(region=["EU"]))


@pytest.mark.requirement("policy:facts:claims")
def test_roles_subject_and_actors_are_read(tmp_path: Path) -> None:
    who = principal("carol", ("agent", "auditor"), ("bot-1", "bot-2"))
    assert is_permitted(tmp_path, 'principal in Sandbox::Role::"auditor"', who=who)
    assert is_permitted(tmp_path, 'principal.roles.containsAll(["agent", "auditor"])', who=who)
    assert is_permitted(tmp_path, 'principal.actors.contains("bot-2")', who=who)
    assert is_permitted(tmp_path, 'principal.subject == "carol"', who=who)
    assert is_permitted(tmp_path, 'principal == Sandbox::Principal::"carol"', who=who)
    assert not is_permitted(tmp_path, 'principal in Sandbox::Role::"boss"', who=who)
    assert not is_permitted(tmp_path, "principal.actors.isEmpty()", who=who)


@pytest.mark.requirement("policy:facts:binding")
def test_what_ties_the_token_to_its_holder_is_read(tmp_path: Path) -> None:
    bound, borne = principal(), dataclasses.replace(principal(), certificate_digest=b"")
    assert is_permitted(tmp_path, 'principal.binding == "certificate"', who=bound)
    assert not is_permitted(tmp_path, 'principal.binding == "certificate"', who=borne)
    assert is_permitted(tmp_path, 'principal.binding == "bearer"', who=borne)


@pytest.mark.requirement("policy:facts:arguments")
@pytest.mark.parametrize(
    ("condition", "arguments"),
    [
        ('context.arguments.sql like "SELECT*"', {"sql": "SELECT 1"}),
        ("context.arguments has limit && context.arguments.limit == 9223372036854775807", {"limit": 2**63 - 1}),
        ("context.arguments has limit && context.arguments.limit == 3", {"limit": 3.0}),
        ('context.arguments has price && context.arguments.price == decimal("0.1")', {"price": 0.1}),
        ('context.arguments has price && context.arguments.price.lessThan(decimal("-4.99"))', {"price": -5}),
        ("context.arguments has dry && context.arguments.dry", {"dry": True}),
        ("!(context.arguments has dry)", {"dry": None}),
        ('context.arguments has regions && context.arguments.regions.contains("EU")', {"regions": ["US", "EU", "EU"]}),
        ("context.arguments has regions && context.arguments.regions.isEmpty()", {"regions": []}),
        ("!(context.arguments has limit)", {}),
    ],
)
def test_arguments_have_the_types_of_their_spec(tmp_path: Path, condition: str, arguments: JsonObject) -> None:
    assert is_permitted(tmp_path, condition, arguments={"sql": "SELECT 1", **arguments})
    assert not is_permitted(tmp_path, f"!({condition})", arguments={"sql": "SELECT 1", **arguments})


@pytest.mark.requirement("policy:facts:arguments")
@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, ArgumentType("String", is_set=False, is_required=True)),
        ({"type": ["integer", "null"]}, ArgumentType("Long", is_set=False, is_required=False)),
        ({"type": "number"}, ArgumentType("decimal", is_set=False, is_required=True)),
        (
            {"type": "array", "items": {"type": "boolean"}},
            ArgumentType("Boolean", is_set=True, is_required=True),
        ),
        ({"type": "object"}, None),
        ({"type": ["integer", "string"]}, None),
        ({"type": "array", "items": {"type": ["string", "null"]}}, None),
        ({"type": "array", "items": {"type": "array"}}, None),
        ({"type": "array"}, None),
        ({"anyOf": [{"type": "string"}]}, None),
        ({"enum": ["a"]}, None),
        (True, None),
    ],
)
def test_shapes_that_cedar_lacks_do_not_exist(schema: JsonValue, expected: ArgumentType | None) -> None:
    found = argument_types({"type": "object", "properties": {"x": schema}, "required": ["x"]})
    assert found.get("x") == expected


@pytest.mark.requirement("policy:facts:arguments")
def test_names_that_mean_something_to_cedars_json_do_not_exist() -> None:
    names = ("__entity", "__extn", "__expr", "plain")
    assert list(argument_types({"properties": {name: {"type": "string"} for name in names}})) == ["plain"]


@pytest.mark.requirement("policy:error:unreadable-argument-denies")
@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("decimal", 1.2345, "1.2345"),
        ("decimal", 1.23456, Unreadable.VALUE),
        ("decimal", 922337203685477.5, "922337203685477.5"),
        ("decimal", 1e15, Unreadable.VALUE),
        ("decimal", 10**400, Unreadable.VALUE),
        ("decimal", float("nan"), Unreadable.VALUE),
        ("decimal", float("inf"), Unreadable.VALUE),
        ("decimal", 100, "100.0"),
        ("decimal", 1e2, "100.0"),
        ("decimal", True, Unreadable.VALUE),
        ("Long", -(2**63), -(2**63)),
        ("Long", 2**63, Unreadable.VALUE),
        ("Long", 1.5, Unreadable.VALUE),
        ("Long", True, Unreadable.VALUE),
        ("Long", "1", Unreadable.VALUE),
        ("Boolean", 1, Unreadable.VALUE),
        ("String", 1, Unreadable.VALUE),
    ],
)
def test_values_are_read_exactly_or_not_at_all(kind: str, value: JsonValue, read: object) -> None:
    plain = ArgumentType(kind, is_set=False, is_required=True)  # type: ignore[arg-type] - a kind of the table
    assert plain.read(value) == read
    one = (read,) if read is not Unreadable.VALUE else read
    assert ArgumentType(kind, is_set=True, is_required=True).read([value]) == one  # type: ignore[arg-type] - same
    assert ArgumentType(kind, is_set=True, is_required=True).read(value) is Unreadable.VALUE  # type: ignore[arg-type]


@pytest.mark.requirement("policy:facts:sql")
def test_the_plans_rights_and_the_door_are_read(tmp_path: Path) -> None:
    facts = {
        "relations": ("customers", "orders"),
        "columns": (("customers", "name"), ("orders", "id")),
        "functions": ("sum",),
        "door": "mcp",
    }
    for condition in (
        'context.relations.containsAny(["customers"])',
        'context.columns == ["orders.id", "customers.name"]',
        'context.functions.contains("sum")',
        'context.door == "mcp"',
    ):
        assert is_permitted(tmp_path, condition, **facts)
        assert not is_permitted(tmp_path, condition, relations=(), columns=(), functions=(), door="grpc")


@pytest.mark.requirement("policy:facts:sql")
def test_the_tool_is_read(tmp_path: Path) -> None:
    condition = 'resource.name == "shop.query" && resource.effects == "read" && resource.connection == "shop"'
    assert is_permitted(tmp_path, condition)
