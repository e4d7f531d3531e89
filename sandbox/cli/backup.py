"""`sandbox backup DIR`: copy a deployment, its log included, while the service runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.common import DeploymentOption, JsonOption, emit, wrapped

MIB = 1024 * 1024


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it must be new or empty.")],
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Copy the deployment to DIR, keys and log included, also while it is served; DIR is then a deployment itself.

    The databases that connections lead to are not in it. Whoever has the copy has the keys: keep it as you keep them.
    """
    from sandbox.backup import back_up

    sys.stderr.write("… copying and checking the log\n")
    copy = back_up(deployment, folder)
    if json:
        emit({"backup": str(copy.deployment.root), "records": copy.records, "bytes": copy.size_bytes})
        return
    size = f"{copy.records} records, {copy.size_bytes / MIB:.1f} MiB"
    sys.stdout.write(f"made the backup {copy.deployment.root} ({size})\n")
    sys.stdout.write(wrapped("databases are not in it; whoever has it has the deployment's keys") + "\n")
