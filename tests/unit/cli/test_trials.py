"""Does `sandbox test TOOL` test that tool, whatever the others look like?"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from command_line import CommandLine

from sandbox.deployment import Deployment
from sandbox.founding import create_deployment
from sandbox.telemetry import events
from sandbox.trial import Trial

requirement = pytest.mark.requirement("specs:test:others-broken")

TYPO = '@id("typo") permit (principal, action == Sandbox::Action::"Execute:shop.query", resource) when { context.x };\n'


@pytest.fixture
def shop(tmp_path: Path, sandbox: CommandLine) -> Deployment:
    deployment = create_deployment(tmp_path / "shop")
    sandbox.over(deployment.root)
    return deployment


@requirement
def test_a_broken_spec_is_a_warning_for_another_tool(shop: Deployment, sandbox: CommandLine) -> None:
    (shop.toolspecs / "shop.order_by_id.yaml").write_text("spec: tool/v1\n")
    with (shop.policies / "starter.cedar").open("a") as policies:
        policies.write(
            '@id("x") forbid (principal, action == Sandbox::Action::"Execute:shop.order_by_id", resource);\n'
        )

    told, asked = sandbox.run("test", "shop.query"), sandbox.run("test", "shop.query", "--json")

    assert (told.code, asked.code) == (0, 0), told.err
    assert told.out.endswith("4 of 4 examples hold\n")
    assert told.err.startswith("warning: toolspecs/shop.order_by_id.yaml: this does not pass lint and was left")
    assert {problem["file"] for problem in asked.json()["warnings"]} == {"toolspecs/shop.order_by_id.yaml"}
    assert sandbox.run("test").code == 1, "all of them are only tested whole"


@requirement
def test_its_own_lint_must_be_good(shop: Deployment, sandbox: CommandLine) -> None:
    spec = shop.toolspecs / "shop.query.yaml"
    good = spec.read_text()
    spec.write_text(good + "nonsense: 1\n")
    ended = sandbox.run("test", "shop.query")
    assert (ended.code, "unknown key `nonsense`" in ended.err) == (1, True)
    spec.write_text(good)
    (shop.toolspecs / "shop.order_by_id.yaml").write_text("spec: tool/v1\n")
    (shop.policies / "typo.cedar").write_text(TYPO)
    ended = sandbox.run("test", "shop.query")
    assert (ended.code, "policies/typo.cedar" in ended.err) == (1, True), "what bears on the tool counts"


@requirement
def test_a_tool_that_is_not_there_is_a_wrong_use(shop: Deployment, sandbox: CommandLine) -> None:
    ended = sandbox.run("test", "shop.qury")
    assert (ended.code, ended.err) == (2, "error: there is no tool `shop.qury`; did you mean `shop.query`?\n")
    spec = (shop.toolspecs / "shop.order_by_id.yaml").read_text()
    (shop.toolspecs / "shop.order_by_id.yaml").write_text(spec[: spec.index("  - as: {region: US}")])
    ended = sandbox.run("test", "shop.order_by_id")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "1 of 1 example holds")
    ended = sandbox.run("sql", "check", "--tool", "shop.qury")
    assert (ended.code, ended.err) == (2, "error: there is no tool `shop.qury`; did you mean `shop.query`?\n")


@pytest.mark.requirement("sql:check:every-line")
@pytest.mark.parametrize("more", [[], ["--execute"]])
@pytest.mark.parametrize("is_piped", [False, True])
def test_a_line_that_holds_no_unicode_has_an_answer_and_so_have_those_after_it(
    more: list[str],
    is_piped: bool,  # noqa: FBT001 - a parameter
    shop: Deployment,
    sandbox: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = shop.root / "lines"
    lines.write_bytes(
        b'{"id":"\\ud800","sql":"SELECT 1"}\n{"id":"\xff","sql":"SELECT 2"}\n'
        b'{"id":3,"sql":"SELECT \'\\ud800\'"}\n{"id":4,"sql":"SELECT \'\xff\'"}\n{"id":5,"sql":"SELECT 5"}\n'
    )
    with lines.open(encoding="utf-8") as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        ended = sandbox.run("sql", "check", "--tool", "shop.query", *more, *([] if is_piped else [str(lines)]))
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert (ended.code, ended.err) == (0, "")
    assert [answer["id"] for answer in answers] == ["\ud800", "\udcff", 3, 4, 5]
    assert [answer["decision"] for answer in answers] == ["permit", "permit", "refuse", "refuse", "permit"]


@pytest.mark.requirement("telemetry:stderr:sentences")
def test_events_of_sql_check_are_sentences(
    shop: Deployment, sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shop.root / "lines"
    lines.write_bytes(b'{"id":1,"sql":"SELECT 1"}\n')
    monkeypatch.setattr(Trial, "must_take_sql", lambda *_: events.warn("database not reached", kind="shop"))

    ended = sandbox.run("sql", "check", "--tool", "shop.query", str(lines))

    assert (ended.code, ended.err) == (0, "warning: database not reached: kind shop\n")


@pytest.mark.requirement("house:cli:no-tools")
def test_a_deployment_without_tools_is_told_how_to_make_one(tmp_path: Path, sandbox: CommandLine) -> None:
    sandbox.over(create_deployment(tmp_path / "bare", with_example=False).root)

    assert sandbox.run("test") == (0, "no tools yet; `sandbox new tool` writes one\n", "")
    assert sandbox.run("lint").out == "no problems in 3 files; no tools yet; `sandbox new tool` writes one\n"


@pytest.mark.requirement("specs:lint:command")
def test_lint_counts_the_same_files_whatever_is_wrong(shop: Deployment, sandbox: CommandLine) -> None:
    assert sandbox.run("lint").out.startswith("no problems in 5 files; ")
    (shop.policies / "more.cedar").write_text("permit;\n")
    assert "problem in 6 files; " in sandbox.run("lint").out
    (shop.toolspecs / "shop.order_by_id.yaml").write_text("spec: tool/v1\n")
    assert " in 6 files; tools without a problem: 1\n" in sandbox.run("lint").out


@pytest.mark.requirement("identity:command:tools")
def test_a_pattern_that_fits_no_tool_is_warned_of(shop: Deployment, sandbox: CommandLine) -> None:
    words = ("token", "new", "ci", "--role", "agent", "--tools", "shop.*", "--tools", "shp.query", "--tools", "x")

    told, asked = sandbox.run(*words), sandbox.run(*words, "--json")

    assert (told.code, asked.code, asked.err) == (0, 0, "")
    warnings = "warning: no tool has a name that fits `shp.query`; did you mean `shop.query`?\n"
    warnings += "warning: no tool has a name that fits `x`; there are `shop.order_by_id`,\n  `shop.query`\n"
    assert told.err == warnings
    assert asked.json()["unmatched_tools"] == ["shp.query", "x"]
    (shop.toolspecs / "bad.yaml").write_text("spec: tool/v1\n")
    assert sandbox.run(*words).err == ""


@pytest.mark.requirement("specs:new:hints")
def test_the_hints_of_a_first_spec_can_be_followed(shop: Deployment, sandbox: CommandLine) -> None:
    first = shop.toolspecs / "shop.first.yaml"
    new = ("new", "tool", "--connection", "shop", "--table", "orders", "--name", "shop.first", "--out", str(first))
    assert sandbox.run(*new).code == 0
    draft = first.read_text()
    filtered = draft.replace("# row_filter: \"COLUMN = claim('NAME')\"", "row_filter: \"region = claim('region')\"")
    first.write_text(filtered)
    forgotten = sandbox.run("test", "shop.first")
    assert (forgotten.code, "CLAIM_MISSING" in forgotten.out) == (1, True)
    first.write_text(filtered.replace("# as: {NAME: VALUE}", "as: {region: EU}"))
    ended = sandbox.run("test", "shop.first")
    assert (ended.code, filtered != draft) == (0, True), ended.out
