"""What of `sandbox bench sql --json` does a page show? Two tables between two marks; the rest of the page stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

BEGIN: Final = "<!-- bench sql: written by scripts/bench-sql-table -->\n"
END: Final = "<!-- bench sql: end -->\n"
NAMES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL", "duckdb": "DuckDB", "mysql": "MariaDB"}


class Stopped(msgspec.Struct):
    """Attacks, by layer."""

    gate: int
    engine: int
    both: int


class Checker(msgspec.Struct):
    """One checker's counts on one engine."""

    name: str
    stopped: int
    stopped_with_effects: int
    permitted: int


class Engine(msgspec.Struct):
    """One engine's counts."""

    engine: str
    attacks: int
    stopped: Stopped
    with_effects: int
    honest: int
    permitted: int
    unchanged: int
    checkers: list[Checker]
    unproven: list[str]


class Found(msgspec.Struct):
    """What the bench says, as far as it is shown."""

    engines: list[Engine]


def table(found: Found) -> str:
    """Write the tables: a line an engine, and a line a checker and engine."""
    lines = [*_engines(found), "", *_checkers(found)]
    return "\n".join(lines) + "\n"


def _engines(found: Found) -> Iterator[str]:
    heads = ["engine", "attacks", "not scored", "stopped by the gate alone", "by the engine alone", "by both"]
    heads += ["honest", "permitted", "of those unchanged"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for each in found.engines:
        cells = [each.attacks, len(each.unproven), each.stopped.gate, each.stopped.engine, each.stopped.both]
        cells += [each.honest, each.permitted, each.unchanged]
        yield f"| {NAMES[each.engine]} | {' | '.join(map(str, cells))} |"


def _checkers(found: Found) -> Iterator[str]:
    yield "| checker, without its engine | engine | attacks stopped | of those with effects | honest permitted |"
    yield "|---|---|---|---|---|"
    for each in found.engines:
        for checker in each.checkers:
            stopped = f"{checker.stopped} of {each.attacks} | {checker.stopped_with_effects} of {each.with_effects}"
            yield f"| {checker.name} | {NAMES[each.engine]} | {stopped} | {checker.permitted} of {each.honest} |"


def main(page: Path, told: bytes) -> None:
    """Put what the bench told between the marks of a page."""
    text = page.read_text("utf-8")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    shown = table(msgspec.json.decode(told, type=Found))
    page.write_text(f"{text[:before]}\n{shown}\n{text[after:]}", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.buffer.read())
