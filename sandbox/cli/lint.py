"""`sandbox lint`: is everything in this deployment as it must be? Every problem of every file, in one pass."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from sandbox.cli.common import DeploymentOption, ExitCode, JsonOption, emit, stop

if TYPE_CHECKING:
    from sandbox.deployment import Deployment
    from sandbox.problems import Problem
    from sandbox.settings import Settings


def lint(json: JsonOption = False, deployment: DeploymentOption = Path()) -> None:
    """Check settings, connections, tool specs and policies; exit code 1 if anything is wrong."""
    from sandbox.deployment import Deployment

    found = lint_deployment(Deployment(deployment))
    if json:
        emit(
            {
                "ok": not found.problems,
                "problems": [problem.as_json() for problem in found.problems],
                "files": found.files,
                "tools": list(found.tools),
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
    """Files read."""
    tools: tuple[str, ...]
    """The tools without a problem."""
    are_policies_linted: bool
    """Policies name tools and arguments, so they wait for specs that pass."""


def lint_deployment(deployment: Deployment) -> Linted:
    """Lint everything; raises `Misconfigured` if `deployment` is no deployment folder."""
    from sandbox.executors import read_catalogue
    from sandbox.problems import LintFailed
    from sandbox.settings import Settings
    from sandbox.specs import lint_connections, lint_specs

    settings, problems = _settings(deployment)
    connections = lint_connections(deployment)
    specs = lint_specs(deployment, connections, read_catalogue, settings or Settings())
    problems += [*connections.findings.problems, *specs.problems]
    are_specs_good = not connections.findings.problems and not specs.problems
    files = 2 + specs.files
    if are_specs_good:
        from sandbox.policy import load_policies

        try:
            files += len(load_policies(deployment.policies, specs.specs.tools).sources)
        except LintFailed as failed:
            problems += failed.problems
            files += len({problem.file for problem in failed.problems})
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.column))
    return Linted(ordered, files, tuple(specs.specs.tools), are_specs_good)


def _settings(deployment: Deployment) -> tuple[Settings | None, list[Problem]]:
    from sandbox.deployment import Misconfigured
    from sandbox.problems import Problem
    from sandbox.settings import read_settings

    try:
        return read_settings(deployment.settings)[0], []
    except Misconfigured as error:
        if not deployment.settings.is_file():
            raise
        message = str(error).removeprefix(f"{deployment.settings}: ")
        file = deployment.settings.name
        return None, [Problem(file=file, line=0, column=0, rule="settings/invalid", message=message)]


def _tell(found: Linted) -> None:
    for problem in found.problems:
        sys.stdout.write(problem.render() + "\n")
    count = len(found.problems)
    said = f"{count} problem{'' if count == 1 else 's'}" if count else "no problems"
    sys.stdout.write(f"{said} in {found.files} files; tools without a problem: {len(found.tools)}\n")
    if not found.are_policies_linted:
        sys.stdout.write("policies are checked once connections and specs have no problem\n")
