"""Does lint say what an author probably meant?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox.problems import Problem

requirement = pytest.mark.requirement

SPEC = """\
spec: tool/v1
name: shop.some
version: 1.0.0
owner: shop@example.com
summary: Some orders.
use_when: Some are wanted.
kind: sql
effects: read
connection: shop
input:
  region: {type: string, help: HELP}
statement: SELECT id FROM orders WHERE region = :region
limits: {LIMIT}
examples:
  - call: {CALL}
    expect: {row_count: 1}
"""


def spec(limit: str = "seconds: 1", about: str = "A region", call: str = "region: EU") -> str:
    return SPEC.replace("LIMIT", limit).replace("HELP", about).replace("CALL", call)


@requirement("specs:lint:meant")
@pytest.mark.parametrize(
    ("limit", "meant"),
    [
        ("rate: 60/minute", "60/min"),
        ("rate: 60/m", "60/min"),
        ("rate: 60 per minute", "60/min"),
        ("rate: 5/sec", "5/s"),
        ("rate: 5 / hour", "5/h"),
        ("rate: 5/d", "5/day"),
        ("max_bytes: 16kb", "16KiB"),
        ("max_bytes: 16KB", "16KiB"),
        ("max_bytes: 1 mb", "1MiB"),
        ("max_bytes: 16k", "16KiB"),
    ],
)
def test_a_limit_in_other_words(limit: str, meant: str, problems: Callable[[str], tuple[Problem, ...]]) -> None:
    (problem,) = problems(spec(limit))
    assert problem.message.endswith(f" is accepted; did you mean `{meant}`?")
    assert problem.line == 13


@requirement("specs:lint:meant")
@pytest.mark.parametrize(
    "limit", ["rate: fast", "rate: 5/fortnight", "rate: 5/month", "max_bytes: large", "max_bytes: 16GB"]
)
def test_what_means_nothing_is_not_guessed(limit: str, problems: Callable[[str], tuple[Problem, ...]]) -> None:
    (problem,) = problems(spec(limit))
    assert "did you mean" not in problem.message


@requirement("specs:lint:meant")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (spec(about="A region, such as EU"), (11, 42)),
        (spec(call="region: EU, or so"), (15, 5)),
    ],
)
def test_a_comma_in_a_bare_text(
    text: str, place: tuple[int, int], problems: Callable[[str], tuple[Problem, ...]]
) -> None:
    (problem,) = problems(text)
    assert problem.message.endswith("; a comma ends a value within `{…}`: write a text that holds one in quotes")
    assert (problem.line, problem.column) == place


@requirement("specs:lint:meant")
def test_a_plain_typo_keeps_its_own_hint(problems: Callable[[str], tuple[Problem, ...]]) -> None:
    (problem,) = problems(spec(about="A region, halp: x"))
    assert problem.message == "unknown key `halp` in an argument; did you mean `help`?"


@requirement("specs:lint:never-crash")
@pytest.mark.parametrize("version", ["1.0", "1.3", "2.0", "1"])
def test_a_directive_of_an_odd_version_is_a_problem(
    version: str, problems: Callable[[str], tuple[Problem, ...]]
) -> None:
    assert {problem.rule for problem in problems(f"%YAML {version}\n---\n{spec()}")} <= {"yaml/syntax", "yaml/tag"}
    assert problems(f"%YAML {version}\n---\n{spec()}")
