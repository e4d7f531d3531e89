"""Which policies decide about reading the log when the tool specs are broken? All that bear on it, sound ones only."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.policy import STARTER_POLICY, load_policies_about
from sandbox.problems import LintFailed
from sandbox.reviewing import LOG_ACTIONS
from sandbox.stages import Action, Principal

requirement = pytest.mark.requirement("house:review:broken-spec")

ABOUT_A_TOOL = """
@id("about-a-tool")
forbid (principal, action == Sandbox::Action::"Execute:gone.tool", resource)
when { context.arguments.sql like "*x*" };
"""
FORBID_ALL = '@id("nobody") forbid (principal, action, resource) unless { principal.subject == "ada" };\n'
FORBID_TOOL = '@id("not-this") forbid (principal, action, resource == Sandbox::Tool::"gone.tool");\n'
TYPO = (
    '@id("typo") forbid (principal, action in [Sandbox::Action::"ReadPayload", Sandbox::Action::"Reed"], resource);\n'
)
ERRING = """
@id("erring")
forbid (principal, action == Sandbox::Action::"ReadPayload", resource) when { principal.getTag("x") == "y" };
"""


def reviewer(subject: str = "reviewer") -> Principal:
    return Principal(
        subject=subject,
        actors=(),
        roles=frozenset({"reviewer"}),
        tools=("*",),
        claims={},
        token_id="t",
        token_digest=b"",
        certificate_digest=b"",
        expires_at=2_000_000_000,
    )


def may(folder: Path, *texts: str, who: str = "reviewer") -> bool:
    for number, text in enumerate(texts):
        (folder / f"{number}.cedar").write_text(text)
    return load_policies_about(folder, LOG_ACTIONS).may(reviewer(who), Action.READ_PAYLOAD)


@requirement
def test_policies_about_tools_that_cannot_be_known_do_not_matter(tmp_path: Path) -> None:
    assert may(tmp_path, STARTER_POLICY, ABOUT_A_TOOL, FORBID_TOOL)


@requirement
def test_a_forbid_of_everything_counts(tmp_path: Path) -> None:
    assert not may(tmp_path, STARTER_POLICY, FORBID_ALL)
    assert may(tmp_path, STARTER_POLICY, FORBID_ALL, who="ada")


@requirement
@pytest.mark.parametrize(
    "text", [TYPO, ERRING, "forbid (principal, action, resource)", FORBID_ALL.replace('@id("nobody") ', "")]
)
def test_what_bears_on_the_log_must_be_sound(text: str, tmp_path: Path) -> None:
    with pytest.raises(LintFailed):
        may(tmp_path, STARTER_POLICY, text)


@requirement
def test_no_policy_permits_nothing(tmp_path: Path) -> None:
    assert not may(tmp_path)
