"""What must an engine offer to be scored? One ground: a bare engine, a confined one, and an owner of what is permitted.

To add an engine: a file like `sqlite_ground.py`, and its line in `bench.py`'s GROUNDS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from sandbox.bench.sql.harm import CANARY, DECOY_NUMBER, FOLDER, GUESS, GUESS_NUMBER, NUMBER, Seen
from sandbox.bench.sql.shop import BOUNDS, CLAIMS, MAX_BYTES, MAX_ROWS
from sandbox.executors.engine import Fetched
from sandbox.sql import Catalogue, GateInput, Proven, prove
from sandbox.stages import Rights, SqlPlan
from sandbox.toolspec import Digest, SqlEngine, TableRule

CONNECTION_DIGEST: Final = Digest("0" * 64)
DISAGREES: Final = "the engine disagrees:"
"""How an answer begins where the engine refuses what the gate let through."""


class Ground(Protocol):
    """One engine with the shop on it. Texts come with their guess and folder filled in."""

    engine: SqlEngine

    def bare(self, text: str) -> Seen:
        """Run a text as the owner of everything, without gate or confinement, and put right what it did."""
        ...

    def permit(self, text: str) -> Proven:
        """Take a text through the gate; raises `Refused`."""
        ...

    def permit_bare(self, text: str) -> str:
        """Take a text through the gate, and return what may run where no tool has been set up; raises `Refused`."""
        ...

    def confined(self, text: str) -> Seen:
        """Run a text on the confined engine as if the gate had let it through."""
        ...

    def run(self, proven: Proven, text: str, seconds: float) -> Seen:
        """Run what the gate let through on the confined engine, for so many seconds at most."""
        ...

    def owned(self, text: str) -> Seen:
        """Run a text as the owner of a copy that holds nothing but what the tool may show."""
        ...

    def fill(self, sql: str, guess: str) -> str:
        """Return an attack with its guess and its folder."""
        ...


def all_rights(text: str, rules: Mapping[str, TableRule], functions: Iterable[str]) -> Proven:
    """Return what a gate would say that lets everything through: the text itself, with every right its tool has."""
    return Proven(
        sql_to_run=text,
        rights=Rights(
            relations=tuple(sorted(rules)),
            columns=tuple(sorted((name, column) for name, rule in rules.items() for column in rule.columns)),
            functions=tuple(sorted(set(functions) - {"claim"})),
            claims=("region",),
        ),
        omitted=(),
        is_fenced=True,
        parameters=(),
    )


def filled(sql: str, guess: str, folder: Path) -> str:
    """Return an attack with its guess, as text and as number, and its folder."""
    number = NUMBER if guess == CANARY else DECOY_NUMBER
    return sql.replace(FOLDER, str(folder)).replace(GUESS, guess).replace(GUESS_NUMBER, number)


def proven_by(
    engine: SqlEngine,
    text: str,
    catalogue: Catalogue,
    rules: Mapping[str, TableRule],
    stands_for: Mapping[str, tuple[str, str]],
) -> Proven:
    """Take a model's text through the gate; raises `Refused`."""
    given = GateInput(
        dialect=engine,
        text=text,
        catalogue=catalogue,
        tables=rules,
        parameters=frozenset(),
        may_claim=False,
        bounds=BOUNDS,
        stands_for=stands_for,
    )
    return prove(given)


def plan(engine: SqlEngine, text: str, proven: Proven, seconds: float, login: str = "") -> SqlPlan:
    """Return the plan of a proven text, under limits like a tool's."""
    return SqlPlan(
        dialect=engine,
        connection="bench",
        connection_digest=CONNECTION_DIGEST,
        login=login,
        proposed_sql=text,
        sql_to_run=proven.sql_to_run,
        parameters={},
        claims=CLAIMS,
        rights=proven.rights,
        omitted=proven.omitted,
        is_fenced=proven.is_fenced,
        max_seconds=seconds,
        max_rows=MAX_ROWS,
        max_bytes=MAX_BYTES,
    )


def told(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write an answer so that it can be compared, types included."""
    return f"{list(names)}\n" + "\n".join(repr([(type(cell).__name__, cell) for cell in row]) for row in rows)


def told_fetched(fetched: Fetched) -> str:
    """Write what a confined engine answered."""
    return told([column.name for column in fetched.columns], fetched.rows)
