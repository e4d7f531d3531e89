"""`sandbox log open`: which calls with effects have begun, and no record tells how they ended?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from sandbox.cli.common import DeploymentOption, ExitCode, JsonOption, emit, fail, wrapped
from sandbox.cli.records import listed_json, listed_line

ABANDONED: Final = (
    "abandoned: its process is gone; whether it took effect, only its target knows, and the next `sandbox serve` puts"
    " that on record"
)


def list_open(
    name: Annotated[str, typer.Option("--as", help="The identity that reads; policy must permit it.")] = "reviewer",
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """List calls that have begun and not ended on record; exit code 3 if the process of one is gone."""
    from sandbox.reviewing import Listing, LogUnreadable

    try:
        with Listing.opened(deployment, name) as listing:
            found, names = listing.open_intents(), listing.names()
    except LogUnreadable as unreadable:
        fail(ExitCode.REFUSED, str(unreadable), is_json=json)
    gone = [intent for intent in found if not intent.is_running]
    if json:
        emit({"open": [{**listed_json(i.logged, names, ""), "is_running": i.is_running} for i in found]})
    else:
        lines = [f"{listed_line(i.logged, names)}, {'running' if i.is_running else 'abandoned'}" for i in found]
        if gone:
            lines.append(wrapped(ABANDONED))
        sys.stdout.write("\n".join(lines or ["no call is open"]) + "\n")
    if gone:
        raise typer.Exit(ExitCode.INCOMPLETE)
