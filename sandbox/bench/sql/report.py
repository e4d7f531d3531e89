"""How is a score told? As Markdown tables, as one JSON object, and as a list of what came through or was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sandbox.bench.sql.harm import CLASSES, EFFECTS
from sandbox.bench.sql.score import Answered, Attacked, Score
from sandbox.values import JsonObject

LAYERS: Final = ("gate", "engine", "both")


def is_good(scores: Sequence[Score]) -> bool:
    """Whether nothing harmful passes both layers and nothing honest is answered differently."""
    return not any(score.came_through or score.changed for score in scores)


def as_json(scores: Sequence[Score]) -> JsonObject:
    """Return everything that was counted, and every attack and honest statement that did not end well."""
    return {"engines": [_engine_json(score) for score in scores]}


def _engine_json(score: Score) -> JsonObject:
    return {
        "engine": score.engine,
        "attacks": len(score.attacks),
        "stopped": {layer: _stopped(score.attacks, layer) for layer in LAYERS},
        "with_effects": sum(each.proven in EFFECTS for each in score.attacks),
        "honest": len(score.honest),
        "permitted": _permitted(score),
        "unchanged": sum(each.is_unchanged for each in score.honest),
        "gate_us": round(score.gate_us, 1),
        "times_parse": round(score.times_parse, 2),
        "classes": [
            {"class": group, "attacks": len(attacks), "stopped": {layer: _stopped(attacks, layer) for layer in LAYERS}}
            for group, attacks in _by_class(score).items()
        ],
        "checkers": [each._asdict() for each in _checked(score)],
        "missed": list(missed([score])),
        "unproven": [case.place for case in score.unproven],
    }


def _stopped(attacks: Sequence[Attacked], layer: str) -> int:
    return sum(getattr(each, layer) is None for each in attacks)


def _permitted(score: Score) -> int:
    return sum(each.is_permitted for each in score.honest)


def _by_class(score: Score) -> dict[str, list[Attacked]]:
    found = {group: [each for each in score.attacks if each.case.group == group] for group in CLASSES}
    return {group: attacks for group, attacks in found.items() if attacks}


class Checked(NamedTuple):
    """What a checker says to the corpus, with no engine behind it."""

    name: str
    stopped: int
    """Attacks."""
    stopped_with_effects: int
    """Of those that do more than read what a rule hides: other checkers know nothing of our rules."""
    permitted: int
    """Honest statements."""


def _checked(score: Score) -> Iterator[Checked]:
    """Yield this gate and each other checker."""
    lets = [(each.proven in EFFECTS, each.gate is not None) for each in score.attacks]
    yield _counted("this gate", lets, _permitted(score))
    for name in score.peers:
        lets = [(each.proven in EFFECTS, name in each.permitted_by) for each in score.attacks]
        yield _counted(name, lets, sum(name in each.permitted_by for each in score.honest))


def _counted(name: str, lets: Sequence[tuple[bool, bool]], permitted: int) -> Checked:
    stopped = [has_effect for has_effect, is_let in lets if not is_let]
    return Checked(name, len(stopped), sum(stopped), permitted)


def as_markdown(scores: Sequence[Score]) -> str:
    """Write the scores as tables: one line an engine, one a class, one a checker."""
    lines = [*_summary(scores), "", *_classes(scores), "", *_checkers(scores)]
    for score in scores:
        if score.unproven:
            places = ", ".join(case.place for case in score.unproven)
            lines += ["", f"Not scored, for {score.engine} was built without what they attack: {places}."]
    return "\n".join(lines) + "\n"


def _summary(scores: Sequence[Score]) -> Iterator[str]:
    heads = ["engine", "attacks", "stopped by the gate alone", "by the engine alone", "by both"]
    heads += ["honest", "permitted", "of those unchanged", "gate, median CPU", "times a bare parse"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for score in scores:
        cells = [score.engine, len(score.attacks), *(_stopped(score.attacks, layer) for layer in LAYERS)]
        cells += [len(score.honest), _permitted(score), sum(each.is_unchanged for each in score.honest)]
        cells += [f"{score.gate_us:.0f} µs", f"{score.times_parse:.1f}"]
        yield f"| {' | '.join(map(str, cells))} |"


def _classes(scores: Sequence[Score]) -> Iterator[str]:
    yield f"| stopped by gate / engine / both | {' | '.join(score.engine for score in scores)} |"
    yield "|---" * (len(scores) + 1) + "|"
    by_class = [_by_class(score) for score in scores]
    for group in CLASSES:
        if any(group in found for found in by_class):
            yield f"| {group} | {' | '.join(_cell(found.get(group, [])) for found in by_class)} |"


def _cell(attacks: Sequence[Attacked]) -> str:
    if not attacks:
        return ""
    return f"{' / '.join(str(_stopped(attacks, layer)) for layer in LAYERS)} of {len(attacks)}"


def _checkers(scores: Sequence[Score]) -> Iterator[str]:
    yield "| checker, without its engine | engine | attacks stopped | of those with effects | honest permitted |"
    yield "|---|---|---|---|---|"
    for score in scores:
        with_effects = sum(each.proven in EFFECTS for each in score.attacks)
        for each in _checked(score):
            counts = f"{each.stopped} of {len(score.attacks)} | {each.stopped_with_effects} of {with_effects}"
            yield f"| {each.name} | {score.engine} | {counts} | {each.permitted} of {len(score.honest)} |"


def missed(scores: Sequence[Score]) -> Iterator[str]:
    """Yield a line for each attack that a layer let through, and each honest statement refused or changed."""
    for score in scores:
        for attacked in score.attacks:
            layers = [f"{harm} through {layer}" for layer in LAYERS if (harm := getattr(attacked, layer)) is not None]
            if layers:
                yield _line(score, attacked, ", ".join(layers), attacked.rule)
        for answered in score.honest:
            if not answered.is_unchanged:
                what = "answered differently" if answered.is_permitted else "refused"
                yield _line(score, answered, what, answered.rule)


def _line(score: Score, each: Attacked | Answered, what: str, rule: str) -> str:
    by = f" ({rule})" if rule else ""
    return f"{each.case.place} {score.engine} {each.case.group}: {what}{by}: {each.case.sql!r}"
