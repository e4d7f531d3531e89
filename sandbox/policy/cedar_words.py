"""What does Cedar's validator mean, in our words? Each known complaint becomes a sentence that says what is accepted.

A complaint that is not known (a newer Cedar may word it anew) is told as Cedar words it: still a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from sandbox.policy.schema import (
    CONTEXT_NAMES,
    ENTITY_TYPES,
    EXECUTE,
    NAMESPACE,
    PRINCIPAL_NAMES,
    RESOURCES,
    TOOL_NAMES,
    Vocabulary,
)
from sandbox.policy.source import Statement
from sandbox.problems import Problem, did_you_mean
from sandbox.reasons import quoted

TRUNCATED: Final = "unexpected end of input"
"""What Cedar's parser says of a text that could go on."""
NOT_APPLICABLE: Final = "policy/never-applies"

_PREFIX: Final = re.compile(r"^for policy `[^`]*`[,:] ")
_QUOTED: Final = re.compile(r"[`']([^`']+)[`']")
_EXECUTING: Final = f"{EXECUTE}:"


def needles_of(complaint: str) -> tuple[str, ...]:
    """Return what a complaint quotes or ends on, to look for in the policy."""
    return (*_QUOTED.findall(complaint), complaint.rpartition(": ")[2])


def told(statement: Statement, complaint: str, vocabulary: Vocabulary) -> Problem:
    """Return one complaint of the validator as a problem of `statement`."""
    plain = _PREFIX.sub("", complaint)
    for pattern, tell in _KNOWN:
        found = pattern.search(plain)
        if found:
            return tell(statement, found, vocabulary)
    return statement.problem("policy/invalid", plain, *needles_of(plain))


def unknown_tool(statement: Statement, tool: str, vocabulary: Vocabulary, needle: str) -> Problem:
    """Return the problem of a tool that does not exist, found at `needle`."""
    message = f"there is no tool {quoted(tool)}{did_you_mean(tool, vocabulary.tools)}"
    return statement.problem("policy/unknown-tool", message, needle)


def unknown_argument(statement: Statement, name: str, actions: Iterable[str], vocabulary: Vocabulary) -> Problem:
    """Return the problem of an argument that the tools of `actions` do not have, or not in a shape Cedar knows."""
    actions = sorted(actions)
    known = sorted({each for action in actions for each in vocabulary.arguments.get(action, {})})
    tools = ", ".join(quoted(action.removeprefix(_EXECUTING)) for action in actions[:3])
    more = ", …" if len(actions) > 3 else ""
    message = (
        f"{tools or 'no tool'}{more} has no argument {quoted(name)} that a policy can read"
        f"{did_you_mean(name, known) or _listed(known)}"
    )
    elsewhere = [action for action, types in vocabulary.arguments.items() if name in types and action not in actions]
    if elsewhere:
        message += f"; {quoted(elsewhere[0].removeprefix(_EXECUTING))} has: name its action `{elsewhere[0]}`"
    return statement.problem("policy/unknown-argument", message, name)


def _listed(names: Iterable[str]) -> str:
    shown = ", ".join(quoted(name) for name in names)
    return f"; there are {shown}" if shown else ""


def _unknown_action(statement: Statement, found: re.Match[str], vocabulary: Vocabulary) -> Problem:
    spelled = found.group("id")
    if spelled.startswith(_EXECUTING):
        return unknown_tool(statement, spelled.removeprefix(_EXECUTING), vocabulary, spelled)
    if found.group("type") != f"{NAMESPACE}::Action":
        message = f'actions are written `{NAMESPACE}::Action::"{spelled}"`'
        return statement.problem("policy/unknown-action", message, spelled)
    if spelled in vocabulary.tools:
        message = f"running the tool is the action {quoted(_EXECUTING + spelled)}"
        return statement.problem("policy/unknown-action", message, spelled)
    known = sorted(vocabulary.plain_actions | {EXECUTE})
    message = f"there is no action {quoted(spelled)}{did_you_mean(spelled, known) or _listed(known)}"
    return statement.problem("policy/unknown-action", message, spelled)


def _unknown_type(statement: Statement, found: re.Match[str], vocabulary: Vocabulary) -> Problem:
    del vocabulary
    spelled = found.group("type")
    base = spelled.rpartition("::")[2]
    near = did_you_mean(base, ENTITY_TYPES).replace("`", f"`{NAMESPACE}::", 1)
    known = [f"{NAMESPACE}::{name}" for name in ENTITY_TYPES]
    message = f"there is no entity type {quoted(spelled)}{near or _listed(known)}"
    return statement.problem("policy/unknown-type", message, base)


def _unknown_entity(statement: Statement, found: re.Match[str], vocabulary: Vocabulary) -> Problem:
    del vocabulary
    spelled, kind = found.group("id"), found.group("type").rpartition("::")[2]
    known = {only for each, only in filter(None, RESOURCES.values()) if each == kind}
    message = f"there is no {kind} {quoted(spelled)}{_listed(known)}"
    return statement.problem("policy/unknown-entity", message, spelled)


def _context_attribute(statement: Statement, found: re.Match[str], vocabulary: Vocabulary) -> Problem:
    path, action = found.group("path"), found.group("action")
    first, _, rest = path.replace("[", ".").partition(".")
    if first == "arguments" and rest:
        return unknown_argument(statement, rest.strip('"[]'), [action], vocabulary)
    if action in vocabulary.arguments:
        message = f"`context` has no {quoted(first)}{did_you_mean(first, CONTEXT_NAMES) or _listed(CONTEXT_NAMES)}"
    else:
        message = (
            f"the action {quoted(action)} has no `context.{first}`; "
            f'write `action in {NAMESPACE}::Action::"{EXECUTE}"`, or ask `context has {first} && …`'
        )
    return statement.problem("policy/unknown-attribute", message, first)


def _entity_attribute(statement: Statement, found: re.Match[str], vocabulary: Vocabulary) -> Problem:
    del vocabulary
    name, kind = found.group("path"), found.group("type").rpartition("::")[2]
    known = {"Principal": PRINCIPAL_NAMES, "Tool": TOOL_NAMES}.get(kind, ())
    message = f"a {kind} has no attribute {quoted(name)}{did_you_mean(name, known) or _listed(known)}"
    if kind == "Principal":
        message += f'; a claim is read by `principal.hasTag("{name}") && principal.getTag("{name}")`'
    return statement.problem("policy/unknown-attribute", message, name)


def _optional(statement: Statement, found: re.Match[str], vocabulary: Vocabulary) -> Problem:
    del vocabulary
    name = found.group("path").replace("[", ".").rpartition(".")[2].strip('"[]')
    message = f"the argument {quoted(name)} may be absent; begin with `context.arguments has {name} && …`"
    return statement.problem("policy/may-be-absent", message, name)


def _optional_claim(statement: Statement, found: re.Match[str], vocabulary: Vocabulary) -> Problem:
    del vocabulary
    name = found.group("path").strip('"')
    message = f"a token may lack the claim {quoted(name)}; begin with `principal.hasTag({found.group('path')}) && …`"
    return statement.problem("policy/may-be-absent", message, name)


def _never_applies(statement: Statement, found: re.Match[str], vocabulary: Vocabulary) -> Problem:
    del found, vocabulary
    message = "the policy can never apply: its action is never done to its resource by its principal"
    return statement.problem(NOT_APPLICABLE, message, "action")


_Teller = Callable[[Statement, re.Match[str], Vocabulary], Problem]
_KNOWN: Final[tuple[tuple[re.Pattern[str], _Teller], ...]] = (
    (re.compile(r'unrecognized action `(?P<type>[\w:]+)::"(?P<id>.*)"`'), _unknown_action),
    (re.compile(r"unrecognized entity type `(?P<type>[^`]+)`"), _unknown_type),
    (re.compile(r'entity `(?P<type>[\w:]+)::"(?P<id>.*)"` is of an enumerated'), _unknown_entity),
    (re.compile(r'attribute `(?P<path>[^`]+)` in context for [\w:]+::"(?P<action>.*)" not found'), _context_attribute),
    (re.compile(r"attribute `(?P<path>[^`]+)` on entity type `(?P<type>[^`]+)` not found"), _entity_attribute),
    (re.compile(r"access to optional attribute `(?P<path>[^`]+)`"), _optional),
    (re.compile(r"access to tag `(?P<path>[^`]+)`"), _optional_claim),
    (re.compile(r"unable to find an applicable action"), _never_applies),
)
