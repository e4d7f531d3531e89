"""Do the policies say what their authors mean? Everything wrong with every file, found in one pass.

Cedar's validator (strict mode) has the last word. What it lets through and we do not: a policy without a name, a name
given twice, a tool that does not exist, `has` of an argument that no tool in scope has (such a forbid never fires), a
policy that can never apply, a template.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

import cedarpy
import orjson
from cedarpy import pst

from sandbox.policy import cedar_words
from sandbox.policy.reads import argument_named, expressions
from sandbox.policy.schema import (
    ACTION,
    CONTEXT_NAMES,
    EFFECTS,
    EXECUTE,
    PRINCIPAL_NAMES,
    TOOL,
    TOOL_NAMES,
    Vocabulary,
    execute_action,
)
from sandbox.policy.source import POLICY_EFFECTS, PolicyFile, Statement, statements_of
from sandbox.problems import Problem, did_you_mean
from sandbox.reasons import quoted
from sandbox.stages import Binding
from sandbox.values import JsonValue

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
RESERVED: Final = "policy/"
"""Rule ids of our own begin so."""

_ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "context": CONTEXT_NAMES,
    "principal": PRINCIPAL_NAMES,
    "resource": TOOL_NAMES,
}


@final
@dataclass(frozen=True, slots=True)
class Policy:
    """One policy that Cedar can read."""

    statement: Statement
    tree: pst.Template
    document: JsonValue
    """The same in Cedar's JSON form."""

    @property
    def id(self) -> str:
        """The `@id`: what receipts name. Empty if there is none."""
        return self.tree.annotations.get("id", "")


def lint_policies(files: Iterable[PolicyFile], vocabulary: Vocabulary) -> tuple[list[Policy], list[Problem]]:
    """Read all files; the policies may only be used if there are no problems."""
    policies: list[Policy] = []
    problems: list[Problem] = []
    for file in files:
        found, wrong = _read_file(file)
        problems += wrong
        policies += found
        problems += _file_problems(file, found, vocabulary)
    problems += _id_problems(policies)
    # WHY: Cedar says the same of each action that a policy covers.
    return policies, list({(p.file, p.line, p.column, p.rule): p for p in reversed(problems)}.values())


def _read_file(file: PolicyFile) -> tuple[list[Policy], list[Problem]]:
    statements = statements_of(file)
    problems = [problem for each in statements if (problem := each.bound_problem())]
    if problems:
        return [], problems
    try:
        tree = cedarpy.policies_to_pst(file.text)
        documents = orjson.loads(cedarpy.policies_to_json_str(file.text))["staticPolicies"]
    except ValueError as error:
        return [], _syntax_problems(statements) or [file.problem(0, "policy/syntax", str(error))]
    if tree.templates:
        return [], [
            each.problem(
                "policy/template", "templates with `?principal` or `?resource` are not accepted; name both", mark
            )
            for each in statements
            if (mark := next((token.text for token in each.tokens if token.text == "?"), ""))
        ]
    if len(tree.static_policies) != len(statements):
        return [], [file.problem(0, "policy/syntax", "the file cannot be cut into policies; use plain line ends")]
    return [
        Policy(statement, tree.static_policies[f"policy{index}"], documents[f"policy{index}"])
        for index, statement in enumerate(statements)
    ], []


def _syntax_problems(statements: Iterable[Statement]) -> list[Problem]:
    return [_syntax_problem(each, complaint) for each in statements if (complaint := _complaint(each.text))]


def _syntax_problem(statement: Statement, complaint: str) -> Problem:
    """Place a complaint at the first token after which the text could no longer go on to be a policy."""

    def is_beyond(index: int) -> bool:
        return _complaint(statement.upto(index)) not in {"", cedar_words.TRUNCATED}

    last = len(statement.tokens) - 1
    index = bisect.bisect_left(range(last), True, key=is_beyond)
    if index < last or complaint == cedar_words.TRUNCATED:
        for begin in (index, index - 1):  # Cedar takes the effect's word for a clause's, and stumbles after it
            if _begins_another(statement, begin):
                index, complaint = begin, f"{complaint}; a `;` may be missing before it"
                break
        return statement.file.problem(statement.tokens[index].offset, "policy/syntax", complaint)
    return statement.problem("policy/syntax", complaint, *cedar_words.needles_of(complaint))


def _begins_another(statement: Statement, index: int) -> bool:
    """Whether the token `index` looks like the beginning of a policy after the end of another."""
    before = statement.tokens[index - 1].text if index > 0 else ""
    return before in {")", "}"} and statement.tokens[index].text in {"@", *POLICY_EFFECTS}


def _complaint(text: str) -> str:
    try:
        cedarpy.policies_to_pst(text)
    except ValueError as error:
        return str(error)
    return ""


def _id_problems(policies: Iterable[Policy]) -> Iterator[Problem]:
    first: dict[str, Problem] = {}
    for policy in policies:
        if not _ID.fullmatch(policy.id) or policy.id.startswith(RESERVED):
            message = (
                'a policy begins with `@id("…")`, its name in receipts: at most 64 letters, digits, `.`, `_`, `-` '
                f"and `/`, not beginning with {quoted(RESERVED)}"
            )
            yield policy.statement.problem_of_id("policy/id", message)
            continue
        here = policy.statement.problem_of_id("policy/id-twice", "")
        there = first.setdefault(policy.id, here)
        if there is not here:
            message = f"{quoted(policy.id)} is already the name of the policy at {there.file}:{there.line}"
            yield policy.statement.problem_of_id("policy/id-twice", message)


def _file_problems(file: PolicyFile, policies: list[Policy], vocabulary: Vocabulary) -> Iterator[Problem]:
    if not policies:
        return
    opinions = _cedar_opinions(file, vocabulary)
    for index, policy in enumerate(policies):
        said = [cedar_words.told(policy.statement, text, vocabulary) for text in opinions.get(f"policy{index}", ())]
        found = [
            *_unknown_tools(policy, vocabulary),
            *_unknown_presence(policy, vocabulary),
            *_unknown_texts(policy, vocabulary),
            *(problem for problem in said if problem.rule != cedar_words.NOT_APPLICABLE),
        ]
        yield from found or _scope_problem(policy, vocabulary) or said


def _cedar_opinions(file: PolicyFile, vocabulary: Vocabulary) -> Mapping[str, list[str]]:
    """Return what Cedar's strict validator says, by Cedar's own number of the policy."""
    # WHY: a large set takes long enough to hold up the calls that run during a reload.
    result = cedarpy.validate_policies(file.text, vocabulary.schema, release_gil=True)
    opinions: dict[str, list[str]] = {}
    for error in result.errors:
        opinions.setdefault(error.policy_id or "policy0", []).append(error.error)
    if not result.validation_passed and not opinions:
        opinions["policy0"] = ["the file does not pass Cedar's validator"]
    return {number: sorted(texts) for number, texts in opinions.items()}


def _unknown_tools(policy: Policy, vocabulary: Vocabulary) -> Iterator[Problem]:
    for uid in sorted(pst.entity_uids(policy.tree), key=str):
        if str(uid.type) == TOOL and uid.id not in vocabulary.tools:
            yield cedar_words.unknown_tool(policy.statement, uid.id, vocabulary, uid.id)


def _unknown_presence(policy: Policy, vocabulary: Vocabulary) -> Iterator[Problem]:
    """Find `has` of what is never there: Cedar takes it for a plain false."""
    actions = vocabulary.actions_of(policy.tree) & vocabulary.arguments.keys()
    known = {name for action in actions for name in vocabulary.arguments[action]}
    for expression in _expressions(policy):
        if not isinstance(expression, pst.HasAttr):
            continue
        argument = argument_named(expression)
        if argument is not None:
            if argument not in known:
                yield cedar_words.unknown_argument(policy.statement, argument, actions, vocabulary)
        elif isinstance(expression.base, pst.Var) and expression.base.name in _ATTRIBUTES:
            name, accepted = expression.attrs[0], _ATTRIBUTES[expression.base.name]
            if name not in accepted:
                hint = did_you_mean(name, accepted)
                if expression.base.name == "principal":
                    hint += f'; for a claim write `principal.hasTag("{name}")`'
                message = f"{quoted(expression.base.name)} never has {quoted(name)}{hint}"
                yield policy.statement.problem("policy/unknown-attribute", message, name)


def _unknown_texts(policy: Policy, vocabulary: Vocabulary) -> Iterator[Problem]:
    """Find comparisons of a tool's or a principal's attributes with texts that none has."""
    tools = vocabulary.tools.values()
    accepted = {
        ("resource", "name"): {str(spec.name) for spec in tools},
        ("resource", "connection"): {spec.connection for spec in tools},
        ("resource", "effects"): set(EFFECTS),
        ("principal", "binding"): {each.value for each in Binding},
    }
    for expression in _expressions(policy):
        match expression:
            case (
                pst.BinaryOp(
                    op="eq" | "not_eq",
                    left=pst.GetAttr(base=pst.Var(name=whose), attr=name),
                    right=pst.StringLit(value=text),
                )
                | pst.BinaryOp(
                    op="eq" | "not_eq",
                    left=pst.StringLit(value=text),
                    right=pst.GetAttr(base=pst.Var(name=whose), attr=name),
                )
            ) if text not in accepted.get((whose, name), {text}):
                is_tool = whose == "resource"
                what, rule = ("tool", "policy/unknown-tool") if is_tool else ("principal", "policy/unknown-text")
                message = f"no {what} has the {name} {quoted(text)}{did_you_mean(text, accepted[whose, name])}"
                yield policy.statement.problem(rule, message, text)
            case _:
                pass


def _scope_problem(policy: Policy, vocabulary: Vocabulary) -> list[Problem]:
    """Find a scope that no request matches."""
    if vocabulary.actions_of(policy.tree):
        return []
    action = policy.tree.action
    if isinstance(action, pst.ActionEq) and action.entity.id == EXECUTE:
        one = execute_action(next(iter(vocabulary.tools), "TOOL"))
        message = f'`{EXECUTE}` is a group: write `action in {ACTION}::"{EXECUTE}"`, or for one tool {quoted(one)}'
        return [policy.statement.problem(cedar_words.NOT_APPLICABLE, message, EXECUTE)]
    message = "the policy can never apply: its action runs another tool than its resource names"
    return [policy.statement.problem(cedar_words.NOT_APPLICABLE, message, "action")]


def _expressions(policy: Policy) -> Iterator[pst.Expr]:
    for clause in policy.tree.clauses:
        yield from expressions(clause.expr)
