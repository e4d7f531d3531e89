"""`sandbox doctor`: does what the tools rely on hold, and what must an administrator run so that it does?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.common import DeploymentOption, ExitCode, JsonOption, emit, stop, warn, wrapped
from sandbox.cli.progress import ASKS_SERVERS, told_wait
from sandbox.deployment import Misconfigured
from sandbox.reasons import printable
from sandbox.values import JsonObject

if TYPE_CHECKING:
    from sandbox.deployment import Deployment
    from sandbox.doctor.diagnosis import Report
    from sandbox.doctor.findings import Finding

MOST_OF_A_KIND = 3
"""Findings of one check that are told one by one: a hosted database has 180 functions that only a superuser revokes."""


def doctor(
    setup_sql: Annotated[
        str | None, typer.Option(help="Print the script that sets up this connection's database.", metavar="CONNECTION")
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="With --setup-sql: print the script that takes it back.")
    ] = False,
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Prove each connection's set-up: exit code 1 if anything is wrong, 2 if a connection cannot be looked at."""
    from sandbox.deployment import Deployment

    folder = Deployment(deployment)
    if setup_sql is not None:
        _print_script(folder, setup_sql, is_undo=undo, is_json=json)
        return
    if undo:
        raise Misconfigured("--undo goes with --setup-sql CONNECTION")
    from sandbox.doctor.diagnosis import diagnose

    with told_wait(ASKS_SERVERS):
        reports = diagnose(folder)
    if json:
        emit({"ok": _code(reports) is ExitCode.GOOD, "connections": [_as_json(report) for report in reports]})
    else:
        for report in reports:
            _tell(report)
        if not reports:
            sys.stdout.write("no connections\n")
    if _code(reports) is not ExitCode.GOOD:
        stop(_code(reports))


def _print_script(folder: Deployment, connection: str, *, is_undo: bool, is_json: bool) -> None:
    from sandbox.doctor.diagnosis import setup_sql, undo_sql

    if is_undo:
        script = undo_sql(folder, connection)
    else:
        with told_wait(ASKS_SERVERS):
            made = setup_sql(folder, connection)
        script = made.script
        if not made.tools:
            does = "the script makes no views, and drops those of earlier tools"
            warn(f"no tool uses connection `{connection}` yet: {does}")
    if is_json:
        emit({"script": script})
    else:
        sys.stdout.write(script)


def _code(reports: Sequence[Report]) -> ExitCode:
    if any(report.is_wrong for report in reports):
        return ExitCode.REFUSED
    return ExitCode.USAGE if any(report.undecided for report in reports) else ExitCode.GOOD


def _as_json(report: Report) -> JsonObject:
    return {
        "connection": report.connection,
        "engine": report.engine,
        "checks": list(report.checks),
        "undecided": report.undecided or None,
        "findings": [
            {"check": found.check, "level": found.level, "message": found.message, "mend": found.mend}
            for found in report.findings
        ],
    }


def _tell(report: Report) -> None:
    name = f"{report.connection} ({report.engine})"
    if report.undecided:
        sys.stdout.write(wrapped(f"{name}: cannot be looked at: {printable(report.undecided)}") + "\n")
        return
    said = "wrong" if report.is_wrong else "good"
    sys.stdout.write(wrapped(f"{name}: {said}; looked at {', '.join(report.checks)}") + "\n")
    for (check, level), findings in groupby(report.findings, lambda found: (found.check, found.level)):
        told = list(findings)
        shown = MOST_OF_A_KIND if len(told) > MOST_OF_A_KIND + 1 else len(told)
        for found in told[:shown]:
            _tell_finding(found)
        if told[shown:]:
            sys.stdout.write(f"  {level}: and {len(told) - shown} more like it; `--json` lists all [{check}]\n")


def _tell_finding(found: Finding) -> None:
    sys.stdout.write(wrapped(f"  {found.level}: {printable(found.message)} [{found.check}]", 4) + "\n")
    sys.stdout.write(f"    {printable(found.mend)}\n")
