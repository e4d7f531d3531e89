"""`sandbox test`: run every tool spec's own examples, in this process, with a log of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.common import NO_TOOLS, DeploymentOption, ExitCode, JsonOption, emit, stop, warn, wrapped
from sandbox.cli.progress import ASKS_SERVERS, told_wait
from sandbox.problems import counted

if TYPE_CHECKING:
    from sandbox.trial import ExampleOutcome


def examples(
    tool: Annotated[str, typer.Argument(help="Only this tool; all if left out.")] = "",
    with_effects: Annotated[
        bool,
        typer.Option("--with-effects", help="Also those of tools with `effects: write`: they call the real target."),
    ] = False,
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Run the examples of the tool specs through the whole pipeline; exit code 1 if one does not hold."""
    from sandbox.telemetry.events import told_to_people
    from sandbox.trial import run_examples

    with told_wait(ASKS_SERVERS), told_to_people():
        tested = run_examples(deployment, tool, with_effects=with_effects)
    outcomes, others = tested.outcomes, sorted({problem.file for problem in tested.others})
    failed = sum(not outcome.is_as_expected for outcome in outcomes)
    if json:
        warnings = [problem.as_json() for problem in tested.others]
        shown = [outcome.as_json() for outcome in outcomes]
        emit({"ok": not failed, "examples": shown, "not_run": tested.not_run, "warnings": warnings})
    else:
        if others:
            warn(f"{', '.join(others)}: this does not pass lint and was left out; `sandbox lint` tells why")
        if tested.not_run:
            warn(
                f"{', '.join(tested.not_run)}: not run, for its examples would have effects; `--with-effects` runs them"
            )
        for outcome in outcomes:
            sys.stdout.write(_line(outcome))
        sys.stdout.write(_sum(deployment, len(outcomes), failed))
    if failed:
        stop(ExitCode.REFUSED)


def _sum(deployment: Path, examples: int, failed: int) -> str:
    from sandbox.deployment import Deployment

    if not examples and not any(Deployment(deployment).toolspecs.glob("*.yaml")):
        return f"{NO_TOOLS}\n"
    if not examples:
        return "no examples yet; `examples:` in a spec says what a call gives, and what is refused\n"
    return f"{examples - failed} of {counted(examples, 'example')} {'holds' if examples == 1 else 'hold'}\n"


def _line(outcome: ExampleOutcome) -> str:
    if outcome.is_as_expected:
        return f"ok    {outcome.tool}  {outcome.place}\n"
    told = f"FAIL  {outcome.tool}  {outcome.place}: expected {outcome.expected}, got {outcome.found}"
    return wrapped(told, 6) + "\n"
