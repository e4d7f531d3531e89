"""Does lint tell everything that is wrong, where, and what would be accepted? Golden texts, one a fixture.

Written anew with `SANDBOX_WRITE_GOLDEN=1`; read the difference before keeping it.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.problems import LintFailed, Problem
from sandbox.specs import SpecsRead
from sandbox.specs.findings import Rule

BAD = Path(__file__).parents[2] / "fixtures" / "specs" / "bad"
GATES_WORDS = re.compile(r"is refused: .* \[")
"""The SQL gate's own sentences have tests of their own."""
NAMES = sorted(path.stem for path in BAD.glob("*.yaml"))


@pytest.mark.requirement("specs:lint:places")
@pytest.mark.parametrize("name", NAMES)
def test_every_problem_is_told_with_its_place(name: str, linted: Callable[..., SpecsRead]) -> None:
    found = linted(**{name: (BAD / f"{name}.yaml").read_bytes()})
    told = GATES_WORDS.sub("is refused: … [", str(LintFailed(found.problems)) + "\n")
    golden = BAD / f"{name}.txt"
    if os.environ.get("SANDBOX_WRITE_GOLDEN"):
        golden.write_text(told)
    assert told == golden.read_text()
    assert not found.specs.tools
    assert told.replace("\n", "").isprintable()


@pytest.mark.requirement("specs:lint:places")
def test_every_rule_of_specs_has_a_golden_text() -> None:
    told = "".join(path.read_text() for path in BAD.glob("*.txt"))
    elsewhere = {Rule.YAML_TOO_LARGE, Rule.FILE_NAME, Rule.NAME_TAKEN}
    rules = [rule for rule in Rule if not rule.startswith(("connection/", "settings/")) and rule not in elsewhere]
    assert [rule.value for rule in rules if f"[{rule}]" not in told] == []


@pytest.mark.requirement("specs:lint:one-pass")
def test_all_files_are_told_in_one_pass(linted: Callable[..., SpecsRead]) -> None:
    found = linted(**{name: (BAD / f"{name}.yaml").read_bytes() for name in ("typos", "values", "syntax")})
    assert {problem.file for problem in found.problems} == {
        "toolspecs/typos.yaml", "toolspecs/values.yaml", "toolspecs/syntax.yaml"
    }  # fmt: skip


@pytest.mark.requirement("specs:lint:not-built")
@pytest.mark.parametrize(
    "key",
    ["labels", "max_cost", "control", "subject", "idempotent", "default", "python"],
)
def test_what_is_not_built_is_refused_by_name(key: str, problems: Callable[[str], tuple[Problem, ...]]) -> None:
    told = [problem.message for problem in problems((BAD / "not_built.yaml").read_text())]
    assert any(message.startswith(f"`{key}` is not built yet in this version") for message in told)


@pytest.mark.requirement("specs:lint:not-built")
@pytest.mark.parametrize("kind", ["python", "command", "mcp", "external"])
def test_kinds_of_later_versions_are_refused_by_name(kind: str, problems: Callable[[str], tuple[Problem, ...]]) -> None:
    told = [problem.message for problem in problems(f"spec: tool/v1\nkind: {kind}\n")]
    assert f"`{kind}` is not built yet in this version; accepted: `sql`, `http`" in told


@pytest.mark.requirement("specs:yaml:strict")
def test_a_file_over_the_bound_is_not_read(linted: Callable[..., SpecsRead]) -> None:
    found = linted(large=b"a: " + b"x" * 256 * 1024)
    assert [problem.rule for problem in found.problems] == [Rule.YAML_TOO_LARGE]


@pytest.mark.requirement("specs:yaml:strict")
@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 50_000,
        "{a: " * 50_000,
        "- " * 50_000,
        "a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n",
        "? " * 20_000,
        "a" * 200_000 + ": 1",
        "'" + "x\n" * 50_000,
    ],
    ids=["flow", "mapping", "block", "aliases", "keys", "long-key", "open-quote"],
)
def test_yaml_bombs_are_problems_like_any_other(bomb: str, linted: Callable[..., SpecsRead]) -> None:
    found = linted(bomb=bomb)
    assert found.problems
    assert all(len(problem.render()) < 2_000 for problem in found.problems)
