"""Which policies are in force? Everything in `policies/*.cedar`, read, linted and sliced; all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sandbox.policy.decider import CedarPolicy
from sandbox.policy.lint import Policy, lint_policies
from sandbox.policy.questions import questions_about
from sandbox.policy.schema import vocabulary_of
from sandbox.policy.source import MAX_FILE_BYTES, PolicyFile, statements_of
from sandbox.problems import LintFailed, Problem
from sandbox.settings import digest_of
from sandbox.toolspec import Digest, ToolName, ToolSpec

NEEDS_SPECS: Final = frozenset({"policy/unknown-tool", "policy/unknown-argument"})
"""Rules whose problems may be no problems once all specs are known."""


def load_policies(folder: Path, tools: Mapping[ToolName, ToolSpec]) -> CedarPolicy:
    """Load the policies of `folder` for `tools`; raises `LintFailed` with every problem found.

    The digest is over each file's name and bytes, in name order.
    """
    sources, problems = _read(folder)
    files, unreadable = _decoded(sources)
    problems += unreadable
    vocabulary = vocabulary_of(tools)
    policies, found = lint_policies(files, vocabulary)
    problems += found
    if not policies and not problems:
        message = "there is no policy, so nothing would be permitted; write one into a file `NAME.cedar`"
        problems.append(_problem(folder.name, "policy/none", message))
    if problems:
        raise LintFailed(problems)
    return CedarPolicy(questions_about(policies, vocabulary), vocabulary.schema, sources, _digest(sources))


def load_policies_about(
    folder: Path, actions: frozenset[str], tools: Mapping[ToolName, ToolSpec] = MappingProxyType({})
) -> CedarPolicy:
    """Load what bears on `actions`, while not all specs are known: for reviewers on the host, for trials of one tool.

    Raises `LintFailed` with every problem but those that only the missing specs can settle, and those of policies
    whose scope lets them matter to other actions alone. Whatever errs when asked denies, as ever.
    """
    sources, problems = _read(folder)
    files, unreadable = _decoded(sources)
    vocabulary = vocabulary_of(tools)
    policies, found = lint_policies(files, vocabulary)
    bearing = [policy for policy in policies if vocabulary.actions_of(policy.tree) & actions]
    others = [policy for policy in policies if policy not in bearing]
    problems += unreadable
    for problem in found:
        is_about_others = _is_within(problem, others) and not _is_within(problem, bearing)
        if not is_about_others and problem.rule not in NEEDS_SPECS:
            problems.append(problem)
    if problems:
        raise LintFailed(problems)
    return CedarPolicy(questions_about(bearing, vocabulary), vocabulary.schema, sources, _digest(sources))


def unspoken_roles(folder: Path, roles: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return those of `roles` that no policy speaks of in any way, and the roles that policies do name, sorted."""
    files, _ = _decoded(_read(folder)[0])
    named: set[str] = set()
    texts: set[str] = set()
    for tokens in (statement.tokens for file in files for statement in statements_of(file)):
        for kind, mark, text in zip(tokens, tokens[1:], tokens[2:], strict=False):
            if (kind.text, mark.text) == ("Role", "::"):
                named.add(text.text.strip('"'))
        texts.update(token.text.strip('"') for token in tokens if token.text.startswith('"'))
    return [role for role in roles if role not in texts], sorted(named)


def _decoded(sources: Mapping[str, bytes]) -> tuple[list[PolicyFile], list[Problem]]:
    files: list[PolicyFile] = []
    problems: list[Problem] = []
    for name, source in sources.items():
        try:
            files.append(PolicyFile(name, source.decode("utf-8")))
        except UnicodeDecodeError as error:
            line = source.count(b"\n", 0, error.start) + 1
            problems.append(_problem(name, "policy/encoding", "not UTF-8", line))
    return files, problems


def _digest(sources: Mapping[str, bytes]) -> Digest:
    return digest_of(*(part for name, source in sources.items() for part in (name.encode(), source)))


def _is_within(problem: Problem, policies: Iterable[Policy]) -> bool:
    """Whether the problem stands on a line of one of the policies."""
    return any(
        policy.statement.file.name == problem.file
        and policy.statement.first_line <= problem.line <= policy.statement.last_line
        for policy in policies
    )


def _read(folder: Path) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the bytes of each policy file, by name relative to the deployment."""
    sources: dict[str, bytes] = {}
    problems: list[Problem] = []
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        return {}, [_problem(folder.name, "policy/unreadable", f"the folder cannot be read ({error.strerror})")]
    for path in paths:
        name = f"{folder.name}/{path.name}"
        if path.suffix != ".cedar" or path.name.startswith("."):
            problems += _overlooked(path, name)
            continue
        try:
            source = path.read_bytes()
        except OSError as error:
            problems.append(_problem(name, "policy/unreadable", f"cannot be read ({error.strerror})"))
            continue
        if len(source) > MAX_FILE_BYTES:
            problems.append(
                _problem(name, "policy/too-large", f"{len(source)} bytes; at most {MAX_FILE_BYTES} are read")
            )
        else:
            sources[name] = source
    return sources, problems


def _overlooked(path: Path, name: str) -> list[Problem]:
    """Tell of what its author may take for a policy in force: a folder, or `x.cedar.txt`. Editors' own files pass."""
    if path.name.startswith((".", "#")) or path.name.endswith("~"):
        return []
    if path.is_dir() or ".cedar" in path.name.lower():
        return [_problem(name, "policy/not-read", "only files named `*.cedar` directly in this folder are read")]
    return []


def _problem(name: str, rule: str, message: str, line: int = 0) -> Problem:
    return Problem(file=name, line=line, column=0, rule=rule, message=message)
