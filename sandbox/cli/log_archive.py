"""`sandbox log archive DIR`: take the log out of the host, proven, and perhaps make room."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.common import DeploymentOption, JsonOption, emit, wrapped
from sandbox.cli.progress import told_progress
from sandbox.problems import counted


def archive_log(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it must be new or empty.")],
    before: Annotated[
        int | None, typer.Option(metavar="LEAF", min=1, help="Archive the largest signed tree of at most LEAF records.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Then remove the archived payloads from the log; a record says so first.")
    ] = False,
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Write the log as C2SP tiles to DIR, with its encrypted payloads, also while it is served; DIR is audited first.

    The keys of subjects stay in the deployment: the archive proves by itself, and is read with `sandbox log show
    --archive`.
    """
    from sandbox.archiving import archive_log as archive

    made = archive(deployment, folder, before=before, prune=prune, progress=told_progress())
    if json:
        emit(
            {
                "archive": str(made.place),
                "records": made.records,
                "payloads": made.payloads,
                "removed_payloads": made.pruned,
            }
        )
        return
    size = f"{counted(made.records, 'record')}, {counted(made.payloads, 'payload')}"
    sys.stdout.write(f"made the archive {made.place} ({size}), and audited it\n")
    if prune:
        sys.stdout.write(f"removed from the log: {counted(made.pruned, 'payload')}\n")
    sys.stdout.write(wrapped("it is read with the deployment's keys: keep both, each in its place") + "\n")
