"""How does one process fuzz an engine's gate? Case after case, to the end of its time; what it finds is shrunk."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Final, final
from zlib import crc32

from fuzz_sql_engines import Engine
from fuzz_sql_grammar import Grammar
from fuzz_sql_mutants import decorated, mutant, shrunk
from fuzz_sql_oracle import Finding, Judged, judge
from fuzz_sql_reach import Reach
from fuzz_sql_twins import BATCH, Pair

from sandbox.bench.sql.corpus import read_corpus
from sandbox.bench.sql.harm import CANARY, GUESS
from sandbox.reasons import Refused
from sandbox.sql import Proven

KEPT: Final = Path("fuzz-crashes")
STALE: Final = "stale"
_SHRINK_S: Final = 10.0
_MOST_SHRUNK: Final = 12
"""Of one kind of finding, in one place and with the same words: further ones are only counted."""
_MOST_KEPT: Final = 4_000
"""Texts that reached something new, the latest."""
_CONSTANT: Final = re.compile(r"'[^']*'|[0-9a-f]{8,}|\d+")


@final
@dataclass(frozen=True, slots=True)
class Order:
    """What one process is to do."""

    engine: str
    seed: int
    first: int
    step: int
    """Every so many cases, from the first: processes share the numbers."""
    seconds: float = float("inf")
    cases: int = 2**62
    shrink_s: float = _SHRINK_S


@final
@dataclass
class Row:
    """What became of the cases so far."""

    cases: int = 0
    permitted: int = 0
    answered: int = 0
    confined: int = 0
    """Of the permitted, those that the executor was to run too."""
    undecided: int = 0
    reached: int = 0
    seconds: float = 0.0
    rules: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    """Permitted texts, by how they were made."""
    findings: Counter[str] = field(default_factory=Counter)


@final
@dataclass(frozen=True, slots=True)
class Found:
    """One finding, shrunk."""

    engine: str
    case: int
    seed: int
    what: str
    where: str
    said: str
    text: str
    at_first: str
    """The text before it was shrunk."""


@final
class Fuzzer:
    """Fuzzes one engine's gate in this process."""

    def __init__(self, order: Order, engine: Engine, pair: Pair, tell: Callable[[Found], None]) -> None:
        """Follow an order on a pair of databases; each finding is told as it comes."""
        self.row = Row()
        self._order = order
        self._words = engine.words
        self._confined_every = engine.confined_every
        self._pair = pair
        self._tell = tell
        self._reach = Reach()
        self._seen: Counter[str] = Counter()
        corpus = read_corpus().of(order.engine)
        self._seeds = [case.sql.replace(GUESS, CANARY) for case in (*corpus.honest, *corpus.attacks)]
        self._kept: list[str] = []

    def run(self, about_to: Callable[[str], None] = lambda _: None) -> Iterator[Row]:
        """Try case after case; yields after each batch. `about_to` is told each text before it is tried."""
        begun, batch = monotonic(), dict[str, int]()
        for number in count(self._order.first, self._order.step):
            way, text = self.case(number)
            about_to(text)
            judged = self._judged(text)
            self._count(way, number, text, judged)
            batch[text] = number
            self.row.seconds = monotonic() - begun
            is_over = self.row.seconds > self._order.seconds or self.row.cases >= self._order.cases
            if is_over or len(batch) >= BATCH:
                self._settle(batch)
                batch.clear()
                yield self.row
            if is_over:
                return

    def case(self, number: int) -> tuple[str, str]:
        """Return how a case is made, and its text: of its number alone, but for those grown from what reached far."""
        chance = random.Random(f"{self._order.seed} {self._order.engine} {number}")  # noqa: S311 - to be the same again
        kind = chance.random()
        if kind < 0.45:
            return "grammar", decorated(Grammar(self._words, chance).statement(), self._words, chance)
        if kind < 0.7 or not self._kept:
            return "mutant", mutant(chance.choice(self._seeds), self._seeds, self._words, chance)
        latest = self._kept[-200:] if chance.randrange(2) else self._kept
        others = self._seeds if chance.randrange(2) else self._kept
        return "guided", mutant(chance.choice(latest), others, self._words, chance)

    def _judged(self, text: str) -> Judged:
        before = len(self._reach)

        def gate(text: str) -> Sequence[Proven]:
            with self._reach.watching():
                return self._pair.permit(text)

        judged = judge(self._pair, text, gate, is_confined=self._is_confined(text))
        if len(self._reach) > before:
            self._kept.append(text)
            del self._kept[:-_MOST_KEPT]
        return judged

    def _is_confined(self, text: str) -> bool:
        return crc32(text.encode("utf-8", "surrogatepass")) % self._confined_every == 0

    def _count(self, way: str, number: int, text: str, judged: Judged) -> None:
        row = self.row
        row.cases += 1
        row.reached = len(self._reach)
        if judged.rule:
            row.rules[judged.rule] += 1
        else:
            row.permitted += 1
            row.ways[way] += 1
            row.answered += judged.is_answered
            row.confined += self._is_confined(text)
            row.undecided += judged.is_undecided
        if judged.finding:
            self._note(number, text, judged.finding, lambda less: judge(self._pair, less).finding)

    def _settle(self, batch: dict[str, int]) -> None:
        for text, what in self._pair.settle():
            self._note(batch.get(text, -1), text, Finding(what, "engine", ""), self._blame)

    def _blame(self, text: str) -> Finding | None:
        with suppress(Refused):
            judge(self._pair, text)
        blamed = self._pair.settle()
        return Finding(blamed[0].harm, "engine", "") if blamed else None

    def _note(self, number: int, text: str, finding: Finding, again: Callable[[str], Finding | None]) -> None:
        kind = f"{finding.where} {finding.what}"

        def still(less: str) -> bool:
            found = again(less)
            return found is not None and (found.what, found.where) == (finding.what, finding.where)

        if not still(text):
            self.row.undecided += 1
            return
        self.row.findings[kind] += 1
        said = f"{kind} {_CONSTANT.sub('', finding.said) if finding.what == STALE else ''}"
        self._seen[said] += 1
        if self._seen[said] > _MOST_SHRUNK:
            return
        least = shrunk(text, still, self._order.shrink_s)
        skeleton = kind + _CONSTANT.sub("", least.lower())
        self._seen[skeleton] += 1
        if self._seen[skeleton] == 1:
            order = self._order
            self._tell(Found(order.engine, number, order.seed, finding.what, finding.where, finding.said, least, text))
