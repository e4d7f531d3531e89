"""How is a score told? As Markdown tables, as one JSON object, and as a list of what came through or was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sandbox.bench.sql.harm import CLASSES
from sandbox.bench.sql.score import Answered, Attacked, Score
from sandbox.values import JsonObject, JsonValue

LAYERS: Final = ("gate", "engine", "both")


def as_json(scores: Sequence[Score], absent_peers: Sequence[str]) -> JsonObject:
    """Return everything that was counted, and every attack and honest statement that did not end well."""
    return {"engines": [_engine_json(score) for score in scores], "peers_not_installed": list(absent_peers)}


def is_good(scores: Sequence[Score]) -> bool:
    """Whether nothing harmful passes both layers and nothing honest is answered differently."""
    return not any(score.came_through or score.changed for score in scores)


def _engine_json(score: Score) -> JsonObject:
    names = _peers(score)
    return {
        "engine": score.engine,
        "attacks": len(score.attacks),
        "stopped": {layer: sum(_stops(each, layer) for each in score.attacks) for layer in LAYERS},
        "honest": len(score.honest),
        "permitted": sum(each.is_permitted for each in score.honest),
        "unchanged": sum(each.is_unchanged for each in score.honest),
        "gate_us": round(score.gate_us, 1),
        "times_parse": round(score.times_parse, 2),
        "classes": [_class_json(group, attacks) for group, attacks in _by_class(score)],
        "peers": {
            name: {
                "stopped": sum(name not in each.permitted_by for each in score.attacks),
                "permitted": sum(name in each.permitted_by for each in score.honest),
            }
            for name in names
        },
        "missed": list(_missed_json(score)),
        "unproven": [case.place for case in score.unproven],
    }


def _class_json(group: str, attacks: Sequence[Attacked]) -> JsonObject:
    found: dict[str, JsonValue] = {"class": group, "attacks": len(attacks)}
    return found | {layer: sum(_stops(each, layer) for each in attacks) for layer in LAYERS}


def _missed_json(score: Score) -> Iterator[JsonObject]:
    for attacked in score.attacks:
        for layer in LAYERS:
            harm = getattr(attacked, layer)
            if harm is not None:
                yield {"place": attacked.case.place, "what": f"{harm} through {layer}", "class": attacked.case.group}
    for answered in score.honest:
        if not answered.is_unchanged:
            what = "answered differently" if answered.is_permitted else f"refused by {answered.rule}"
            yield {"place": answered.case.place, "what": what, "class": answered.case.group}


def _stops(attacked: Attacked, layer: str) -> bool:
    return getattr(attacked, layer) is None


def _by_class(score: Score) -> Iterator[tuple[str, list[Attacked]]]:
    for group in CLASSES:
        attacks = [each for each in score.attacks if each.case.group == group]
        if attacks:
            yield group, attacks


def _peers(score: Score) -> list[str]:
    """Return the peers that permitted anything at all, sorted."""
    return sorted({name for each in (*score.attacks, *score.honest) for name in each.permitted_by})


def as_markdown(found: JsonObject) -> str:
    """Write what `as_json` gives as tables: one line an engine, one a class, one a peer."""
    engines = [engine for engine in _list(found["engines"]) if isinstance(engine, dict)]
    lines = [*_summary(engines), "", *_classes(engines), "", *_peer_lines(engines)]
    absent = ", ".join(str(name) for name in _list(found["peers_not_installed"]))
    for engine in engines:
        if unproven := _list(engine["unproven"]):
            places = ", ".join(map(str, unproven))
            lines += ["", f"Not scored, for {engine['engine']} was built without what they attack: {places}."]
    return "\n".join([*lines, *(["", f"Not installed, and so not scored: {absent}."] if absent else [])]) + "\n"


def _summary(engines: Sequence[JsonObject]) -> Iterator[str]:
    yield "| engine | attacks | stopped by the gate alone | by the engine alone | by both | honest | permitted | of those unchanged | gate, median CPU | times a bare parse |"  # noqa: E501 - a table's line
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for engine in engines:
        stopped = engine["stopped"]
        assert isinstance(stopped, dict)
        layers = " | ".join(str(stopped[layer]) for layer in LAYERS)
        yield (
            f"| {engine['engine']} | {engine['attacks']} | {layers} | {engine['honest']} | {engine['permitted']}"
            f" | {engine['unchanged']} | {engine['gate_us']} µs | {engine['times_parse']} |"
        )


def _classes(engines: Sequence[JsonObject]) -> Iterator[str]:
    cells: dict[str, list[str]] = {}
    for at, engine in enumerate(engines):
        for each in _list(engine["classes"]):
            assert isinstance(each, dict)
            row = cells.setdefault(str(each["class"]), ["–"] * len(engines))
            row[at] = f"{each['gate']} / {each['engine']} / {each['both']} of {each['attacks']}"
    yield f"| stopped by gate / engine / both | {' | '.join(str(engine['engine']) for engine in engines)} |"
    yield "|---|" + "---|" * len(engines)
    for group in CLASSES:
        if group in cells:
            yield f"| {group} | {' | '.join(cells[group])} |"


def _peer_lines(engines: Sequence[JsonObject]) -> Iterator[str]:
    yield "| checker, without its engine | engine | attacks stopped | honest permitted |"
    yield "|---|---|---|---|"
    for engine in engines:
        stopped, peers = engine["stopped"], engine["peers"]
        assert isinstance(stopped, dict)
        assert isinstance(peers, dict)
        ours = {"stopped": stopped["gate"], "permitted": engine["permitted"]}
        for name, each in {"this gate": ours, **peers}.items():
            assert isinstance(each, dict)
            yield (
                f"| {name} | {engine['engine']} | {each['stopped']} of {engine['attacks']}"
                f" | {each['permitted']} of {engine['honest']} |"
            )


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


def _list(value: JsonValue) -> Sequence[JsonValue]:
    assert isinstance(value, (list, tuple))
    return value


