"""What does it cost to know whether a text may run? `sandbox bench gate`, beside a bare parse of the same text."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, get_args

import sqlglot

from sandbox.bench.sql.shop import BOUNDS, TABLES, rules
from sandbox.executors.drafts import Drafts
from sandbox.executors.ready import ReadyTool
from sandbox.reasons import Refused
from sandbox.sql import Catalogue, ColumnShape, TableShape
from sandbox.toolspec import (
    Connection,
    Digest,
    EnvSecret,
    FileTarget,
    ServerTarget,
    SqlCeiling,
    SqlEngine,
    ToolLimits,
    ToolName,
    ToolSpec,
)
from sandbox.values import JsonObject

TEXTS: Final[Mapping[str, str]] = {
    "point": "SELECT id, name, city FROM customers WHERE id = 7",
    "three joins": "SELECT c.city, count(*) AS n, sum(o.cents) AS total FROM orders AS o"
    " JOIN customers AS c ON c.id = o.customer_id JOIN products AS p ON p.name = o.item"
    " JOIN events AS e ON e.order_id = o.id WHERE o.cents > 100 AND p.category = 'furniture' AND e.kind = 'pay'"
    " GROUP BY c.city HAVING count(*) > 1 ORDER BY total DESC LIMIT 10",
}
REFUSED: Final[Mapping[str, str]] = {
    "1 MB": "SELECT id FROM customers WHERE name IN (" + "'Ada Lovelace', " * 65_536 + "'Bob')",
    "10,000 deep": "SELECT id FROM customers WHERE id = " + "(" * 10_000 + "7" + ")" * 10_000,
    "2,000 deep": "SELECT id FROM customers WHERE id = " + "(" * 2_000 + "7" + ")" * 2_000,
}

_UNCHANGED: Final = Digest("0" * 64)
Timed = Callable[[], object]


class Permitted(NamedTuple):
    """Median CPU of a text that may run, in microseconds."""

    text: str
    parse_us: float
    """sqlglot's bare parse of it."""
    second_grammar_us: float
    """The bare calls of the engine's own grammar that the gate makes; 0 where it makes none."""
    cold_us: float
    """Text to plan, met for the first time."""
    cached_us: float
    """The same, met again."""

    @property
    def times_parse(self) -> float:
        """How many times the bare parse it costs, the second grammar's own calls left out."""
        return (self.cold_us - self.second_grammar_us) / self.parse_us


class Declined(NamedTuple):
    """Median CPU of the refusal of a text, in milliseconds."""

    text: str
    rule: str
    ms: float


class Figures(NamedTuple):
    """One engine's."""

    engine: SqlEngine
    texts: Sequence[Permitted]
    refused: Sequence[Declined]


def bench_gate(rounds: int, tell: Callable[[str], None]) -> Iterator[Figures]:
    """Time the gate on each engine's reading of the same texts; CPU of the thread, medians of so many rounds."""
    for engine in get_args(SqlEngine):
        tell(engine)
        ready = _ready(engine)
        permitted = [_permitted(ready, name, text, rounds) for name, text in TEXTS.items()]
        yield Figures(engine, permitted, [_declined(ready, name, text, rounds) for name, text in REFUSED.items()])


def as_json(figures: Sequence[Figures]) -> JsonObject:
    """Return the figures as one JSON object."""
    return {
        "engines": [
            {
                "engine": each.engine,
                "texts": [
                    {**_rounded(text._asdict()), "times_parse": round(text.times_parse, 2)} for text in each.texts
                ],
                "refused": [_rounded(text._asdict()) for text in each.refused],
            }
            for each in figures
        ]
    }


def _rounded(facts: Mapping[str, str | float]) -> JsonObject:
    return {name: round(fact, 3) if isinstance(fact, float) else fact for name, fact in facts.items()}


def lines(figures: Sequence[Figures]) -> Iterator[str]:
    """Yield the figures as lines to read."""
    yield f"{'CPU in µs':<23}{'parse':>8}{'second':>8}{'cold':>8}{'less second, times parse':>26}{'cached':>8}"
    for engine, texts, refused in figures:
        for text in texts:
            yield (
                f"{engine:<10}{text.text:<13}{text.parse_us:>8.1f}{text.second_grammar_us:>8.1f}{text.cold_us:>8.1f}"
                f"{text.times_parse:>26.2f}{text.cached_us:>8.1f}"
            )
        for each in refused:
            yield f"{engine:<10}{each.text:<13}refused by {each.rule} in {each.ms:.3f} ms"


def _permitted(ready: ReadyTool, name: str, text: str, rounds: int) -> Permitted:
    engine = ready.connection.dialect
    drafts = Drafts(BOUNDS.model_copy(update={"plan_cache": 1}), lambda _: None)
    drafts.of(ready, text, None)
    timed = (
        lambda: sqlglot.parse(text, read=engine),
        _second_grammar(ready, text),
        lambda: ready.draft(text, BOUNDS),
        lambda: drafts.of(ready, text, None),
    )
    return Permitted(name, *_medians(timed, rounds))


def _second_grammar(ready: ReadyTool, text: str) -> Timed:
    """Return the second grammar's own calls, bare: PostgreSQL's reads the text, prints it and reads what it printed.

    DuckDB's own second reading is part of its run, in the statement's process.
    """
    if ready.connection.engine != "postgres":
        return lambda: None
    import postgast

    tree = postgast.parse(text)
    printed = ready.draft(text, BOUNDS).plan.sql_to_run
    return lambda: (postgast.parse(text), postgast.deparse(tree), postgast.parse(printed))


def _declined(ready: ReadyTool, name: str, text: str, rounds: int) -> Declined:
    rules: set[str] = set()

    def refuse() -> None:
        try:
            ready.draft(text, BOUNDS)
        except Refused as refused:
            rules.add(refused.rule)

    (took_us,) = _medians((refuse,), rounds)
    return Declined(name, ", ".join(rules), took_us / 1_000)


def _medians(timed: Sequence[Timed], rounds: int) -> list[float]:
    """Run each in turns; returns the median CPU of each in microseconds."""
    took: list[list[int]] = [[] for _ in timed]
    for _ in range(rounds):
        for run, times in zip(timed, took, strict=True):
            begun = time.thread_time_ns()
            run()
            times.append(time.thread_time_ns() - begun)
    return [statistics.median(times) / 1_000 for times in took]


def _ready(engine: SqlEngine) -> ReadyTool:
    """Return a tool on the small shop of `bench sql`, without a database behind it."""
    prefix = "public." if engine == "postgres" else ""
    tables = {
        prefix + name: TableShape(
            prefix + name,
            tuple(
                ColumnShape(column, types[engine == "postgres"], is_row_number=engine == "sqlite" and column == "id")
                for column, types in table.columns.items()
            ),
            "table",
            has_rowid=engine == "sqlite",
        )
        for name, table in TABLES.items()
    }
    rules_of = {name: rule for name, rule in rules(prefix).items() if name in tables}
    target = FileTarget("/") if engine in ("sqlite", "duckdb") else ServerTarget(EnvSecret("DSN"))
    spec = ToolSpec(
        name=ToolName("bench"),
        version="1",
        owner="bench",
        summary="",
        use_when="",
        kind="sql",
        effects="read",
        connection="bench",
        input_schema={},
        sql_argument="sql",
        statement=None,
        tables=rules_of,
        limits=ToolLimits(),
        examples=(),
        file="bench.yaml",
        source=b"",
        digest=_UNCHANGED,
    )
    connection = Connection(
        name="bench", engine=engine, target=target, ceiling=SqlCeiling(None), tools=None, digest=_UNCHANGED
    )
    return ReadyTool.of(spec, connection, Catalogue(tables, _UNCHANGED), BOUNDS)
