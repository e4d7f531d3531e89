"""Which statements are judged, and how? Reads tests/fixtures/sql/sqlite.sql."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, final
from urllib.parse import unquote

from sandbox.reasons import Refused
from sandbox.sql import Proven

FILE: Final = Path(__file__).parents[2] / "fixtures" / "sql" / "sqlite.sql"


@final
@dataclass(frozen=True, slots=True)
class Case:
    """One statement and what the gate says to it."""

    group: str
    title: str
    sql: str
    expected: str

    @property
    def is_attack(self) -> bool:
        """Whether it must be refused."""
        return self.group.startswith("attacks")


def read_cases() -> list[Case]:
    """Read every block: a title, the statement, the expectation."""
    cases: list[Case] = []
    group = ""
    for block in FILE.read_text("utf-8").split("\n\n"):
        lines = block.strip("\n").split("\n")
        if lines[0].startswith("-- == "):
            group = lines[0].removeprefix("-- == ")
        elif lines[-1].startswith("-- => "):
            sql = "\n".join(lines[1:-1])
            title, expected = lines[0].removeprefix("-- "), lines[-1].removeprefix("-- => ")
            cases.append(Case(group, title, _unescaped(sql), expected))
    return cases


def _unescaped(sql: str) -> str:
    """Replace `%XX` where it stands for a control character or for bytes beyond ASCII."""
    return unquote(sql) if any(mark in sql for mark in ("%0", "%E", "%C2", "%C5")) else sql


def told(proven: Proven) -> str:
    """Write a permit as the fixtures do."""
    rights = proven.rights
    parts = [
        rights.relations,
        [f"{table}.{column}" for table, column in rights.columns],
        rights.functions,
        [f"{omitted.relation}:{omitted.count}" for omitted in proven.omitted],
        ["fenced"] if proven.is_fenced else [],
    ]
    shown = " | ".join(" ".join(item.replace(" ", "_") for item in part) for part in parts)
    return f"permit | {shown}".rstrip(" |")


def told_refusal(refusal: Refused) -> str:
    """Write a refusal as the fixtures do."""
    return f"refuse {refusal.reason} {refusal.rule} {refusal.line}:{refusal.column}"
