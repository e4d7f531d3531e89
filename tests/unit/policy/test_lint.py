"""Is a policy that does not mean what it says refused, at the right place, with what was probably meant?"""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_cast import SHOP, policies_of, write_policies

from sandbox.policy import load_policies
from sandbox.policy.source import MAX_DEPTH, MAX_FILE_BYTES, MAX_TOKENS
from sandbox.problems import LintFailed, Problem

QUERY = 'action == Sandbox::Action::"Execute:shop.query"'
EXECUTE = 'action in Sandbox::Action::"Execute"'


def problems_of(folder: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(LintFailed) as caught:
        policies_of(folder, text)
    return caught.value.problems


def only_problem(folder: Path, text: str) -> Problem:
    (problem,) = problems_of(folder, text)
    return problem


def place(text: str, needle: str) -> tuple[int, int]:
    before = text[: text.index(needle)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


@pytest.mark.parametrize("comparison", ['principal.binding == "baerer"', '"baerer" != principal.binding'])
@pytest.mark.requirement("policy:facts:binding")
def test_a_misspelt_binding_is_found(tmp_path: Path, comparison: str) -> None:
    text = f'@id("a") forbid (principal, {EXECUTE}, resource)\nwhen {{ {comparison} }};'

    problem = only_problem(tmp_path, text)

    assert (problem.rule, problem.line) == ("policy/unknown-text", 2)
    assert problem.message == "no principal has the binding `baerer`; did you mean `bearer`?"


@pytest.mark.requirement("policy:lint:unknown-tool")
@pytest.mark.parametrize(
    "text",
    [
        '@id("a")\npermit (principal, action, resource == Sandbox::Tool::"shop.qury");',
        '@id("a")\npermit (principal, action == Sandbox::Action::"Execute:shop.qury", resource);',
        '@id("a") permit (principal, action in [\n  Sandbox::Action::"Execute:shop.qury"], resource);',
        f'@id("a") permit (principal, {EXECUTE}, resource)\nwhen {{ resource in [Sandbox::Tool::"shop.qury"] }};',
        f'@id("a") permit (principal, {EXECUTE}, resource)\nunless {{ resource.name == "shop.qury" }};',
        f'@id("a") permit (principal, {EXECUTE}, resource)\nunless {{ "shop.qury" != resource.name }};',
    ],
)
def test_an_unknown_tool_is_found_wherever_it_is_named(tmp_path: Path, text: str) -> None:
    problem = only_problem(tmp_path, text)
    assert problem.rule == "policy/unknown-tool"
    assert "did you mean `shop.query`?" in problem.message
    needle = '"Execute:shop.qury' if "Execute:shop.qury" in text else '"shop.qury'
    assert (problem.line, problem.column) == place(text, needle)
    assert problem.file == "policies/main.cedar"
    assert "qury" in problem.source_line


@pytest.mark.requirement("policy:lint:unknown-tool")
def test_an_unknown_connection_is_found(tmp_path: Path) -> None:
    text = f'@id("a") forbid (principal, {EXECUTE}, resource) when {{ resource.connection == "shpo" }};'
    assert only_problem(tmp_path, text).message == "no tool has the connection `shpo`; did you mean `shop`?"


@pytest.mark.requirement("policy:lint:unknown-argument")
@pytest.mark.parametrize(
    ("scope", "condition", "said"),
    [
        (
            QUERY,
            'context.arguments.sqll == "x"',
            "`shop.query` has no argument `sqll` that a policy can read; did you mean `sql`?",
        ),
        (QUERY, "context.arguments has limitt", "did you mean `limit`?"),
        (QUERY, "context has arguments.limitt && true", "did you mean `limit`?"),
        (EXECUTE, "context.arguments has limitt && context.arguments.limitt == 3", "did you mean `limit`?"),
        ("action", "context has arguments && context.arguments has limitt", "did you mean `limit`?"),
        (QUERY, "context.arguments has id", "`shop.order_by_id` has: name its action `Execute:shop.order_by_id`"),
        (EXECUTE, "context.arguments.id == 3", "`shop.query` has no argument `id`"),
        (QUERY, 'context.arguments.filter == "x"', "there are `dry`, `limit`, `price`, `regions`, `sql`"),
    ],
)
def test_an_unknown_argument_is_found_even_behind_has(tmp_path: Path, scope: str, condition: str, said: str) -> None:
    text = f'@id("sqll")\nforbid (principal, {scope}, resource)\nwhen {{ {condition} }};'
    problem = only_problem(tmp_path, text)
    assert problem.rule == "policy/unknown-argument"
    assert said in problem.message
    assert problem.line == 3


@pytest.mark.requirement("policy:lint:unknown-name")
@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        (
            'permit (principal, action == Sandbox::Action::"ListTool", resource);',
            "policy/unknown-action",
            "did you mean `ListTools`?",
        ),
        (
            'permit (principal, action == Sandbox::Action::"zzz", resource);',
            "policy/unknown-action",
            "there are `CancelCall`",
        ),
        (
            'permit (principal, action == Sandbox::Action::"shop.query", resource);',
            "policy/unknown-action",
            "is the action `Execute:shop.query`",
        ),
        (
            'permit (principal, action == Action::"GetTool", resource);',
            "policy/unknown-action",
            "are written `Sandbox::Action::",
        ),
        (
            "permit (principal is Sandbox::Princpal, action, resource);",
            "policy/unknown-type",
            "did you mean `Sandbox::Principal`?",
        ),
        (
            'permit (principal in Role::"agent", action, resource);',
            "policy/unknown-type",
            "did you mean `Sandbox::Role`?",
        ),
        ("permit (principal, action, resource is Foo::Bar);", "policy/unknown-type", "there are `Sandbox::Principal`"),
        ('permit (principal, action, resource == Sandbox::Log::"lgo");', "policy/unknown-entity", "there are `log`"),
        (
            f'permit (principal, {QUERY}, resource) when {{ context.relatons.contains("x") }};',
            "policy/unknown-attribute",
            "did you mean `relations`?",
        ),
        (
            'permit (principal, action, resource) when { context.relations.contains("x") };',
            "policy/unknown-attribute",
            "or ask `context has relations && …`",
        ),
        (
            'permit (principal, action, resource) when { principal.sub == "x" };',
            "policy/unknown-attribute",
            'principal.getTag("sub")',
        ),
        (
            "permit (principal, action, resource) when { principal has region };",
            "policy/unknown-attribute",
            'principal.hasTag("region")',
        ),
        (
            "permit (principal, action, resource) when { context has argument };",
            "policy/unknown-attribute",
            "did you mean `arguments`?",
        ),
        (
            f'permit (principal, {EXECUTE}, resource) when {{ resource.conection == "shop" }};',
            "policy/unknown-attribute",
            "did you mean `connection`?",
        ),
    ],
)
def test_unknown_names_are_found_with_what_was_probably_meant(tmp_path: Path, text: str, rule: str, said: str) -> None:
    problem = only_problem(tmp_path, f'@id("a")\n{text}')
    assert (problem.rule, problem.line) == (rule, 2)
    assert said in problem.message


@pytest.mark.requirement("policy:lint:may-be-absent")
@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("context.arguments.limit > 3", "begin with `context.arguments has limit && …`"),
        ('principal.getTag("region") == "EU"', 'begin with `principal.hasTag("region") && …`'),
        ("principal.getTag(resource.name) == resource.name", "begin with `principal.hasTag(resource.name) && …`"),
    ],
)
def test_what_may_be_absent_is_asked_for_first(tmp_path: Path, condition: str, said: str) -> None:
    problem = only_problem(tmp_path, f'@id("a") permit (principal, {QUERY}, resource)\nwhen {{ {condition} }};')
    assert problem.rule == "policy/may-be-absent"
    assert said in problem.message


@pytest.mark.requirement("policy:lint:types")
@pytest.mark.parametrize(
    "condition",
    [
        "context.arguments.sql + 1 == 3",
        "context.arguments.sql == 3",
        '["a", 1].contains("a")',
        'decimal("1.23456") == decimal("1.0")',
        "context.arguments.sql.length == 3",
        "context.arguments has price && context.arguments.price > 3",
        "if context.arguments.sql then true else false",
    ],
)
def test_cedars_strict_validator_has_the_last_word(tmp_path: Path, condition: str) -> None:
    problem = only_problem(tmp_path, f'\n\n  @id("a") permit (principal, {QUERY}, resource) when {{ {condition} }};')
    assert (problem.rule, problem.line) == ("policy/invalid", 3)
    assert not problem.message.startswith("for policy")


@pytest.mark.requirement("policy:lint:never-applies")
@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ('principal, action == Sandbox::Action::"Execute", resource', 'write `action in Sandbox::Action::"Execute"`'),
        (f'principal, {QUERY}, resource == Sandbox::Tool::"shop.order_by_id"', "runs another tool"),
        (
            'principal, action == Sandbox::Action::"GetTool", resource == Sandbox::Log::"log"',
            "never done to its resource",
        ),
        (f"principal, {EXECUTE}, resource is Sandbox::Service", "never done to its resource"),
        (f"principal is Sandbox::Tool, {EXECUTE}, resource", "by its principal"),
    ],
)
def test_a_scope_that_nothing_matches_is_found(tmp_path: Path, scope: str, said: str) -> None:
    problem = only_problem(tmp_path, f'@id("a") forbid ({scope});')
    assert problem.rule == "policy/never-applies"
    assert said in problem.message


@pytest.mark.requirement("policy:lint:ids")
@pytest.mark.parametrize(
    "annotation",
    ["", "@id", '@id("")', '@id("a b")', '@id("policy/error")', f'@id("{"x" * 65}")', '@id("a`b")', '@note("a")'],
)
def test_each_policy_has_an_id(tmp_path: Path, annotation: str) -> None:
    problem = only_problem(tmp_path, f"{annotation} permit (principal, action, resource);")
    assert problem.rule == "policy/id"


@pytest.mark.requirement("policy:lint:ids")
def test_ids_differ_over_all_files(tmp_path: Path) -> None:
    policy = '// a\n@id("same") permit (principal, action, resource);'
    with pytest.raises(LintFailed) as caught:
        load_policies(write_policies(tmp_path, a=policy, b=policy + policy), SHOP)
    assert [(p.file, p.line, p.column, p.rule) for p in caught.value.problems] == [
        ("policies/b.cedar", 2, 5, "policy/id-twice"),
        ("policies/b.cedar", 3, 5, "policy/id-twice"),
    ]
    assert "policies/a.cedar:2" in caught.value.problems[0].message


@pytest.mark.requirement("policy:lint:syntax")
@pytest.mark.parametrize(
    ("text", "at"),
    [
        ('@id("a") permit (principal, action, resource)\nwhen { 1 == };', "};"),
        ('@id("a") permit (principal, action, resource)\nwhen { "a".containz("x") };', "containz"),
        ('@id("a") permit (principal, action, resource)\nwen { true };', "wen"),
        ('@id("a") permit (principal, resource);', "resource)"),
        ('@id("a") permit (principal == "x", action, resource);', '"x"'),
        ('@id("a") permit (principal, action, resource) when { contxt.door == "x" };', "contxt"),
        ('@id("a) permit (principal, action, resource);', '"a) '),
        ('@id("a") permit (principal, action, resource)', ")\x00"),
        ('@id("a") permit (principal, action, resource) when { 1 = 1 };', "= 1"),
        ("permit;", ";"),
    ],
)
def test_syntax_errors_are_told_where_they_are(tmp_path: Path, text: str, at: str) -> None:
    problem = only_problem(tmp_path, text)
    assert problem.rule == "policy/syntax"
    assert (problem.line, problem.column) == place(text + "\x00", at)


@pytest.mark.requirement("policy:lint:semicolon")
@pytest.mark.parametrize("end", ["", "\nwhen { true }"])
@pytest.mark.parametrize("begin", ['@id("b")\n', ""])
def test_a_missing_semicolon_is_told_where_the_next_policy_begins(tmp_path: Path, end: str, begin: str) -> None:
    rest = "forbid (principal, action, resource);"
    text = f'@id("a") permit (principal, action, resource){end}\n{begin}{rest}'
    problem = only_problem(tmp_path, text)
    assert (problem.line, problem.column) == place(text, begin or rest)
    assert problem.message.endswith("; a `;` may be missing before it")
    elsewhere = only_problem(tmp_path, '@id("a") permit (principal, action, resource) wen { true };')
    assert "missing" not in elsewhere.message


@pytest.mark.requirement("policy:lint:syntax")
def test_all_problems_of_all_files_are_told_in_one_pass(tmp_path: Path) -> None:
    broken = (
        'permit (principal, resource);\n// "; permit\n'
        '@id("b") forbid (principal, action, resource) when { "a;b" == };\n'
    )
    wrong = (
        'permit (principal, action, resource == Sandbox::Tool::"nope");\n'
        '@id("c") permit (principal in Rol::"x", action, resource) when { principal.getTag("x") == "y" };\n'
    )
    with pytest.raises(LintFailed) as caught:
        load_policies(write_policies(tmp_path, broken=broken, wrong=wrong), SHOP)
    assert [(p.file.removeprefix("policies/"), p.line, p.rule) for p in caught.value.problems] == [
        ("broken.cedar", 1, "policy/syntax"),
        ("broken.cedar", 3, "policy/syntax"),
        ("wrong.cedar", 1, "policy/id"),
        ("wrong.cedar", 1, "policy/unknown-tool"),
        ("wrong.cedar", 2, "policy/unknown-type"),
        ("wrong.cedar", 2, "policy/may-be-absent"),
    ]


@pytest.mark.requirement("policy:lint:syntax")
def test_a_problem_shows_its_line_and_a_caret(tmp_path: Path) -> None:
    text = '@id("a") permit (principal, action,\n  resource == Sandbox::Tool::"shop.qury");'
    assert only_problem(tmp_path, text).render().splitlines() == [
        "policies/main.cedar:2:30: there is no tool `shop.qury`; did you mean `shop.query`? [policy/unknown-tool]",
        '    2 |   resource == Sandbox::Tool::"shop.qury");',
        " " * 37 + "^",
    ]


@pytest.mark.requirement("policy:lint:bounds")
def test_templates_are_refused(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, '@id("a") permit (principal == ?principal, action, resource);')
    assert (problem.rule, problem.column) == ("policy/template", 31)


@pytest.mark.requirement("policy:lint:bounds")
@pytest.mark.parametrize(
    ("condition", "rule"),
    [
        ("(" * 100_000 + "true" + ")" * 100_000, "policy/too-long"),
        ("(" * (MAX_DEPTH + 1) + "true" + ")" * (MAX_DEPTH + 1), "policy/too-deep"),
        ("[" * 1_000 + "]" * 1_000 + " == 1", "policy/too-deep"),
        ("{a: " * 500 + "1" + "}" * 500 + " == 1", "policy/too-deep"),
        (" + ".join(["1"] * 100_000) + " == 1", "policy/too-long"),
        ("context" + ".x" * 100_000, "policy/too-long"),
        (" + ".join(["1"] * (MAX_TOKENS // 2 - 20)) + " == 1", "policy/syntax"),
        ("!" * 100 + "true", "policy/syntax"),
    ],
)
def test_what_could_overrun_the_parser_never_reaches_it(tmp_path: Path, condition: str, rule: str) -> None:
    text = f'@id("a") permit (principal, action, resource) when {{ {condition} }};'
    assert only_problem(tmp_path, text).rule == rule


@pytest.mark.requirement("policy:lint:bounds")
def test_brackets_up_to_the_bound_are_accepted(tmp_path: Path) -> None:
    nested = "(" * (MAX_DEPTH - 1) + "true" + ")" * (MAX_DEPTH - 1)
    policies = policies_of(tmp_path, f'@id("a") permit (principal, action, resource) when {{ {nested} }};')
    assert list(policies.sources) == ["policies/main.cedar"]


@pytest.mark.requirement("policy:lint:files")
def test_what_would_be_overlooked_stops_the_loading(tmp_path: Path) -> None:
    folder = write_policies(tmp_path, main='@id("a") permit (principal, action, resource);')
    for name in ("README.md", ".hidden.cedar", "main.cedar~", "#main.cedar#", "notes.txt"):
        (folder / name).write_text("permit", encoding="utf-8")
    load_policies(folder, SHOP)
    (folder / "forbids.cedar.txt").write_text("", encoding="utf-8")
    (folder / "TEAM.CEDAR").write_text("", encoding="utf-8")
    (folder / "team").mkdir()
    with pytest.raises(LintFailed) as caught:
        load_policies(folder, SHOP)
    assert [(p.file, p.rule) for p in caught.value.problems] == [
        ("policies/TEAM.CEDAR", "policy/not-read"),
        ("policies/forbids.cedar.txt", "policy/not-read"),
        ("policies/team", "policy/not-read"),
    ]


@pytest.mark.requirement("policy:lint:files")
def test_missing_empty_and_unreadable_policies_stop_the_loading(tmp_path: Path) -> None:
    def rules() -> list[str]:
        with pytest.raises(LintFailed) as caught:
            load_policies(tmp_path / "policies", SHOP)
        return [problem.rule for problem in caught.value.problems]

    assert rules() == ["policy/unreadable"]
    folder = write_policies(tmp_path)
    assert rules() == ["policy/none"]
    (folder / "a.cedar").write_text("// nothing yet", encoding="utf-8")
    assert rules() == ["policy/none"]
    (folder / "a.cedar").write_bytes(b"// \xff\n")
    assert rules() == ["policy/encoding"]
    (folder / "a.cedar").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    assert rules() == ["policy/too-large"]
    (folder / "a.cedar").unlink()
    (folder / "a.cedar").mkdir()
    assert rules() == ["policy/unreadable"]
