"""`sandbox lint`: is everything in this deployment as it must be? Every problem of every file, in one pass."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, final

import typer

from sandbox.cli.common import NO_TOOLS, DeploymentOption, ExitCode, JsonOption, emit, problem_text, stop
from sandbox.cli.progress import ASKS_SERVERS, told_wait
from sandbox.problems import counted

if TYPE_CHECKING:
    from sandbox.deployment import Deployment
    from sandbox.problems import Problem


_WHOLE: Final = "a whole deployment is linted, the folder that `--deployment` names or this one"


def lint(
    one: Annotated[str | None, typer.Argument(metavar="", hidden=True)] = None,
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Check settings, connections, tool specs and policies; exit code 1 if anything is wrong."""
    from sandbox.deployment import Deployment, Misconfigured
    from sandbox.reasons import quoted

    if one is not None:
        raise Misconfigured(f"{quoted(one)}: {_WHOLE}; `sandbox test NAME` looks at one tool")
    if deployment.is_file():
        raise Misconfigured(f"{quoted(str(deployment))}: not a folder; {_WHOLE}")
    with told_wait(ASKS_SERVERS):
        found = lint_deployment(Deployment(deployment))
    if json:
        emit(
            {
                "ok": not found.problems,
                "problems": [problem.as_json() for problem in found.problems],
                "files": found.files,
                "tools": list(found.tools),
                "without_examples": list(found.without_examples),
            }
        )
    else:
        _tell(found)
    if found.problems:
        stop(ExitCode.REFUSED)


@final
@dataclass(frozen=True, slots=True)
class Linted:
    """What lint found."""

    problems: Sequence[Problem]
    """In file and line order."""
    files: int
    """Files that there are to lint, policies that wait for sound specs too."""
    tools: tuple[str, ...]
    """The tools without a problem."""
    without_examples: tuple[str, ...]
    """Those of them that say nothing of how a call must end."""
    are_policies_linted: bool
    """Policies name tools and arguments, so they wait for specs that pass."""


def lint_deployment(deployment: Deployment) -> Linted:
    """Lint everything; raises `Misconfigured` if `deployment` is no deployment folder."""
    from sandbox.executors import read_catalogue
    from sandbox.problems import LintFailed
    from sandbox.settings import Settings
    from sandbox.specs import lint_connections, lint_settings, lint_specs

    settings, problems = lint_settings(deployment)
    connections = lint_connections(deployment, settings)
    specs = lint_specs(deployment, connections, read_catalogue, settings or Settings())
    problems += [*connections.findings.problems, *specs.problems]
    are_specs_good = not connections.findings.problems and not specs.problems
    files = 2 + specs.files + len(list(deployment.policies.glob("*.cedar")))
    if are_specs_good:
        from sandbox.policy import load_policies

        try:
            load_policies(deployment.policies, specs.specs.tools)
        except LintFailed as failed:
            problems += failed.problems
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.column))
    bare = tuple(name for name, tool in specs.specs.tools.items() if not tool.examples)
    return Linted(ordered, files, tuple(specs.specs.tools), bare, are_specs_good)


def _tell(found: Linted) -> None:
    for problem in found.problems:
        sys.stdout.write(problem_text(problem) + "\n")
    said = counted(len(found.problems), "problem") if found.problems else "no problems"
    tools = f"tools without a problem: {len(found.tools)}"
    if not found.tools and not found.problems:
        tools = NO_TOOLS
    sys.stdout.write(f"{said} in {counted(found.files, 'file')}; {tools}\n")
    for name in found.without_examples:
        sys.stdout.write(f"note: {name} has no `examples`, so `sandbox test` proves nothing of it yet\n")
    if not found.are_policies_linted:
        sys.stdout.write("policies are checked once connections and specs have no problem\n")
