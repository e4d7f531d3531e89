"""Is every reason told, used and documented?"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

import pytest
from source_tree import ROOT, Module, modules, planted

from sandbox.reasons import REASONS, Reason, Status

TABLE = ("sandbox.reasons",)


def given_reasons(package: Iterable[Module]) -> set[str]:
    """Return the names of the reasons that some module outside the table names."""
    return {
        node.attr
        for module in package
        if not module.is_in(TABLE)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    }


def never_given(package: Mapping[str, Module]) -> set[str]:
    """Return the reasons that nothing ever gives."""
    return {reason.name for reason in Reason} - given_reasons(package.values())


@pytest.mark.requirement("house:reasons:total")
def test_every_reason_has_a_row() -> None:
    assert set(REASONS) == set(Reason)


@pytest.mark.requirement("house:reasons:total")
def test_every_row_says_what_who_and_which_status() -> None:
    for reason, info in REASONS.items():
        assert reason.name == reason.value
        assert info.meaning.endswith("."), reason
        assert info.who_can_act, reason
        assert info.status is not Status.INTERNAL, reason  # a fault has no reason


@pytest.mark.requirement("house:reasons:given")
def test_every_reason_is_given_somewhere() -> None:
    assert never_given(modules()) == set()


def test_a_reason_that_nothing_gives_is_found() -> None:
    package = {"sandbox.doors.planted": planted("sandbox.doors.planted", "raise Refused(Reason.TOOL_UNKNOWN, 'no')")}

    assert never_given(package) == {reason.name for reason in Reason} - {"TOOL_UNKNOWN"}


@pytest.mark.requirement("house:reasons:documented")
def test_the_page_of_reasons_names_each_with_its_status() -> None:
    page = (ROOT / "docs" / "reasons.md").read_text("utf-8")

    for reason, info in REASONS.items():
        assert (
            f"| `{reason}` | {info.status.name} ({info.status.value}) | {info.meaning} | {info.who_can_act} |" in page
        )
