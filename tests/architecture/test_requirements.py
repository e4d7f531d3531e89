"""Is every requirement carried by a test, and every mark a requirement? Both directions, read from the source."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from source_tree import ROOT

ID = re.compile(r"[a-z0-9-]+(:[a-z0-9-]+){1,3}")
Requirements = Mapping[str, Mapping[str, str]]


def requirements() -> dict[str, Mapping[str, str]]:
    """Return every requirement of tests/requirements; an id stands in one file only."""
    found: dict[str, Mapping[str, str]] = {}
    for path in sorted((ROOT / "tests" / "requirements").glob("*.toml")):
        for identifier, entry in tomllib.loads(path.read_text("utf-8")).items():
            assert identifier not in found, f"{path.name}: {identifier} stands in two files"
            found[identifier] = entry
    return found


def collected_files() -> list[Path]:
    """Return every file that pytest collects."""
    return sorted((ROOT / "tests").rglob("test_*.py"))


def marks(source: str) -> Iterator[str]:
    """Yield the ids that tests of a file carry."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and is_mark(node.func):
            for argument in node.args:
                yield str(argument.value) if isinstance(argument, ast.Constant) else ast.unparse(argument)


def is_mark(called: ast.expr) -> bool:
    """Whether `called` is `pytest.mark.requirement` or a name for it."""
    return getattr(called, "attr", getattr(called, "id", "")) == "requirement"


def unmatched(known: Requirements, carried: set[str]) -> list[str]:
    """Return what is said on one side only."""
    untested = [f"{identifier} is carried by no test" for identifier in known if identifier not in carried]
    unknown = [f"{identifier} stands in no file" for identifier in carried if identifier not in known]
    return sorted([*untested, *unknown])


def is_checking(source: str) -> bool:
    """Whether a test file checks anything at all."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Attribute) and node.attr in {"raises", "warns", "fail"})
        or (isinstance(node, ast.Name) and node.id.startswith(("assert_", "check_", "run_state_machine")))
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.requirement("house:requirements:both-directions")
def test_requirements_and_marks_match() -> None:
    carried = {identifier for path in collected_files() for identifier in marks(path.read_text("utf-8"))}

    found = unmatched(requirements(), carried)
    assert not found, "\n".join(found)


@pytest.mark.requirement("house:requirements:both-directions")
def test_each_requirement_has_an_id_a_source_and_a_sentence() -> None:
    for identifier, entry in requirements().items():
        assert ID.fullmatch(identifier), identifier
        assert set(entry) == {"source", "sentence"}, identifier
        assert all(entry.values()), identifier


@pytest.mark.requirement("house:requirements:assertions")
def test_every_test_file_checks_something() -> None:
    assert [str(path.relative_to(ROOT)) for path in collected_files() if not is_checking(path.read_text("utf-8"))] == []


def test_each_side_alone_is_found() -> None:
    known = {"a:b": {"source": "s", "sentence": "S."}}

    assert unmatched(known, set()) == ["a:b is carried by no test"]
    assert unmatched(known, {"a:b", "a:c"}) == ["a:c stands in no file"]


def test_marks_are_read_from_decorators_parameters_and_modules() -> None:
    source = """
pytestmark = pytest.mark.requirement("a:module")
@requirement("a:decorator")
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.requirement("a:param"))])
def test_x(x): assert x
"""

    assert set(marks(source)) == {"a:module", "a:decorator", "a:param"}


def test_a_file_that_checks_nothing_is_found() -> None:
    assert not is_checking("def test_x():\n    print('fine')\n")
