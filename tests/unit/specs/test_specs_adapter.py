"""Does the adapter show each caller their tools, and refuse what does not fit?"""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from jsonschema_rs import Draft202012Validator

from sandbox.reasons import Reason, Refused
from sandbox.settings import ArgumentSettings
from sandbox.specs import Specs
from sandbox.stages import AuthenticatedCall, Cancellation, Credential, Principal, ProposedCall, ValidatedCall
from sandbox.toolspec import ToolName, ToolSpec


@pytest.fixture
def specs(good: Callable[[str], ToolSpec]) -> Specs:
    one = good("statement")
    names = ("shop.of_region", "shop.query", "hr.salaries")
    tools = {ToolName(name): replace(one, name=ToolName(name)) for name in names}
    return Specs(tools, ArgumentSettings())


def principal(*tools: str) -> Principal:
    return Principal(
        subject="agent",
        actors=(),
        roles=frozenset({"agent"}),
        tools=tools,
        claims={},
        token_id="t",
        token_digest=b"",
        certificate_digest=b"",
        expires_at=0,
    )


def call(tool: str, arguments: object, *scope: str) -> AuthenticatedCall:
    raw = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
    proposed = ProposedCall(
        door="test",
        credential=Credential(b"", ""),
        tool=tool,
        arguments_json=raw,
        request_id="",
        validate_only=False,
        cancellation=Cancellation(),
        received_at=time.monotonic(),
    )
    return AuthenticatedCall(proposed=proposed, principal=principal(*(scope or ("*",))))


def refusal(specs: Specs, authenticated: AuthenticatedCall) -> Refused:
    with pytest.raises(Refused) as refused:
        specs.validate(authenticated)
    return refused.value


GOOD = {"region": "EU", "least": 3, "note": "abc"}


@pytest.mark.requirement("specs:scope:patterns")
def test_a_call_in_scope_is_validated(specs: Specs) -> None:
    validated = specs.validate(call("shop.query", GOOD, "shop.*"))
    assert isinstance(validated, ValidatedCall)
    assert validated.spec is specs.tools[ToolName("shop.query")]
    assert validated.arguments == GOOD


@pytest.mark.requirement("specs:scope:unknown-alike")
@pytest.mark.parametrize("name", ["hr.salaries", "hr.salarie", "", "x" * 10_000, "shop\x1b[31m"])
def test_out_of_scope_is_answered_like_unknown(specs: Specs, name: str) -> None:
    others = {n: s for n, s in specs.tools.items() if not n.startswith("hr.")}
    without = Specs(others, ArgumentSettings())
    here, there = (refusal(s, call(name, GOOD, "shop.*")) for s in (specs, without))
    assert (here.reason, here.message, here.rule, here.metadata) == (
        there.reason, there.message, there.rule, there.metadata
    )  # fmt: skip
    assert here.reason is Reason.TOOL_UNKNOWN
    assert here.message.isprintable()
    assert len(here.message) < 200


@pytest.mark.requirement("specs:scope:unknown-alike")
def test_a_suggestion_comes_from_the_scope_alone(specs: Specs) -> None:
    assert "did you mean `shop.query`?" in refusal(specs, call("shop.quer", GOOD, "shop.*")).message
    assert "did you mean" not in refusal(specs, call("hr.salary", GOOD, "shop.*")).message


@pytest.mark.requirement("specs:scope:unknown-alike")
def test_the_scope_is_checked_before_the_arguments(specs: Specs) -> None:
    assert refusal(specs, call("hr.salaries", b"not json", "shop.*")).reason is Reason.TOOL_UNKNOWN


@pytest.mark.requirement("specs:scope:patterns")
@pytest.mark.parametrize(
    ("patterns", "visible"),
    [
        (("*",), ["hr.salaries", "shop.of_region", "shop.query"]),
        (("shop.*",), ["shop.of_region", "shop.query"]),
        (("shop.query", "hr.*"), ["hr.salaries", "shop.query"]),
        (("SHOP.*",), []),
        (("shop",), []),
        ((), []),
    ],
)
def test_patterns_choose_the_tools(specs: Specs, patterns: tuple[str, ...], visible: list[str]) -> None:
    assert list(specs.visible(principal(*patterns))) == visible
    assert list(specs.visible(principal(*patterns))) == visible, "remembered"


@pytest.mark.requirement("specs:scope:patterns")
def test_many_scopes_are_forgotten_not_mixed_up(specs: Specs) -> None:
    for number in range(3_000):
        assert list(specs.visible(principal(f"none-{number}"))) == []
    assert list(specs.visible(principal("shop.q*"))) == ["shop.query"]
    assert len(specs._scopes) <= 1_024


@pytest.mark.requirement("specs:scope:patterns")
def test_find_gives_the_spec_in_scope(specs: Specs) -> None:
    assert specs.find(principal("shop.*"), "shop.query").name == "shop.query"
    with pytest.raises(Refused, match="there is no tool"):
        specs.find(principal("shop.*"), "hr.salaries")


@pytest.mark.requirement("specs:schemas:told")
def test_the_schemas_are_told_as_json(specs: Specs) -> None:
    spec = specs.tools[ToolName("shop.query")]
    assert json.loads(specs.input_schema_json(spec)) == spec.input_schema
    output = Draft202012Validator(json.loads(specs.output_schema_json(spec)))
    column = {"name": "n", "type": "integer", "declared_type": ""}
    result = {
        "columns": [column],
        "rows": [[1], [None], ["x"]],
        "row_count": 3,
        "truncated_by": "rows",
        "omitted_columns": {"a": 1},
    }
    assert output.is_valid(result)
    assert not output.is_valid({**result, "more": 1})
    assert not output.is_valid({**result, "truncated_by": "time"})
