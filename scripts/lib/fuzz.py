"""Hand broken bytes to everything that reads bytes from outside, and count what becomes of them.

Each target is a function of the service or its tools that takes bytes as they come: arguments, SQL, specs, settings,
connections, policies, tokens, certificates, receipts, keys, and requests on the wire of a running service. Seeds are
good inputs; a case is a seed that was cut, spliced with another, repeated, or had bits, bytes, words and numbers
changed. A case ends in an answer or in the refusal that the target names; anything else is a crash: it is told, kept in
`fuzz-crashes/`, and the exit code is 1. So is a case that takes longer than two seconds.

Cases are the same for the same `--seed`.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fuzz_targets import Target, targets

MOST_S: Final = 2.0
KEPT: Final = Path("fuzz-crashes")
WORDS: Final = (
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\n", b"\r", b"'", b'"', b"`", b"\\", b"--", b"/*"),
    *(b"(" * 200, b"[" * 10_000, b'{"a":' * 500, b"SELECT ", b"CASE ", b"NOT " * 300, b"- " * 300, b"WITH x AS ("),
    *(b"NaN", b"1e999", b"-0", b"9223372036854775808", b"18446744073709551616", b"0x", b"null", b"&a *a"),
    *(b"eyJ", b".", b"=", b"-----BEGIN CERTIFICATE-----", b"\xe2\x80\x94 ", b"+", b"\xf4\x90\x80\x80"),
)  # fmt: skip


@dataclass
class Row:
    """What became of a target's cases."""

    cases: int = 0
    answered: int = 0
    refused: int = 0
    crashes: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    kinds: set[str] = field(default_factory=set)
    """Of crashes: each is told once."""


def mutants(seeds: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Yield broken seeds without end."""
    while True:
        case = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            _change(case, seeds, chance)
        yield bytes(case)


def _change(case: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randint(0, len(case))
    match chance.randrange(8):
        case 0 if case:
            case[at % len(case)] ^= 1 << chance.randrange(8)
        case 1 if case:
            case[at % len(case)] = chance.randrange(256)
        case 2:
            del case[at : at + chance.choice((1, 1, 4, 64, len(case)))]
        case 3:
            case[at:at] = chance.choice(WORDS)
        case 4:
            other = chance.choice(seeds)
            begin = chance.randint(0, len(other))
            case[at:] = other[begin:]
        case 5:
            end = min(len(case), at + chance.randint(1, 40))
            case[at:at] = case[at:end] * chance.choice((1, 2, 50))
        case 6:
            case[at:at] = chance.randbytes(chance.choice((1, 4, 32)))
        case _:
            end = min(len(case), at + chance.randint(1, 12))
            case[at:end] = chance.choice(WORDS)


def run(target: Target, cases: int, seed: int, row: Row, tell: Callable[[str], None]) -> None:
    """Try so many cases on one target."""
    chance = random.Random(f"{seed} {target.name}")  # noqa: S311 - to be the same again, not to be secret
    for case in mutants(target.seeds, chance):
        begun = time.perf_counter()
        crash = ""
        try:
            target.take(case)
            row.answered += 1
        except target.refusals:
            row.refused += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            crash = f"{type(error).__name__}: {str(error)[:200]}"
        took_s = time.perf_counter() - begun
        row.seconds += took_s
        row.slowest_s = max(row.slowest_s, took_s)
        if took_s > MOST_S:
            crash = crash or f"took {took_s:.1f} s"
        if crash:
            _note_crash(target, case, crash, row, tell)
        row.cases += 1
        if row.cases >= cases:
            return


def _note_crash(target: Target, case: bytes, crash: str, row: Row, tell: Callable[[str], None]) -> None:
    row.crashes += 1
    kind = crash.split(":", maxsplit=1)[0]
    if kind in row.kinds:
        return
    row.kinds.add(kind)
    KEPT.mkdir(exist_ok=True)
    kept = KEPT / f"{target.name}-{len(row.kinds)}.bin"
    kept.write_bytes(case)
    tell(f"{target.name}: {crash} (kept in {kept})")


@contextmanager
def _ground() -> Iterator[Sequence[Target]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sandbox-fuzz-")))
        yield targets(folder, stack)


def _resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(words: Sequence[str]) -> int:
    """Fuzz; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=1_000_000, help="in all, over all targets by weight (1000000)")
    parser.add_argument("--seed", type=int, default=1, help="which cases (1)")
    parser.add_argument("--only", default="", metavar="TARGET", help="one target alone")
    asked = parser.parse_args(words)

    def tell(what: str) -> None:
        sys.stderr.write(f"{what}\n")

    with _ground() as ground:
        chosen = [target for target in ground if asked.only in {"", target.name}]
        if not chosen:
            parser.error(f"--only {asked.only}: there are {', '.join(target.name for target in ground)}")
        weights = sum(target.weight for target in chosen)
        rows: dict[str, Row] = {}
        begun_mib = _resident_mib()
        for target in chosen:
            row = rows[target.name] = Row()
            cases = max(1, round(asked.cases * target.weight / weights))
            tell(f"… {target.name}: {cases} cases")
            run(target, cases, asked.seed, row, tell)
        grown_mib = _resident_mib() - begun_mib
    sys.stdout.write(f"seed {asked.seed}\n")
    sys.stdout.write(f"{'':<14}{'cases':>9}{'answered':>10}{'refused':>9}{'crashes':>9}{'µs each':>9}{'most ms':>9}\n")
    for name, row in rows.items():
        each, most = row.seconds / row.cases * 1e6, row.slowest_s * 1e3
        counts = f"{row.cases:>9}{row.answered:>10}{row.refused:>9}{row.crashes:>9}"
        sys.stdout.write(f"{name:<14}{counts}{each:>9.0f}{most:>9.1f}\n")
    crashes = sum(row.crashes for row in rows.values())
    cases = sum(row.cases for row in rows.values())
    sys.stdout.write(f"{cases} cases, {crashes} crashes; memory grew by {grown_mib:.0f} MiB\n")
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
