"""Which statements are scored? The corpus: one statement a line, `ENGINES | CLASS | STATEMENT`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, final, get_args

from sandbox.bench.sql.harm import CLASSES
from sandbox.deployment import Misconfigured
from sandbox.reasons import quoted
from sandbox.toolspec import SqlEngine

ENGINES: Final[tuple[SqlEngine, ...]] = get_args(SqlEngine)
HONEST_CLASSES: Final = (
    "plain reads",
    "conditions",
    "joins",
    "groups",
    "windows",
    "common tables",
    "subqueries",
    "sets",
    "functions",
    "names and layout",
    "reports",
    "json and arrays",
)
_BYTES: Final = re.compile(r"(?:%[0-9A-F]{2})+")


@final
@dataclass(frozen=True, slots=True)
class Case:
    """One statement for one engine."""

    file: str
    line: int
    engine: str
    group: str
    sql: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}:{self.line}"


@final
@dataclass(frozen=True, slots=True)
class Corpus:
    """Attacks and honest statements, one entry an engine."""

    attacks: tuple[Case, ...]
    honest: tuple[Case, ...]

    def of(self, engine: str) -> Corpus:
        """Return what is for one engine."""
        return Corpus(
            tuple(case for case in self.attacks if case.engine == engine),
            tuple(case for case in self.honest if case.engine == engine),
        )


def read_corpus(folder: Path | None = None) -> Corpus:
    """Read the corpus of the package, or that of a folder; raises `Misconfigured` naming file and line."""
    root = files("sandbox.bench.corpus") if folder is None else folder
    texts = {name: root.joinpath(name).read_text("utf-8") for name in ("attacks.txt", "honest.txt")}
    return Corpus(
        parse_cases("attacks.txt", texts["attacks.txt"], tuple(CLASSES)),
        parse_cases("honest.txt", texts["honest.txt"], HONEST_CLASSES),
    )


def parse_cases(file: str, text: str, classes: Sequence[str]) -> tuple[Case, ...]:
    """Take a file apart; lines that begin with `#` and empty ones say nothing."""
    seen: dict[tuple[str, str], int] = {}
    cases: list[Case] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        for case in _cases(file, number, line, classes):
            first = seen.setdefault((case.engine, case.sql), number)
            if first != number:
                raise Misconfigured(f"{case.place}: the statement of line {first} again; each stands once an engine")
            cases.append(case)
    return tuple(cases)


def _cases(file: str, number: int, line: str, classes: Collection[str]) -> Iterator[Case]:
    parts = line.split(" | ", 2)
    if len(parts) != 3 or not parts[2].strip():
        raise Misconfigured(f"{file}:{number}: a line that is not `ENGINES | CLASS | STATEMENT`")
    names, group, sql = parts[0].split(","), parts[1], parts[2]
    for name in names:
        if name not in ENGINES or names.count(name) > 1:
            accepted = "`, `".join(ENGINES)
            raise Misconfigured(f"{file}:{number}: engine {quoted(name)}; each of `{accepted}`, parted by commas, once")
    if group not in classes:
        raise Misconfigured(f"{file}:{number}: class {quoted(group)}; accepted are `{'`, `'.join(classes)}`")
    try:
        statement = _BYTES.sub(lambda found: bytes.fromhex(found.group().replace("%", "")).decode("utf-8"), sql)
    except UnicodeDecodeError:
        raise Misconfigured(f"{file}:{number}: `%XX` that are no UTF-8; `%25` stands for a percent sign") from None
    for name in names:
        yield Case(file, number, name, group, statement)
