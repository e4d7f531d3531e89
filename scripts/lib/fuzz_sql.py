"""Make up SQL, hand it to the read gate, and let the engine judge what the gate permits.

Half the texts are of a grammar, a quarter are lines of the bench's corpus with tokens changed, and a quarter are grown
from texts that took a way through the gate that none took before. Whatever is permitted runs on two databases that
differ in nothing but what is hidden: their answers must be the same, on the bare engine, and through the executor. It
must leave both unchanged, and show no canary. What does not hold is shrunk, told, and kept in `fuzz-crashes/`, and the
exit code is 1. A statement that the executor refuses though the gate permits it (`stale`) is kept too, and no harm.

A case of grammar or corpus is the same for the same `--seed` and number.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Final

from fuzz_sql_engines import ENGINES, Engine
from fuzz_sql_run import KEPT, STALE, Found, Fuzzer, Order, Row

if TYPE_CHECKING:
    Told = tuple[int, Row | Found | str]
    Channel = multiprocessing.Queue[Told]

PROGRESS_S: Final = 10.0


@contextmanager
def administrator(engine: Engine) -> Iterator[str]:
    """Start a server for the run where the engine needs one; returns its superuser's dsn."""
    sys.path.append(str(Path(__file__).parents[2] / "tests" / "engines"))
    match engine.server:
        case "postgres":
            servers = import_module("postgres_server")
            with servers.running(servers.PYPI, 18) as server:
                yield f"postgresql://{servers.OWNER}:{server.password}@/postgres?host={server.folder}"
        case "mysql":
            with import_module("mariadb_server").running() as server:
                yield server.url("information_schema")
        case _:
            yield ""


def work(at: int, order: Order, trail: Path, channel: Channel) -> None:
    """Fuzz in a process of its own; `trail` holds the text at hand, for the case that the process dies of it."""
    with ExitStack() as stack:
        engine = ENGINES[order.engine]
        pair = stack.enter_context(engine.pair(stack.enter_context(administrator(engine))))
        file = stack.enter_context(trail.open("wb", buffering=0))

        def about_to(text: str) -> None:
            os.ftruncate(file.fileno(), 0)
            os.pwrite(file.fileno(), text.encode("utf-8", "surrogatepass"), 0)

        fuzzer = Fuzzer(order, engine, pair, lambda found: channel.put((at, found)))
        for row in fuzzer.run(about_to):
            channel.put((at, row))


def keep(found: Found) -> Path:
    """Write a finding to a file of its own."""
    KEPT.mkdir(exist_ok=True)
    number = sum(1 for _ in KEPT.glob(f"sql-{found.engine}-*.json")) + 1
    path = KEPT / f"sql-{found.engine}-{number}.json"
    path.write_text(json.dumps(asdict(found), indent=1) + "\n", "utf-8")
    return path


def told(row: Row) -> str:
    """Write what became of the cases in one line."""
    share = 100 * row.permitted / max(row.cases, 1)
    found = ", ".join(f"{number} {kind}" for kind, number in sorted(row.findings.items())) or "nothing found"
    counts = f"{row.cases} cases, {row.cases / max(row.seconds, 0.001):.0f} a second, {share:.0f} % permitted"
    ran = f"{row.answered} answered, {row.confined} confined, {row.undecided} undecided"
    return f"{counts}, {ran}, {row.reached} ways; {found}"


def added(rows: Sequence[Row]) -> Row:
    """Add up what processes did."""
    whole = Row(reached=max((row.reached for row in rows), default=0))
    for row in rows:
        whole.cases += row.cases
        whole.permitted += row.permitted
        whole.answered += row.answered
        whole.confined += row.confined
        whole.undecided += row.undecided
        whole.seconds = max(whole.seconds, row.seconds)
        for name in ("rules", "ways", "findings"):
            counter: Counter[str] = getattr(whole, name)
            counter.update(getattr(row, name))
    return whole


def _as_json(row: Row) -> Mapping[str, object]:
    return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(row).items()}


def is_harm(found: Found) -> bool:
    """Whether it is more than an honest statement that was refused."""
    return found.what != STALE


def fuzz(orders: Sequence[Order], folder: Path) -> tuple[Mapping[str, Row], list[Found]]:
    """Run an order a process; returns a row an engine, and what was found."""
    context = multiprocessing.get_context("spawn")
    channel: Channel = context.Queue()
    trails = [folder / str(at) for at in range(len(orders))]
    processes: list[BaseProcess] = [
        context.Process(target=work, args=(at, order, trails[at], channel)) for at, order in enumerate(orders)
    ]
    for process in processes:
        process.start()
    rows, findings, next_s = dict[int, Row](), list[Found](), monotonic() + PROGRESS_S
    while True:
        is_over = not any(process.is_alive() for process in processes)
        try:
            at, what = channel.get(timeout=0.5)
        except queue.Empty:
            if is_over:
                break
            continue
        if isinstance(what, Row):
            rows[at] = what
        elif isinstance(what, Found):
            _tell(what, findings)
        if monotonic() >= next_s:
            next_s += PROGRESS_S
            for name, row in by_engine(orders, rows).items():
                sys.stderr.write(f"… {name}: {told(row)}\n")
    for order, process, trail in zip(orders, processes, trails, strict=True):
        _note_end(order, process, trail, findings)
    return by_engine(orders, rows), findings


def _note_end(order: Order, process: BaseProcess, trail: Path, findings: list[Found]) -> None:
    process.join()
    if process.exitcode:
        text = trail.read_text("utf-8", "surrogatepass") if trail.exists() else ""
        said = f"the process ended with {process.exitcode}"
        _tell(Found(order.engine, -1, order.seed, "crash", "process", said, text, text), findings)


def by_engine(orders: Sequence[Order], rows: Mapping[int, Row]) -> dict[str, Row]:
    """Add up the rows of each engine."""
    return {
        name: added([row for at, row in rows.items() if orders[at].engine == name])
        for name in dict.fromkeys(order.engine for order in orders)
    }


def _tell(found: Found, findings: list[Found]) -> None:
    findings.append(found)
    sys.stderr.write(
        f"{found.engine}: {found.where} {found.what}: {found.text!r}: {found.said} (kept in {keep(found)})\n"
    )


def main(words: Sequence[str]) -> int:
    """Fuzz; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="for each engine (60)")
    parser.add_argument("--cases", type=int, default=2**62, help="stop after so many in each process")
    parser.add_argument("--engine", choices=list(ENGINES), action="append", help="this one; may be given again (all)")
    parser.add_argument("--seed", type=int, default=1, help="which cases (1)")
    parser.add_argument("--processes", type=int, default=2, help="for each engine (2)")
    parser.add_argument("--json", action="store_true", help="print one object")
    asked = parser.parse_args(words)
    rows, findings = dict[str, Row](), list[Found]()
    with TemporaryDirectory(prefix="sandbox-fuzz-") as folder:
        for name in asked.engine or ENGINES:
            orders = [
                Order(name, asked.seed, at, asked.processes, asked.seconds, asked.cases)
                for at in range(asked.processes)
            ]
            more, found = fuzz(orders, Path(folder))
            rows |= more
            findings += found
    if asked.json:
        whole = {name: _as_json(row) for name, row in rows.items()}
        print(json.dumps({"seed": asked.seed, "engines": whole, "findings": [asdict(each) for each in findings]}))
    else:
        for name, row in rows.items():
            print(f"{name}: {told(row)}")
    return 1 if any(map(is_harm, findings)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
