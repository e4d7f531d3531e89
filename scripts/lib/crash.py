"""SIGKILL the service under a mixed load, start it again, and compare callers, target and log; again and again.

Readers ask SQL, writers ask an HTTP tool with effects (with a request_id, which they ask again in the next life, and
without) that leads to a server which counts. Every other life has several workers, which are killed with their parent.
After every kill each receipt that a caller holds is in the log, each effect has its durable intent and took place once,
no caller was told of an effect that the target did not see, `sandbox log open` names every call whose end was lost, the
next start closes each of them as an orphan and tells of it in an event, and the log audits clean.
Prints one line a kill; exit code 1 at the first that does not hold. `--json` prints one object at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

from counting import WRITE_TOOL, Counted, counting
from held import UNHEARD, Judgement, Ledger, LogRead, compare, effect_of, judge, open_calls, watched
from served import Served, serving

from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.bench.deployment import BENCH_TOOL, make_bench_deployment
from sandbox.client import Client, ClientError, Pending, Unavailable
from sandbox.deployment import Deployment

READERS: Final = 4
WRITERS: Final = 3
"""Of each kind: with a `request_id` and without."""
EXAMPLES_TOLD: Final = 5
ORPHANED: Final = "an intent's process is gone, effect unknown"


Asking = Callable[["Run", Client, int], None]


@final
@dataclass
class Run:
    """Everything that outlives a life."""

    deployment: Deployment
    counted: Counted
    ledger: Ledger = field(default_factory=Ledger)
    numbers: Iterator[int] = field(default_factory=count)
    named: int = 0
    """Calls that `sandbox log open` has named."""
    left_open: set[str] = field(default_factory=set)
    """Those of the last life."""

    def __post_init__(self) -> None:
        """Begin to read the log."""
        self.read = LogRead(self.deployment)


def main() -> int:
    """Run the kills asked for."""
    options = _options()
    moments = random.Random(options.seed)  # noqa: S311 - moments, not secrets
    with TemporaryDirectory(prefix="sandbox-crash-") as folder:
        deployment = Deployment(Path(folder) / "deployment")
        make_bench_deployment(deployment.root)
        with counting(deployment) as counted:
            run = Run(deployment, counted)
            for number in range(1, options.kills + 1):
                workers = 1 if number % 2 else options.workers
                _live(run, workers, Path(folder) / "events", kill_after_s=moments.uniform(0.05, 1.0))
                lost = _lost_after_kill(run)
                _tell(run, number, workers)
                if any(lost.values()):
                    return _ended(run, options, lost)
            _live(run, 1, Path(folder) / "events", kill_after_s=None)
            run.ledger.wrong += [f"nothing is proven: no {each}" for each in _missing(run)]
            judgement = judge(deployment, run.read, run.ledger, counted.times())
    return _ended(run, options, judgement.lost, judgement)


def _missing(run: Run) -> Iterator[str]:
    """Yield what did not happen, without which nothing lost says nothing."""
    if not run.ledger.receipts:
        yield "receipt"
    if not run.counted.times():
        yield "effect"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/crash-test", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=25, help="how often the service dies (default: 25)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which it dies (default: 1)")
    parser.add_argument("--workers", type=int, default=2, help="in every other life (default: 2)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def _live(run: Run, workers: int, place: Path, kill_after_s: float | None) -> None:
    """Serve under load until killed; without a moment to be killed at, serve what was left unheard and end well."""
    with place.open("w", encoding="utf-8") as events, serving(run.deployment, workers, events) as service:
        named = {each["call_id"] for each in _told(place) if each.get("event") == ORPHANED}
        if named != run.left_open:
            run.ledger.wrong.append(
                f"calls left open: {sorted(run.left_open)}; named at the next start: {sorted(named)}"
            )
        _ask_again(run, service)
        if kill_after_s is None:
            service.end()
            return
        asking = [_read] * READERS + [_write, _write_once] * WRITERS
        threads = [watched(run.ledger, ask.__name__, partial(_until_it_dies, run, service, ask)) for ask in asking]
        for thread in threads:
            thread.start()
        killing = threading.Timer(kill_after_s, service.kill)
        killing.start()
        for thread in (*threads, killing):
            thread.join()


def _told(events: Path) -> Iterator[Mapping[str, str]]:
    for line in events.read_text("utf-8").splitlines():
        with suppress(json.JSONDecodeError):
            yield json.loads(line)


def _ask_again(run: Run, service: Served) -> None:
    """Ask every write under a `request_id` that nobody heard of again: it is told, and does not run twice."""
    unheard = [key for key, told in run.ledger.told.items() if told == UNHEARD and key.startswith("w")]
    with Client.from_deployment(run.deployment.root, "agent", service.address) as client:
        for key in unheard:
            answer = client.call(WRITE_TOOL, {"key": key}, request_id=key)
            run.ledger.take("write, asked again", answer)
            run.ledger.told[key] = effect_of(answer)
            if isinstance(answer, Pending):
                run.ledger.wrong.append(f"{key}: still pending, and nobody works on it")


def _until_it_dies(run: Run, service: Served, ask: Asking) -> None:
    with Client.from_deployment(run.deployment.root, "agent", service.address) as client:
        while True:
            try:
                ask(run, client, next(run.numbers))
            except Unavailable:
                return
            except ClientError as error:
                run.ledger.wrong.append(f"{type(error).__name__}: {error}")
                return


def _read(run: Run, client: Client, number: int) -> None:
    run.ledger.take("read", client.call(BENCH_TOOL, {"id": number % 9 + 1}, timeout_s=10))


def _write(run: Run, client: Client, number: int) -> None:
    _written(run, client, f"w{number}", request_id=f"w{number}")


def _write_once(run: Run, client: Client, number: int) -> None:
    _written(run, client, f"o{number}", request_id="")


def _written(run: Run, client: Client, key: str, request_id: str) -> None:
    run.ledger.told[key] = UNHEARD
    answer = client.call(WRITE_TOOL, {"key": key}, request_id=request_id, timeout_s=10)
    run.ledger.take("write", answer)
    run.ledger.told[key] = effect_of(answer)


def _lost_after_kill(run: Run) -> dict[str, tuple[str, ...]]:
    """Return what is lost now that everybody is dead."""
    run.read.read_on()
    named, run.left_open = set(open_calls(run.deployment)), set(run.read.open.values())
    run.named += len(named)
    if named != run.left_open:
        run.ledger.wrong.append(f"`log open` names {sorted(named)}; open are {sorted(run.left_open)}")
    try:
        audit_log(run.deployment.log_database, (run.deployment.keys / "log.vkey").read_text("utf-8"))
    except LogInvalid as invalid:
        run.ledger.wrong.append(f"the log does not audit clean: {invalid}")
    return compare(run.read, run.ledger, run.counted.times())


def _tell(run: Run, number: int, workers: int) -> None:
    sys.stderr.write(
        f"kill {number}: {workers} {'process' if workers == 1 else 'workers'}, {run.ledger.calls()} answers so far, "
        f"{len(run.counted.times())} effects, {len(run.left_open)} calls left open, {len(run.read.digests)} records\n"
    )
    sys.stderr.flush()


def _ended(
    run: Run, options: argparse.Namespace, lost: Mapping[str, tuple[str, ...]], judgement: Judgement | None = None
) -> int:
    times = run.counted.times()
    found = {
        "kills": options.kills,
        "answers": run.ledger.calls(),
        "receipts": len(run.ledger.receipts),
        "records": len(run.read.digests),
        "effects": sum(times.values()),
        "intents": run.read.intents,
        "left_open": run.named,
        "orphans": len(run.read.orphans),
        "lost": {what: len(each) for what, each in lost.items()},
    }
    is_held = judgement is not None and not judgement.count_lost() and run.named == len(run.read.orphans)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for what, each in lost.items():
            if each:
                print(f"{what}: {', '.join(each[:EXAMPLES_TOLD])}")
        print(
            f"{options.kills} kills, {found['receipts']} receipts and {found['effects']} effects: "
            f"{sum(map(len, lost.values()))} lost; {run.named} calls left open, {found['orphans']} named as orphans, "
            f"{'every audit clean' if is_held else 'NOT held'}"
        )
    return int(not is_held)


if __name__ == "__main__":
    sys.exit(main())
