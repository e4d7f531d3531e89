"""What must an engine offer to be fuzzed? A pair of databases that differ in what is hidden, bare and confined.

To add an engine: a file like `fuzz_sql_sqlite.py`, and its line in `fuzz_sql_engines.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from sandbox.bench.sql.harm import BARE_S
from sandbox.sql import Proven
from sandbox.toolspec import SqlEngine

BARE_ROWS: Final = 2_000
"""More rows than these are not taken from a bare engine."""
BATCH: Final = 100
"""So many permitted texts run between two looks at what cannot be looked at after each."""


class Answer(NamedTuple):
    """What one database answered."""

    text: str
    """Names and rows with their types, or the error."""
    is_answered: bool


def in_any_order(answer: Answer) -> Answer:
    """Return an answer with its rows sorted, of an engine whose planner counts hidden rows when it orders joins."""
    names, *rows = answer.text.split("\n")
    return Answer("\n".join([names, *sorted(rows)]), answer.is_answered)


class Blamed(NamedTuple):
    """A text that did what reading does not."""

    text: str
    harm: str
    """`changed`, `holds` or `crash`."""


class Pair(Protocol):
    """The twins on one engine."""

    engine: SqlEngine

    def permit(self, text: str) -> Sequence[Proven]:
        """Take a text through the gate, for each twin; raises `Refused`."""
        ...

    def permit_bare(self, text: str, proven: Sequence[Proven]) -> str:
        """Return what the gate has run, of a text that it permits, where no tool has been set up."""
        ...

    def bare(self, text: str, seconds: float = BARE_S) -> Sequence[Answer]:
        """Run a text as the owner of each twin, neither filtered nor masked, where nothing but the gate stands."""
        ...

    def confined(self, proven: Sequence[Proven], text: str, seconds: float = BARE_S) -> Sequence[Answer]:
        """Run what the gate let through on the executor of each twin."""
        ...

    def is_by_chance(self, text: str) -> bool:
        """Whether the first twin's owner is told something else where its rows lie in another order."""
        ...

    def settle(self) -> Sequence[Blamed]:
        """Return the texts that changed or hold something, of those since this was asked last."""
        ...
