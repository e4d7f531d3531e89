"""Serve mixed calls for an hour while workers are killed, specs reloaded, tokens revoked and the log archived.

A deployment of `sandbox serve --workers 3` answers about 130 calls a second: SQL of authors and models on SQLite and
PostgreSQL, refusals, HTTP reads and writes (with a request_id, some from two connections at one moment, and without)
against a server that counts, and a stream. In turns the log is audited from the checkpoint that the last audit
remembered, and archived, relieved of the archive's payloads, and the archive audited. Is anything lost? The bar:
nothing is; and the memory of all processes (just before a kill, when each worker is as old as at the kill before), and
that of the one worker that is never killed, each grow by at most 5 % after the first five minutes. A run in which
nothing was killed, written, audited or archived, or a kind of call not answered, holds no bar. Exit code 1 if it is not
held. `--json` prints one object, not the tables.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final, final

from counting import counting
from held import Judgement, Ledger, LogRead, judge
from served import serving
from soak_lanes import Callers
from soak_tools import ledger, make_deployment
from soak_troubles import Sample, Troubles

WORKERS: Final = 3
"""One is never killed; two are, in turns, so that each lives for a minute and is started again at once."""
MAX_GROWTH_PERCENT: Final = 5.0
AT_EACH_END: Final = 3
"""Samples whose median is taken for the memory at the beginning, and at the end."""
EXAMPLES_TOLD: Final = 5
FIGURES: Final = (
    *("minutes", "calls", "records", "receipts", "effects", "intents", "orphans", "kills", "reloads"),
    *("refused_reloads", "revocations", "audits", "archives", "lost", "whole_growth_percent", "kept_growth_percent"),
)
"""Of what was found, those that the table shows."""


@final
@dataclass(frozen=True, slots=True)
class Growth:
    """How much memory grew after the warm-up, in percent; None if the run was too short to tell."""

    whole_percent: float | None
    kept_percent: float | None

    def is_held(self) -> bool:
        """Whether the bar is held, as far as it can be told."""
        return all(grew is None or grew <= MAX_GROWTH_PERCENT for grew in (self.whole_percent, self.kept_percent))


def main() -> int:
    """Run the soak and judge it."""
    options = _options()
    with TemporaryDirectory(prefix="sandbox-soak-") as folder, ExitStack() as stack:
        deployment = make_deployment(Path(folder) / "deployment")
        counted = stack.enter_context(counting(deployment))
        if not options.without_postgres:
            stack.enter_context(ledger(deployment))
        events = stack.enter_context((Path(folder) / "events").open("w", encoding="utf-8"))
        service = stack.enter_context(serving(deployment, WORKERS, events))
        callers = Callers(deployment, service.address, Ledger(), has_postgres=not options.without_postgres)
        read = LogRead(deployment)
        troubles = Troubles(service, callers, options.kill_every, options.archive_every, read)
        _live(callers, troubles, options.minutes * 60)
        service.end()
        with serving(deployment, 1, events) as last:  # what the last kill left open, this start closes
            last.end()
        growth = _growth(troubles.samples, options.warm_up * 60)
        missing = _missing(troubles, counted.times(), growth, has_warmed_up=options.minutes > options.warm_up)
        callers.ledger.wrong += [f"nothing is proven: {each}" for each in missing]
        _tell("comparing what callers hold with the log")
        judgement = judge(deployment, read, callers.ledger, counted.times())
    found = _found(troubles, judgement, growth, options.minutes)
    print(json.dumps(found, indent=2) if options.json else _page(troubles, found, judgement))
    return int(judgement.count_lost() > 0 or not growth.is_held())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--warm-up", type=float, default=5.0, help="minutes before memory is compared (default: 5)")
    parser.add_argument("--kill-every", type=float, default=31.0, help="seconds between two kills (default: 31)")
    parser.add_argument(
        "--archive-every", type=float, default=150.0, help="seconds between an audit and an archiving (default: 150)"
    )
    parser.add_argument("--without-postgres", action="store_true", help="leave PostgreSQL's calls out")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def _live(callers: Callers, troubles: Troubles, seconds: float) -> None:
    threads = [*callers.threads(), *troubles.threads()]
    for thread in threads:
        thread.start()
    end_at, told = monotonic() + seconds, 0
    try:
        while (left := end_at - monotonic()) > 0 and not callers.ending.wait(min(left, 60.0)):
            told += 1
            _tell(
                f"{told} min: {callers.ledger.calls()} calls, {troubles.kills} kills, {troubles.reloads} reloads, "
                f"{troubles.revocations} revocations, {len(callers.ledger.wrong)} wrong"
            )
    finally:
        callers.ending.set()
        for thread in threads:
            thread.join()


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _missing(troubles: Troubles, effects: Mapping[str, int], growth: Growth, *, has_warmed_up: bool) -> Iterator[str]:
    """Yield what did not happen, without which nothing lost says nothing."""
    if not troubles.kills:
        yield "no worker was killed"
    if not effects:
        yield "no effect took place"
    if not (troubles.audits and troubles.archives):
        yield "the log was not audited and archived while it was served"
    for lane in troubles.callers.unanswered():
        yield f"no call was answered: {lane}"
    if has_warmed_up and None in {growth.whole_percent, growth.kept_percent}:
        yield f"memory was measured less than {2 * AT_EACH_END} times after the warm-up; let it run longer"


def _growth(samples: Sequence[Sample], warm_up_s: float) -> Growth:
    judged = [sample for sample in samples if sample.at_s >= warm_up_s]
    if len(judged) < 2 * AT_EACH_END:
        return Growth(None, None)
    first, last = judged[:AT_EACH_END], judged[-AT_EACH_END:]

    def grown(of: Callable[[Sample], float]) -> float:
        return round((statistics.median(map(of, last)) / statistics.median(map(of, first)) - 1) * 100, 2)

    return Growth(grown(lambda sample: sample.whole_mib), grown(lambda sample: sample.kept_mib))


def _found(troubles: Troubles, judgement: Judgement, growth: Growth, minutes: float) -> dict[str, object]:
    book = troubles.callers.ledger
    return {
        "minutes": minutes,
        "workers": WORKERS,
        "calls": book.calls(),
        "records": judgement.records,
        "receipts": judgement.receipts,
        "effects": judgement.effects,
        "intents": judgement.intents,
        "orphans": judgement.orphans,
        "kills": troubles.kills,
        "reloads": troubles.reloads,
        "refused_reloads": troubles.refused_reloads,
        "revocations": troubles.revocations,
        "audits": troubles.audits,
        "archives": troubles.archives,
        "lost": judgement.count_lost(),
        "lost_by_kind": {what: len(each) for what, each in judgement.lost.items()},
        "whole_growth_percent": growth.whole_percent,
        "kept_growth_percent": growth.kept_percent,
        "outcomes": {f"{kind}: {ended}": count for (kind, ended), count in sorted(book.outcomes.items())},
        "samples": [asdict(sample) for sample in troubles.samples],
    }


def _page(troubles: Troubles, found: Mapping[str, object], judgement: Judgement) -> str:
    """Return the result as Markdown."""
    lines = ["| figure | |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {_shown(found[name])} |" for name in FIGURES]
    lines += ["", "| minute | calls | kills | parent MiB | kept worker MiB | killed workers MiB | all MiB |"]
    lines += ["|---|---|---|---|---|---|---|"]
    lines += [_row(sample) for sample in _each_minute(troubles.samples)]
    lost = [f"{what}: {', '.join(each[:EXAMPLES_TOLD])}" for what, each in judgement.lost.items() if each]
    return "\n".join([*lines, "", *lost]).rstrip()


def _shown(value: object) -> str:
    return "not told by so short a run" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _each_minute(samples: Sequence[Sample]) -> list[Sample]:
    """Return the first sample of each minute."""
    return list({int(sample.at_s // 60): sample for sample in reversed(samples)}.values())[::-1]


def _row(sample: Sample) -> str:
    memory = (sample.parent_mib, sample.kept_mib, sample.others_mib, sample.whole_mib)
    cells = [f"{sample.at_s / 60:.1f}", f"{sample.calls:,}", str(sample.kills), *(f"{each:.1f}" for each in memory)]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
