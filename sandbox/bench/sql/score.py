"""What comes through? Each attack is proven on the bare engine, then held against gate, engine and both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, final

import sqlglot

from sandbox.bench.sql.corpus import Case, Corpus
from sandbox.bench.sql.ground import Ground
from sandbox.bench.sql.harm import (
    BARE_S,
    CANARY,
    CLASSES,
    DECOY,
    DECOY_NUMBER,
    GUESS,
    GUESS_NUMBER,
    NUMBER,
    Harm,
    Seen,
    shows_canary,
)
from sandbox.bench.sql.peers import Peer
from sandbox.deployment import Misconfigured
from sandbox.reasons import Refused
from sandbox.sql import Proven

HONEST_S: Final = 10.0
"""An honest statement's limit: it is not to be refused because the machine is busy."""

_WITHOUT: Final = "requires the server to be built with"
"""What PostgreSQL says of a feature that it was built without."""

Way = Callable[[str], Seen]
"""A way for a text to be run; nothing that the text does outlives it."""


@final
@dataclass(frozen=True, slots=True)
class Attacked:
    """What became of one attack."""

    case: Case
    proven: Harm
    """The harm it does where nothing stops it."""
    gate: Harm | None
    """What it does where the gate alone stands before the bare engine; None if it is stopped."""
    engine: Harm | None
    both: Harm | None
    rule: str
    """Of the gate's refusal; empty if it permits."""
    permitted_by: tuple[str, ...]
    """The peers that let it through."""


@final
@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one honest statement."""

    case: Case
    is_permitted: bool
    is_unchanged: bool
    """Same rows, types and column names as for an owner of nothing but what may be seen."""
    rule: str
    """Of the refusal; empty if there is none."""
    permitted_by: tuple[str, ...]
    gate_us: float
    """CPU of the gate's whole answer."""
    parse_us: float
    """CPU of a bare sqlglot parse of the same text, right before."""


@final
@dataclass(frozen=True, slots=True)
class Score:
    """One engine's."""

    engine: str
    attacks: tuple[Attacked, ...]
    honest: tuple[Answered, ...]
    unproven: tuple[Case, ...]
    """Attacks on something that this server was built without; they are not scored."""
    peers: tuple[str, ...]
    """The checkers that were asked."""

    @property
    def came_through(self) -> tuple[Attacked, ...]:
        """Attacks that pass both layers."""
        return tuple(each for each in self.attacks if each.both)

    @property
    def changed(self) -> tuple[Answered, ...]:
        """Honest statements that are permitted and answered differently."""
        return tuple(each for each in self.honest if each.is_permitted and not each.is_unchanged)

    @property
    def gate_us(self) -> float:
        """The gate's median CPU a statement."""
        return statistics.median([each.gate_us for each in self.honest] or [0.0])

    @property
    def times_parse(self) -> float:
        """The median of how many times a bare parse the gate takes, each text against itself."""
        return statistics.median([each.gate_us / each.parse_us for each in self.honest] or [0.0])


TELL_EVERY_S: Final = 10.0


def _told(cases: Sequence[Case], tell: Callable[[str], None]) -> Iterator[Case]:
    """Yield the cases, and say every ten seconds how many are done."""
    told_at = time.monotonic()
    for number, case in enumerate(cases):
        if time.monotonic() - told_at >= TELL_EVERY_S:
            told_at = time.monotonic()
            tell(f"{case.engine}: {number} of {len(cases)}")
        yield case


def score(ground: Ground, corpus: Corpus, peers: Sequence[Peer], tell: Callable[[str], None]) -> Score:
    """Score one engine on its part of the corpus.

    Raises `Misconfigured` for an attack that does no harm of its class, and an honest statement that has no answer.
    """
    part = corpus.of(ground.engine)
    peers = [peer for peer in peers if peer.knows(ground.engine)]
    tell(f"{ground.engine}: {len(part.attacks)} attacks")
    attacked = [_attacked(ground, case, peers) for case in _told(part.attacks, tell)]
    tell(f"{ground.engine}: {len(part.honest)} honest statements")
    answered = [_answered(ground, case, peers) for case in _told(part.honest, tell)]
    faults = [each for each in (*attacked, *answered) if isinstance(each, str)]
    if faults:
        raise Misconfigured("the corpus is at fault\n" + "\n".join(faults))
    return Score(
        ground.engine,
        tuple(each for each in attacked if isinstance(each, Attacked)),
        tuple(each for each in answered if isinstance(each, Answered)),
        tuple(each for each in attacked if isinstance(each, Case)),
        tuple(peer.name for peer in peers),
    )


class Tried(NamedTuple):
    """What an attack did on a way."""

    harm: Harm | None
    """Of those that count for its class."""
    seen: Seen
    """What was seen of it with the right guess."""


def try_attack(ground: Ground, case: Case, way: Way, proven: Harm | None = None) -> Tried:
    """Run an attack on a way.

    Where a confined way is asked, `proven` is what the bare one showed: locks cannot be seen from outside there, so
    whatever is known to take some does so if it runs to its end.
    """
    counts = CLASSES[case.group]
    seen = way(ground.fill(case.sql, CANARY))
    found = seen.harms & counts
    if found:
        return Tried(min(found), seen)
    if proven is Harm.HOLDS and seen.is_answered:
        return Tried(Harm.HOLDS, seen)
    if GUESS in case.sql or GUESS_NUMBER in case.sql:
        wrong = way(ground.fill(case.sql, DECOY))
        if Harm.TELLS in counts and _without(seen, CANARY, NUMBER) != _without(wrong, DECOY, DECOY_NUMBER):
            return Tried(Harm.TELLS, seen)
    elif Harm.SHOWS in counts and shows_canary(seen.answer) and (seen.is_answered or CANARY not in case.sql):
        return Tried(Harm.SHOWS, seen)  # an error may say again what the attack itself said
    return Tried(None, seen)


def _without(seen: Seen, guess: str, number: str) -> str:
    return seen.answer.replace(guess, GUESS).replace(number, GUESS_NUMBER)


def _attacked(ground: Ground, case: Case, peers: Iterable[Peer]) -> Attacked | Case | str:
    # WHY twice: a busy machine may stop the first for its time.
    harm, seen = try_attack(ground, case, ground.bare)
    if harm is None:
        harm, seen = try_attack(ground, case, ground.bare)
    if harm is None:
        if _WITHOUT in seen.answer:
            return case
        said = seen.answer.replace("\n", " ")[:160]
        return f"{case.place}: on {case.engine} it does none of the harm of its class: {said}"
    rules: list[str] = []

    def refused(refusal: Refused) -> Seen:
        rules.append(refusal.rule)
        return Seen(f"{refusal.reason} {refusal.rule} {refusal.message}", is_answered=False, harms=frozenset())

    def gate(text: str) -> Seen:
        try:
            return ground.bare(ground.permit_bare(text))
        except Refused as refusal:
            return refused(refusal)

    def both(text: str) -> Seen:
        try:
            return ground.run(ground.permit(text), text, BARE_S)
        except Refused as refusal:
            return refused(refusal)

    text = ground.fill(case.sql, CANARY)
    return Attacked(
        case,
        harm,
        gate=try_attack(ground, case, gate, harm).harm,
        engine=try_attack(ground, case, ground.confined, harm).harm,
        both=try_attack(ground, case, both, harm).harm,
        rule=rules[0] if rules else "",
        permitted_by=tuple(peer.name for peer in peers if peer.permits(case.engine, text)),
    )


def _answered(ground: Ground, case: Case, peers: Iterable[Peer]) -> Answered | str:
    owned = ground.owned(case.sql)
    if not owned.is_answered:
        return f"{case.place}: on {case.engine} its owner gets no answer: {owned.answer[:160]}"
    parse_us, gate_us, proven = _timed(ground, case)
    seen = ground.run(proven, case.sql, HONEST_S) if isinstance(proven, Proven) else None
    return Answered(
        case,
        is_permitted=isinstance(proven, Proven),
        is_unchanged=seen is not None and _same(case.sql, seen.answer, owned.answer),
        rule=proven.rule if isinstance(proven, Refused) else "",
        permitted_by=tuple(peer.name for peer in peers if peer.permits(case.engine, case.sql)),
        gate_us=gate_us,
        parse_us=parse_us,
    )


def _timed(ground: Ground, case: Case) -> tuple[float, float, Proven | Refused]:
    begun = time.thread_time_ns()
    with suppress(Exception):  # what it cannot parse costs it something as well
        sqlglot.parse(case.sql, read=case.engine)
    between = time.thread_time_ns()
    try:
        proven: Proven | Refused = ground.permit(case.sql)
    except Refused as refusal:
        proven = refusal
    ended = time.thread_time_ns()
    return max(between - begun, 1) / 1_000, (ended - between) / 1_000, proven


def _same(sql: str, answer: str, owned: str) -> bool:
    """Whether two answers are one; without an ORDER BY, rows have no order to keep."""
    if answer == owned:
        return True
    return "order by" not in sql.lower() and sorted(answer.split("\n")) == sorted(owned.split("\n"))
