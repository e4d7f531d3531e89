"""Does the target have what the spec names, and do its SQL texts only read? Holds a spec to the live catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias, final

from sandbox.deployment import Misconfigured
from sandbox.problems import Mark, did_you_mean
from sandbox.reasons import Refused, Stopped, quoted
from sandbox.settings import SqlSettings
from sandbox.specs.access import NamedColumn, TableDraft
from sandbox.specs.document import value_mark
from sandbox.specs.findings import Findings, Rule
from sandbox.specs.inputs import Inputs
from sandbox.specs.yaml import Scalar
from sandbox.sql import Catalogue, GateInput, TableShape, ceiling_rules, folded, prove, prove_filter
from sandbox.toolspec import Connection, FileTarget, ServerTarget, SqlCeiling, TableRule

CatalogueOf: TypeAlias = Callable[[Connection], Catalogue]
"""Reads a connection's catalogue, live; the executors know how."""


@final
@dataclass(frozen=True, slots=True)
class Target:
    """A connection and what it has now."""

    connection: Connection
    catalogue: Catalogue

    def reachable(self) -> Mapping[str, TableShape]:
        """Return the tables within the ceiling, with the columns within it, by folded name."""
        return self.catalogue.within(self.connection.ceiling)

    def ceiling_rules(self) -> Mapping[str, TableRule]:
        """Return the rules of a statement without `allow:`."""
        return {rule.table: rule for rule in ceiling_rules(self.catalogue, self.connection.ceiling)}


@final
@dataclass(frozen=True, slots=True)
class _Unread:
    """Why a catalogue could not be read."""

    why: str
    may_pass: bool
    """Whether it is a server's affair, such as being down: nobody need mend a file."""


@final
class Targets:
    """The targets of one lint: each catalogue is read once, however many specs name it."""

    def __init__(
        self, connections: Mapping[str, Connection], catalogue_of: CatalogueOf, *, may_be_away: bool = False
    ) -> None:
        """Read the catalogues of `connections` as they are asked for; a server that `may_be_away` is no finding."""
        self._connections = connections
        self._catalogue_of = catalogue_of
        self._may_be_away = may_be_away
        self._read: dict[str, Target | _Unread] = {}
        self._told_of_absent: dict[str, str] = {}
        self._away: dict[str, str] = {}

    @property
    def away(self) -> Mapping[str, str]:
        """The connections whose server could not be asked and may be away, each with why."""
        return self._away

    @property
    def absent(self) -> Mapping[str, str]:
        """What specs were told of each connection whose database file does not exist."""
        return self._told_of_absent

    @property
    def read(self) -> tuple[Target, ...]:
        """The targets that could be read."""
        return tuple(target for target in self._read.values() if isinstance(target, Target))

    def connection(self, name: str) -> Connection | None:
        """Return a connection that passed lint."""
        return self._connections.get(name)

    def at(self, name: str, mark: Mark, findings: Findings) -> Target | None:
        """Return a target, or note that it cannot be read."""
        target = self._read.get(name)
        if target is None:
            target = self._read[name] = self._reached(self._connections[name])
        if isinstance(target, _Unread):
            if target.may_pass and self._may_be_away:
                self._away[name] = target.why
                return None
            message = f"connection {quoted(name)} cannot be read: {quoted(target.why, 300)[1:-1]}"
            findings.add(Rule.CONNECTION_UNREADABLE, mark, message)
            connected = self._connections[name].target
            if isinstance(connected, FileTarget) and not Path(connected.path).exists():
                self._told_of_absent[name] = message
            return None
        return target

    def _reached(self, connection: Connection) -> Target | _Unread:
        try:
            return Target(connection, self._catalogue_of(connection))
        except (Stopped, Misconfigured) as error:
            is_away = isinstance(error, Refused) and error.retry_after_s > 0
            is_server = isinstance(connection.target, ServerTarget)
            return _Unread(str(error), is_away and is_server)


def table_rules(drafts: tuple[TableDraft, ...], target: Target, findings: Findings) -> Mapping[str, TableRule]:
    """Return the rules of the drafts that the target can honour; notes all others."""
    rules: dict[str, TableRule] = {}
    for draft in drafts:
        shape = _shape(draft, target, findings)
        if shape is None:
            continue
        columns = _columns(draft, shape, target, findings)
        _check_named(draft, columns, findings)
        _check_filter(draft, shape, target, findings)
        rules[shape.name] = TableRule(
            table=shape.name,
            columns=columns,
            row_filter=None if draft.row_filter is None else str(draft.row_filter.value),
            masks=MappingProxyType({name: mask for name, (mask, _) in draft.masks.items()}),
            aggregate_only=tuple(column.name for column in draft.aggregate_only),
        )
    return MappingProxyType(rules)


def check_ceiling(target: Target, mark: Mark, findings: Findings) -> None:
    """Note tables and columns that a connection's ceiling names and the target does not have."""
    shapes = {shape.name: shape for shape in target.catalogue.tables.values()}
    ceiling = f"the ceiling of {quoted(target.connection.name)}"
    for table, columns in sorted((target.connection.ceiling.tables or {}).items()):
        if table not in shapes:
            message = f"{ceiling} names table {quoted(table)}, which is not there{did_you_mean(table, shapes)}"
            findings.add(Rule.CONNECTION_CEILING, mark, message)
            continue
        names = [column.name for column in shapes[table].columns]
        for column in sorted((columns or frozenset()).difference(names)):
            message = f"{ceiling} names column {quoted(column)} of {quoted(table)}, which is not there"
            findings.add(Rule.CONNECTION_CEILING, mark, f"{message}{did_you_mean(column, names)}")


def check_statement(
    statement: Scalar, inputs: Inputs, given: GateInput, findings: Findings, ceiling_of: Target | None
) -> None:
    """Note whether the author's statement is proven and uses every argument.

    Where nothing but a ceiling bounds it, `ceiling_of` says whose.
    """
    try:
        proven = prove(given)
    except Refused as refused:
        mark = value_mark(statement, findings, refused.line, refused.column)
        if ceiling_of is not None and _is_proven_without_ceiling(given):
            what = f"{quoted(refused.metadata.get('construct', ''))}, which is {_beyond(ceiling_of)}"
            findings.add(Rule.CEILING, mark, f"the statement reads {what}")
            return
        findings.add(Rule.STATEMENT, mark, f"the statement is refused: {refused.message}")
        return
    for name in sorted(set(inputs.marks) - set(proven.parameters)):
        message = f"argument {quoted(name)} is not used by the statement; use {quoted(':' + name)} or leave it out"
        findings.add(Rule.UNUSED_INPUT, inputs.marks[name], message)


def _is_proven_without_ceiling(given: GateInput) -> bool:
    everything = {rule.table: rule for rule in ceiling_rules(given.catalogue, SqlCeiling(None))}
    try:
        prove(replace(given, tables=everything))
    except Refused:
        return False
    return True


def gate_input(
    statement: Scalar, parameters: frozenset[str], rules: Mapping[str, TableRule], target: Target, bounds: SqlSettings
) -> GateInput:
    """Return an author's statement as the gate takes it."""
    return GateInput(
        dialect=target.connection.dialect,
        text=str(statement.value),
        catalogue=target.catalogue,
        tables=rules,
        parameters=parameters,
        may_claim=True,
        bounds=bounds,
    )


def _shape(draft: TableDraft, target: Target, findings: Findings) -> TableShape | None:
    """Return the table if the target has it, spelled like this, within the ceiling."""
    reachable = target.reachable()
    names = [shape.name for shape in reachable.values()]
    shape = target.catalogue.tables.get(folded(draft.name))
    where = f"connection {quoted(target.connection.name)}"
    if shape is None:
        message = f"{where} has no table {quoted(draft.name)}{did_you_mean(draft.name, names)}"
        findings.add(Rule.UNKNOWN_TABLE, draft.mark, message)
        return None
    if folded(draft.name) not in reachable:
        findings.add(Rule.CEILING, draft.mark, f"table {quoted(draft.name)} is {_beyond(target)}")
        return None
    if shape.name != draft.name:
        message = f"table {quoted(draft.name)} is spelled {quoted(shape.name)} in the catalogue"
        findings.add(Rule.UNKNOWN_TABLE, draft.mark, message)
    return shape


def _columns(draft: TableDraft, shape: TableShape, target: Target, findings: Findings) -> tuple[str, ...]:
    """Return the columns shown, in the catalogue's order; `all` are those within the ceiling."""
    within = _within(shape, target)
    if draft.columns == "all":
        return tuple(column.name for column in within.columns if not column.is_hidden)
    wanted: set[str] = set()
    for named in draft.columns:
        name = _column(named, shape, findings)
        if name is not None and not any(column.name == name for column in within.columns):
            findings.add(Rule.CEILING, named.mark, f"column {quoted(name)} is {_beyond(target)}")
        elif name is not None:
            wanted.add(name)
    return tuple(column.name for column in shape.columns if column.name in wanted)


def _within(shape: TableShape, target: Target) -> TableShape:
    """Return the table with the columns that the ceiling names."""
    return target.reachable()[folded(shape.name)]


def _beyond(target: Target) -> str:
    return f"outside the ceiling of connection {quoted(target.connection.name)}; its operator can widen it"


def _column(named: NamedColumn, shape: TableShape, findings: Findings) -> str | None:
    names = [column.name for column in shape.columns]
    if named.name in names:
        return named.name
    spelled = next((name for name in names if folded(name) == folded(named.name)), None)
    if spelled is not None:
        message = f"column {quoted(named.name)} is spelled {quoted(spelled)} in the catalogue"
    else:
        message = _no_column(shape.name, named.name, names)
    findings.add(Rule.UNKNOWN_COLUMN, named.mark, message)
    return spelled


def _check_named(draft: TableDraft, columns: tuple[str, ...], findings: Findings) -> None:
    if draft.columns != "all":
        return  # held to the listed columns already
    named = [(name, mark) for name, (_, mark) in draft.masks.items()]
    named += [(column.name, column.mark) for column in draft.aggregate_only]
    for name, mark in named:
        if name not in columns:
            findings.add(Rule.UNKNOWN_COLUMN, mark, _no_column(draft.name, name, columns))


def _no_column(table: str, name: str, names: Iterable[str]) -> str:
    return f"table {quoted(table)} has no column {quoted(name)}{did_you_mean(name, names)}"


def _check_filter(draft: TableDraft, shape: TableShape, target: Target, findings: Findings) -> None:
    if draft.row_filter is None:
        return
    filter_, dialect = str(draft.row_filter.value), target.connection.dialect
    where = f"the row filter of {quoted(shape.name)}"
    try:
        prove_filter(filter_, shape, dialect)
    except Refused as refused:
        mark = value_mark(draft.row_filter, findings, refused.line, refused.column)
        findings.add(Rule.ROW_FILTER, mark, f"{where} is refused: {refused.message}")
        return
    try:
        # INVARIANT: a filter tells its author what it reads, by the rows that are left.
        prove_filter(filter_, _within(shape, target), dialect)
    except Refused as refused:
        mark = value_mark(draft.row_filter, findings, refused.line, refused.column)
        findings.add(Rule.CEILING, mark, f"{where} reads a column that is {_beyond(target)}")
