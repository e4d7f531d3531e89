"""What do all commands share? The options, the exit codes, and how an error is told."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from sandbox.values import JsonObject


class ExitCode(enum.IntEnum):
    """How a command ends."""

    GOOD = 0
    """Also for a call that waits for a person."""
    REFUSED = 1
    """Refused, or proven bad: a malformed or false proof too."""
    USAGE = 2
    """A wrong flag or file, or a question that cannot be decided."""
    INCOMPLETE = 3
    """A quorum short, a gap."""
    NOT_AUTHENTICATED = 4
    FAULT = 5


DeploymentOption = Annotated[
    Path,
    typer.Option(
        "--deployment",
        envvar="SANDBOX_DEPLOYMENT",
        help="The deployment folder that `sandbox init` made.",
        show_default="the current folder",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of text.")]


def emit(value: JsonObject | Sequence[JsonObject]) -> None:
    """Print one JSON document on one line and flush it."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def stop(code: ExitCode, message: str = "") -> NoReturn:
    """End the command with `code`, telling `message` on stderr."""
    if message:
        sys.stderr.write(f"error: {message}\n")
    raise typer.Exit(code)
