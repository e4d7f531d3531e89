"""Is what the gate does with a text right? The engine judges: it runs what is permitted on twins.

Of a text that is permitted, both twins must answer the same, errors too, bare and confined; neither shows a canary, nor
is changed. The gate itself raises nothing but `Refused` and takes 50 ms at most. Where the confined engine disagrees
with the gate and the bare one answers, an honest statement was refused: that is `stale`, no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import Final, final

from fuzz_sql_twins import Answer, Pair

from sandbox.bench.sql.ground import DISAGREES
from sandbox.bench.sql.harm import BARE_S, BOUNDED_S, shows_canary
from sandbox.bench.sql.shop import MAX_ROWS
from sandbox.reasons import Refused
from sandbox.sql import Proven

GATE_S: Final = 0.05
"""CPU that the gate may take for one text."""
_PATIENCE_S: Final = 1.5
"""For a text that is asked again, because one of its answers was that it takes too long."""
_TOO_LONG: Final = ("too long", "too much", "57014", "EXECUTION_TIMED_OUT", "CALL_CANCELLED")
_GUESSES: Final = ("canary", "7319")
"""Of a text that says these itself, the canary in its answer proves nothing; the twins do."""


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be."""

    what: str
    """`tells`, `shows`, `changed`, `holds`, `crash`, `unending`, `raises`, `slow`; `stale` is no harm."""
    where: str
    """`gate`, `bare` or `confined`."""
    said: str


@final
@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one text."""

    is_permitted: bool
    rule: str
    """Of the refusal."""
    is_answered: bool
    """Whether the bare engine ran it to its end."""
    is_undecided: bool
    """Whether the twins differ by chance or by time alone."""
    finding: Finding | None


_Ask = Callable[[float], Sequence[Answer]]


class _Varies(Exception):
    """Answers differ by chance, or by time alone."""


def judge(
    pair: Pair, text: str, gate: Callable[[str], Sequence[Proven]] | None = None, *, is_confined: bool = True
) -> Judged:
    """Take a text through the gate, by `gate` if it is given, and what is permitted to the engine, also confined."""
    begun, rule, proven = thread_time(), "", None
    try:
        proven = (gate or pair.permit)(text)
    except Refused as refused:
        rule = refused.rule
    except Exception as error:  # noqa: BLE001 - that is the finding
        return _found(Finding("raises", "gate", f"{type(error).__name__}: {error}"[:200]))
    # WHY again: a gate that is watched is slower, and no faster, than one that is not.
    if thread_time() - begun > GATE_S and (took := _least_s(pair, text)) > GATE_S:
        return _found(Finding("slow", "gate", f"{took * 1000:.0f} ms"))
    if proven is None:
        return Judged(is_permitted=False, rule=rule, is_answered=False, is_undecided=False, finding=None)
    return _judge_permitted(pair, text, proven, is_confined=is_confined)


def _found(finding: Finding) -> Judged:
    return Judged(is_permitted=True, rule="", is_answered=False, is_undecided=False, finding=finding)


def _least_s(pair: Pair, text: str) -> float:
    """Return the CPU of one proof, the least of three, for a busy machine slows some."""
    least, proofs = float("inf"), 1
    for _ in range(3):
        begun = thread_time()
        try:
            proofs = len({id(each) for each in pair.permit(text)})
        except Refused:
            proofs = 1
        least = min(least, (thread_time() - begun) / proofs)
    return least


def _judge_permitted(pair: Pair, text: str, proven: Sequence[Proven], *, is_confined: bool) -> Judged:
    runs = pair.permit_bare(text, proven)
    is_undecided, is_answered = False, False
    ways: tuple[tuple[str, _Ask], ...] = (
        ("bare", lambda seconds: pair.bare(runs, seconds)),
        ("confined", lambda seconds: pair.confined(proven, text, seconds)),
    )
    for where, ask in ways if is_confined else ways[:1]:
        begun = monotonic()
        answers = ask(BARE_S)
        if monotonic() - begun > 2 * (BARE_S + BOUNDED_S):
            return _found(Finding("unending", where, f"{monotonic() - begun:.1f} s"))
        try:
            # WHY not then: a `*` that stands for fewer columns is cut short by what a tool's tables look like.
            is_whole = where == "confined" or not proven[0].omitted
            finding = (_told(where, ask, answers) or _shown(where, text, answers)) if is_whole else None
            if finding and finding.what == "tells" and all(each.is_answered for each in answers):
                is_undecided = pair.is_by_chance(runs)
                finding = None if is_undecided else finding
        except _Varies:
            finding, is_undecided = None, True
        if finding:
            return _found(finding)
        if where == "bare":
            is_answered = answers[0].is_answered
        elif is_answered and answers[0].text.startswith(DISAGREES):
            return _found(Finding("stale", where, answers[0].text))
    return Judged(is_permitted=True, rule="", is_answered=is_answered, is_undecided=is_undecided, finding=None)


def _told(where: str, ask: _Ask, answers: Sequence[Answer]) -> Finding | None:
    """Return a finding if the twins answer differently each time, and each the same every time."""
    first, second = answers
    if first == second:
        return None
    if all(each.text.count("\n") >= MAX_ROWS for each in answers):
        raise _Varies  # WHY: which rows are left of an answer that is cut is up to a planner that counts hidden rows
    if any(_is_too_long(each) for each in answers):
        first, second = ask(_PATIENCE_S)
        if _is_too_long(first) or _is_too_long(second):
            raise _Varies
    for _ in range(2):
        again = ask(_PATIENCE_S)
        if first == second or tuple(again) != (first, second):
            raise _Varies
    return Finding("tells", where, f"{first.text[:300]!r} against {second.text[:300]!r}")


def _is_too_long(answer: Answer) -> bool:
    return not answer.is_answered and answer.text.startswith(_TOO_LONG)


def _shown(where: str, text: str, answers: Sequence[Answer]) -> Finding | None:
    if any(guess in text.lower() for guess in _GUESSES):
        return None
    shown = next((each for each in answers if shows_canary(each.text)), None)
    return Finding("shows", where, repr(shown.text[:300])) if shown else None
