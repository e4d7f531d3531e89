"""`sandbox bench …`: figures as ratios against yardsticks measured in the same run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

import typer

from sandbox.cli.common import ExitCode, JsonOption, check_seconds, emit, stop
from sandbox.deployment import Misconfigured
from sandbox.reasons import quoted
from sandbox.values import JsonObject

app = typer.Typer(help="Measure, with yardsticks in the same run. Needs no deployment.", no_args_is_help=True)

LEAST_S: Final = 0.5
"""Shorter, and a slice of a figure could be of no call at all."""
MOST_S: Final = 3_600.0

CALL_FIGURES: Final = 24
"""Four, single and streamed, for each number of callers."""
CALL_EXTRA_S: Final = 25.0
"""To start the servers and warm each slice up."""


@app.callback()
def benches() -> None:
    """Measure, with yardsticks in the same run. Needs no deployment."""


@app.command("call")
def call(
    seconds: Annotated[
        float,
        typer.Option(
            help=f"Seconds for each of {CALL_FIGURES} figures, 0.5 to 3600; with 5 the whole takes some"
            f" {round((CALL_FIGURES * 5 + CALL_EXTRA_S) / 60, 1)} minutes."
        ),
    ] = 5.0,
    postgres: Annotated[
        str | None,
        typer.Option(
            help="On PostgreSQL: the environment variable with a superuser's dsn; a database is made, and dropped.",
            metavar="VARIABLE",
        ),
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="On an HTTP service of this machine.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure a governed, logged and sealed point read beside an echo RPC and the bare driver or client.

    On the example shop's SQLite file, unless told otherwise.
    """
    from sandbox.bench.call import bench_call
    from sandbox.bench.grounds import http_ground, postgres_ground, sqlite_ground

    check_seconds("--seconds", seconds, LEAST_S, MOST_S)
    if postgres and http:
        raise Misconfigured("--postgres and --http are two targets; one of them is accepted")
    administrator = _administrator(postgres)
    on = http_ground if http else partial(postgres_ground, administrator=administrator) if postgres else sqlite_ground
    figures = bench_call(seconds, _tell, on)
    if json:
        emit(figures)
        return
    _print(figures)
    _print_ratios(figures)


def _administrator(variable: str | None) -> str:
    """Return the dsn that an environment variable holds; empty where none is named."""
    if variable and not os.environ.get(variable):
        raise Misconfigured(f"--postgres: the environment variable {quoted(variable)} is not set; a dsn is accepted")
    return os.environ.get(variable or "", "")


@app.command("sql")
def sql(
    postgres: Annotated[
        str | None,
        typer.Option(
            help="Score PostgreSQL too: the environment variable with a superuser's dsn, of a server to try things on;"
            " databases and roles are made, and dropped. Else SQLite alone.",
            metavar="VARIABLE",
        ),
    ] = None,
    list_missed: Annotated[
        bool,
        typer.Option("--list-missed", help="Also name each attack that a layer lets through, and what is refused."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Score the gate and the engines on a corpus of attacks and honest statements, beside other checkers.

    Each attack is first proven on the bare engine. Exit code 1 if one passes gate and engine, or an honest statement is
    answered differently than to an owner of what it may see.
    """
    from sandbox.bench.sql.bench import bench_sql
    from sandbox.bench.sql.corpus import read_corpus
    from sandbox.bench.sql.report import as_json, as_markdown, is_good, missed

    administrator = _administrator(postgres)
    scores, absent = bench_sql(
        read_corpus(), ["sqlite", "postgres"] if administrator else ["sqlite"], administrator, _tell
    )
    if json:
        emit(as_json(scores, absent))
    else:
        sys.stdout.write(as_markdown(scores, absent))
        if not administrator:
            sys.stdout.write("\nPostgreSQL is left out: --postgres names the variable with a dsn.\n")
        if list_missed:
            sys.stdout.write("\n" + "".join(f"{line}\n" for line in missed(scores)))
    if not is_good(scores):
        stop(ExitCode.REFUSED)


def _tell(what: str) -> None:
    sys.stderr.write(f"… {what}\n")


def _print(figures: Sequence[JsonObject]) -> None:
    sys.stdout.write(f"{'':<18}{'callers':>8}{'CPU µs/call':>13}{'calls/s':>11}{'p50 ms':>9}{'p99 ms':>9}\n")
    for f in figures:
        sys.stdout.write(
            f"{f['name']!s:<18}{f['concurrency']:>8}{f['cpu_us']:>13}{f['per_s']:>11}{f['p50_ms']:>9}{f['p99_ms']:>9}\n"
        )


def _print_ratios(figures: Sequence[JsonObject]) -> None:
    cpu = {(str(f["name"]), f["concurrency"]): float(str(f["cpu_us"])) for f in figures}
    drivers = {name.removesuffix("-stream") for name, _ in cpu} - {"bare-echo", "echo", "governed"}
    for (name, concurrency), cpu_us in cpu.items():
        if not name.startswith("governed"):
            continue
        echo = cpu[name.replace("governed", "echo"), concurrency]
        both = echo + sum(cpu[name.replace("governed", driver), concurrency] for driver in drivers)
        sys.stdout.write(
            f"{name} at {concurrency}: {cpu_us / echo:.2f} times the CPU of its echo, "
            f"{cpu_us / both:.2f} times echo and {', '.join(drivers)} together\n"
        )


@app.command("memory")
def memory(
    seconds: Annotated[float, typer.Option(help="Seconds of load after 30 of warm-up, 0.5 to 3600.")] = 60.0,
    json: JsonOption = False,
) -> None:
    """Compare the service's memory before and after a minute of load by 64 callers."""
    from sandbox.bench.steady import bench_memory

    check_seconds("--seconds", seconds, LEAST_S, MOST_S)
    _print_facts(bench_memory(seconds, _tell), is_json=json)


@app.command("flood")
def flood(
    seconds: Annotated[
        float, typer.Option(help="Seconds for each of two figures, 0.5 to 3600; the whole takes twice that and some.")
    ] = 10.0,
    json: JsonOption = False,
) -> None:
    """Compare the p99 of hot calls alone and while another caller floods the gate with SQL never met before."""
    from sandbox.bench.steady import bench_flood

    check_seconds("--seconds", seconds, LEAST_S, MOST_S)
    _print_facts(bench_flood(seconds, _tell), is_json=json)


@app.command("workers")
def workers(
    seconds: Annotated[
        float, typer.Option(help="Seconds for each of two services, 0.5 to 3600; the whole takes twice that and some.")
    ] = 10.0,
    workers: Annotated[int, typer.Option(min=2, max=64, help="Workers beside the one process, 2 to 64.")] = 2,
    json: JsonOption = False,
) -> None:
    """Compare the calls that several workers answer with a second of CPU with those of one process."""
    from sandbox.bench.workers import bench_workers

    check_seconds("--seconds", seconds, LEAST_S, MOST_S)
    _print_facts(bench_workers(seconds, workers, _tell), is_json=json)


def _print_facts(facts: JsonObject, *, is_json: bool) -> None:
    if is_json:
        emit(facts)
        return
    for name, value in facts.items():
        sys.stdout.write(f"{name:<22} {value}\n")
