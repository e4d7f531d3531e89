"""`sandbox bench …`: figures as ratios against yardsticks measured in the same run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from sandbox.cli.common import ExitCode, JsonOption, check_seconds, emit, stop
from sandbox.deployment import Misconfigured
from sandbox.reasons import quoted
from sandbox.toolspec import SqlEngine
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


def _administrator(variable: str | None, option: str = "--postgres") -> str:
    """Return the dsn that an environment variable holds; empty where none is named."""
    if variable and not os.environ.get(variable):
        raise Misconfigured(f"{option}: the environment variable {quoted(variable)} is not set; a dsn is accepted")
    return os.environ.get(variable or "", "")


_PostgresOption = Annotated[
    str | None,
    typer.Option(
        help="For PostgreSQL: the environment variable with a superuser's dsn, of a server to try things on;"
        " databases and roles are made, and dropped.",
        metavar="VARIABLE",
    ),
]
_MysqlOption = Annotated[
    str | None,
    typer.Option(
        help="For MariaDB: the environment variable with an administrator's dsn, of a server to try things on;"
        " databases and accounts are made, and dropped.",
        metavar="VARIABLE",
    ),
]


@app.command("sql")
def sql(
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="An engine to score, such as sqlite; again for another one. Unless told, those that are ready.",
            metavar="NAME",
        ),
    ] = None,
    postgres: _PostgresOption = None,
    mysql: _MysqlOption = None,
    peers: Annotated[
        Path | None,
        typer.Option(
            help="Score these checkers beside the gate: a file that scripts/bench-peers writes.", metavar="FILE"
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
    from sandbox.bench.sql.peers import peers as started
    from sandbox.bench.sql.report import as_json, as_markdown, is_good, missed

    administrators = _administrators(
        engine, {"postgres": _administrator(postgres), "mysql": _administrator(mysql, "--mysql")}
    )
    with started(peers) as checkers:
        scores = bench_sql(read_corpus(), administrators, checkers, _tell)
    if json:
        emit(as_json(scores))
    else:
        sys.stdout.write(as_markdown(scores))
        if list_missed:
            sys.stdout.write("\n" + "".join(f"{line}\n" for line in missed(scores)))
    if not is_good(scores):
        stop(ExitCode.REFUSED)


def _administrators(named: Sequence[str] | None, given: Mapping[SqlEngine, str]) -> Mapping[SqlEngine, str]:
    """Return the engines to score, those named or all that are ready, each with its administrator's dsn."""
    from sandbox.bench.sql.bench import GROUNDS, SERVERS

    ready: dict[SqlEngine, str] = {each: given.get(each, "") for each in GROUNDS}
    for name in named or ():
        if name not in ready:
            raise Misconfigured(f"--engine: {quoted(name)}; accepted are `{'`, `'.join(ready)}`")
        if name in SERVERS and not given.get(name):
            raise Misconfigured(f"--engine {name} needs --{name}, which names the variable with a dsn")
    wanted = named or [each for each, dsn in ready.items() if dsn or each not in SERVERS]
    return {each: dsn for each, dsn in ready.items() if each in wanted}


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


@app.command("gate")
def gate(
    rounds: Annotated[int, typer.Option(min=10, max=10_000, help="Times each text is taken, 10 to 10000.")] = 300,
    json: JsonOption = False,
) -> None:
    """Compare the CPU of the gate's answer, met first and met again, with a bare parse of the same text."""
    from sandbox.bench.gate import as_json, bench_gate, lines

    figures = list(bench_gate(rounds, _tell))
    if json:
        emit(as_json(figures))
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(figures)))


@app.command("doors")
def doors(
    seconds: Annotated[float, typer.Option(help="Seconds for each of five figures, 0.5 to 3600.")] = 5.0,
    fastmcp: Annotated[
        str, typer.Option(help="A Python that has `fastmcp`, to measure that too.", metavar="PYTHON")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Compare the server's CPU for a governed read through each door with the bare MCP SDK's, which checks nothing."""
    from sandbox.bench.doors import bench_doors, lines

    check_seconds("--seconds", seconds, LEAST_S, MOST_S)
    figures = bench_doors(seconds, _tell, fastmcp)
    if json:
        emit({"doors": [figure._asdict() for figure in figures]})
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(figures)))


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
