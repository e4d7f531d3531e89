"""`sandbox test`: run every tool spec's own examples, in this process, with a log of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.common import DeploymentOption, ExitCode, JsonOption, emit, stop

if TYPE_CHECKING:
    from sandbox.trial import ExampleOutcome


def examples(
    tool: Annotated[str, typer.Argument(help="Only this tool; all if left out.")] = "",
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Run the examples of the tool specs through the whole pipeline; exit code 1 if one does not hold."""
    from sandbox.trial import run_examples

    outcomes = run_examples(deployment, tool)
    failed = sum(not outcome.is_as_expected for outcome in outcomes)
    if json:
        emit({"ok": not failed, "examples": [outcome.as_json() for outcome in outcomes]})
    else:
        for outcome in outcomes:
            sys.stdout.write(_line(outcome))
        sys.stdout.write(f"{len(outcomes) - failed} of {len(outcomes)} examples hold\n")
    if failed:
        stop(ExitCode.REFUSED)


def _line(outcome: ExampleOutcome) -> str:
    if outcome.is_as_expected:
        return f"ok    {outcome.tool}  {outcome.place}\n"
    return f"FAIL  {outcome.tool}  {outcome.place}: expected {outcome.expected}, got {outcome.found}\n"
