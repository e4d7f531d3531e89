"""Which tables may a statement read, and which of their columns? The rules laid over the catalogue, name by name."""

from __future__ import annotations

from typing import Final, final

from sandbox.sql.catalogue import TableShape, folded
from sandbox.sql.contract import GateInput
from sandbox.sql.dialects.base import Dialect
from sandbox.sql.scope import HIDDEN, Columns, Origin
from sandbox.toolspec import TableRule


@final
class Tables:
    """Finds allowed tables and remembers which were found."""

    __slots__ = ("_dialect", "_given", "columns", "guarded", "read")

    def __init__(self, given: GateInput, dialect: Dialect) -> None:
        """Look in `given`'s rules and catalogue."""
        self._given = given
        self._dialect = dialect
        self.read: dict[str, TableRule] = {}
        """By the catalogue's name."""
        self.columns: dict[str, Columns] = {}
        """By folded name: every column, those that the rule does not show as `HIDDEN`."""
        self.guarded: set[tuple[str, str]] = set()
        """Columns, of the tables found, that only an aggregate may read."""

    def find(self, name: str) -> tuple[str, Columns] | None:
        """Return the catalogue's name and the columns of an allowed table; None for any other, existing or not."""
        shape = self._given.catalogue.tables.get(name)
        rule = rule_of(self._given, name)
        if shape is None or rule is None or name.startswith(self._dialect.system_prefixes):
            return None
        if name not in self.columns:
            self.read[shape.name] = rule
            self.columns[name], guarded = _columns_of(shape, rule)
            self.guarded |= guarded
        return shape.name, self.columns[name]

    def first_columns(self, table: str, count: int) -> list[tuple[str, str]]:
        """Return the first columns of a table that was found, if they are the first ones of what stands for it too.

        Else none: by position, a name could fall on a column that the rules hide.
        """
        shown = self.read[table].columns[:count]
        columns = self._given.catalogue.tables[folded(table)].columns[:count]
        is_same = [column.name for column in columns] == list(shown) and len(shown) == count
        return [(table, column.name) for column in columns] if is_same else []

    def is_allowed(self, name: str) -> bool:
        """Whether a rule names such a table; asking reads nothing."""
        return rule_of(self._given, name) is not None


def rule_of(given: GateInput, name: str) -> TableRule | None:
    """Return the rule for a table by its folded name, whatever key it is under."""
    rule = given.tables.get(name)
    if rule is not None and folded(rule.table) == name:
        return rule
    return next((rule for rule in given.tables.values() if folded(rule.table) == name), None)


_Known = tuple[TableShape, TableRule, Columns, frozenset[tuple[str, str]]]
_KNOWN: Final[dict[tuple[int, int], _Known]] = {}
MAX_KNOWN: Final = 4_096
"""Tables under rules whose columns are remembered; beyond it they are forgotten and found anew."""


def _columns_of(shape: TableShape, rule: TableRule) -> tuple[Columns, frozenset[tuple[str, str]]]:
    """Return what each name of a table means under a rule, and the columns that are for aggregates alone."""
    # PERF: by identity, for a tool's tables and rules are the same objects at each statement; entries keep them alive.
    known = _KNOWN.get((id(shape), id(rule)))
    if known is None:
        shown, guarded = set(map(folded, rule.columns)), set(map(folded, rule.aggregate_only))
        columns: dict[str, Origin] = {}
        for column in shape.columns:
            key = folded(column.name)
            columns[key] = (shape.name, column.name) if key in shown else HIDDEN
        kept = frozenset((shape.name, each.name) for each in shape.columns if folded(each.name) in guarded)
        if len(_KNOWN) >= MAX_KNOWN:
            _KNOWN.clear()
        known = _KNOWN[id(shape), id(rule)] = (shape, rule, columns, kept)
    return known[2], known[3]
