"""Which names has a statement used, and what did they turn out to mean? The notebook of `resolve`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from sqlglot import exp

from sandbox.sql.catalogue import folded
from sandbox.sql.effort import Effort
from sandbox.sql.parse import Parsed, start_of
from sandbox.sql.scope import GUESSED, HIDDEN, Columns, Origin, Scope, Source
from sandbox.sql.tables import Tables

FindingKind: TypeAlias = Literal[
    "table",
    "table-function",
    "qualified-name",
    "column",
    "row-id",
    "cte-further-out",
    "whole-row",
    "shared-column",
    "in-table",
    "cte-name",
    "guessed-name",
    "aggregate-only",
    "construct",
    "name-case",
]


NATURAL: Final = "NATURAL"
"""Stands in a finding for the columns that a NATURAL JOIN compares."""


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """A name that means nothing the rules allow."""

    kind: FindingKind
    start: int
    name: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class GuardedUse:
    """A place where a statement names a column that is for aggregates alone; no two places are equal."""

    node: exp.Expr
    """The column as sqlglot has it."""
    origin: tuple[str, str]
    scope: Scope | None
    """The SELECT it stands in; None if the column is one of a SELECT further out."""


@final
class Names:
    """Looks names up and notes where they stood, what they read and what they failed to find."""

    __slots__ = (
        "_counted", "_naming", "_row_ids", "_spellings", "_strings", "_text", "argument_columns",
        "columns", "effort", "findings", "guarded", "guarded_names", "guarded_sources", "named_at",
        "stars", "table_functions", "tables",
    )  # fmt: skip

    def __init__(self, parsed: Parsed) -> None:
        """Begin with nothing read."""
        lexed = parsed.lexed
        self._text = lexed.text
        self.effort = Effort(lexed.text)
        self._naming = lexed.dialect.naming
        self._row_ids = lexed.dialect.row_ids
        self.table_functions = lexed.dialect.table_functions
        self.argument_columns = lexed.dialect.argument_columns
        self._strings: list[tuple[str, int]] = []
        self._spellings: dict[str, str] = {}
        self._counted: list[exp.Identifier] = []
        self.tables = Tables(lexed.given, lexed.dialect)
        self.columns: set[tuple[str, str]] = set()
        self.stars: set[str] = set()
        self.findings: list[Finding] = []
        self.guarded: list[GuardedUse] = []
        self.guarded_names: set[str] = set()
        """What columns for aggregates alone are called, by their tables or after those."""
        self.guarded_sources: set[str] = set()
        """What tables with columns for aggregates alone are called."""
        self.named_at: set[int] = set()

    def find(self, kind: FindingKind, node: exp.Expr | None, name: str = "") -> None:
        """Note a finding where `node` begins."""
        self.findings.append(Finding(kind, start_of(node), name))

    def name(self, node: exp.Expr | None) -> str:
        """Return the folded name of an identifier and note that its place has been read."""
        if type(node) is not exp.Identifier:
            return self.alias(node)
        start = start_of(node)
        self.named_at.add(start)
        if self._text[start] in self._naming.string_quotes:
            self.find("construct", node, "string as a name")
        return self.folded(node)

    def alias(self, node: exp.Expr | None) -> str:
        """Do as `name` does; an alias may be written as a string."""
        if type(node) is not exp.Identifier:
            self.find("construct", node, "name")
            return ""
        self.named_at.add(start_of(node))
        return self.folded(node)

    def spell(self, node: exp.Expr | None, table: str | None = None) -> None:
        """Find the name of a source, or of the catalogue's `table`, that is spelled in two ways."""
        if self._naming.has_case_in_tables and type(node) is exp.Identifier:
            spelling = str(node.this)
            if self._spellings.setdefault(folded(spelling), spelling) != spelling or table not in (None, spelling):
                self.find("name-case", node, spelling)

    def folded(self, node: exp.Identifier) -> str:
        """Return an identifier's name as the engine compares names."""
        is_kept = self._naming.keeps_case_in_quotes and node.args.get("quoted")
        return str(node.this) if is_kept else folded(node.this)

    def column(self, node: exp.Expr, scope: Scope) -> None:
        """Look a column up: the nearest SELECT that has it, then nothing, or a string if it is in double quotes."""
        args = node.args
        this, table = args["this"], args.get("table")
        if args.get("db") or args.get("catalog"):
            for part in args.values():
                self.name(part)
            self.find("qualified-name", args.get("db"), this.name)
            return
        if type(this) is exp.Star and table and self._naming.has_whole_rows:
            self._row_of(table, scope)
            return
        name = self.name(this)
        qualifier = self.name(table) if table else None
        if qualifier in self._naming.schemas:
            self.find("qualified-name", table, name)
            return
        self.spell(table)
        row: Source | None = None
        level: Scope | None = scope
        while level is not None:
            if self._column_at(level, name, qualifier, this, scope):
                scope.reach(level)
                if row is not None and qualifier is None and self._naming.has_whole_rows:
                    # WHY: DuckDB takes the row of a nearer source of that name before a column further out.
                    self._whole_row(row, this, name)
                return
            row = row or next((source for source in level.sources if source.name == name), None)
            level = level.outer
        start = start_of(this)
        if qualifier is None and self._naming.has_string_names and self._text[start] == '"':
            self._strings.append((name, start))
        elif qualifier is None and row is not None and self._naming.has_whole_rows:
            scope.reach(None)
            self._whole_row(row, this, name)
        else:
            self.find("column", this, name)

    def _row_of(self, table: exp.Expr, scope: Scope) -> None:
        """Note `t.*` within an expression, which is the row as a value."""
        name = self.name(table)
        level: Scope | None = scope
        while level is not None:
            for source in level.sources:
                if source.name == name:
                    scope.reach(level)
                    self._whole_row(source, table, name)
                    return
            level = level.outer
        self.find("table", table, name)

    def _whole_row(self, source: Source, node: exp.Expr, name: str) -> None:
        """Note a source's row as a value: it is all that the source has, so that nothing of it may be hidden."""
        if HIDDEN in source.columns.values():
            self.find("whole-row", node, name)
        else:
            self.all_of(source, is_star=True)

    def _column_at(self, level: Scope, name: str, qualifier: str | None, node: exp.Expr, within: Scope) -> bool:
        """Whether the name is settled at this level; visible columns are noted, hidden ones found."""
        self.effort.spend(len(level.sources) + 1)
        origins: list[Origin] = []
        is_near = False
        for source in level.sources:
            if qualifier is None or source.name == qualifier:
                is_near = True
                if name in source.columns:
                    source.is_read = True
                    origins.append(source.columns[name])
        if origins:
            if not self._note(origins):
                self.find("column", node, name)
            self._must_not_be_barred(origins, level, name, qualifier, node)
            whose = within if level is within else None
            for at in self._guarded(origins):
                if node.parent is None:
                    self.find("column", node, name)
                else:
                    self.guarded.append(GuardedUse(node.parent, at, whose))
            return True
        if is_near and name in self._row_ids:
            self.find("row-id", node, name)
            return True
        if is_near and qualifier is not None and self._naming.has_whole_rows:
            self.find("column", node, name)
            return True
        return qualifier is None and level.sees_aliases and self._is_alias(level, name, node)

    def _must_not_be_barred(
        self, origins: Iterable[Origin], level: Scope, name: str, qualifier: str | None, node: exp.Expr
    ) -> None:
        """Find a name that may mean a column further out which is hidden or for aggregates alone.

        # WHY: that is what the engine finds if what is computed here has another name than the gate believes, or if the
        clause does not see it. Nothing behind the gate holds what is for aggregates alone, so there a name that the
        statement says is no better than a guess.
        """
        is_computed = all(origin is None or origin is GUESSED for origin in origins)
        is_guess = level.is_doubtful or all(origin is GUESSED for origin in origins)
        around = level.outer if is_guess or is_computed else None
        while around is not None:
            self.effort.spend(len(around.sources) + 1)
            for source in around.sources:
                if (qualifier is None or source.name == qualifier) and name in source.columns:
                    origin = source.columns[name]
                    if (is_guess and origin is HIDDEN) or self._guarded([origin]):
                        self.find("guessed-name", node, name)
                        return
            around = around.outer

    def _is_alias(self, level: Scope, name: str, node: exp.Expr) -> bool:
        """Whether it is an output's name.

        # WHY further out: DuckDB sees no outputs within an aggregate of HAVING or QUALIFY, but the SELECTs further out;
        what they have by that name, a column or a whole row, has to be allowed too.
        """
        if name not in level.aliases:
            return False
        around: Scope | None = level
        while around is not None:
            if around is not level and self._column_at(around, name, None, node, level):
                break
            if self._naming.has_whole_rows and any(source.name == name for source in around.sources):
                self.find("whole-row", node, name)
                break
            around = around.outer
        return True

    def perhaps(self, name: str, scope: Scope) -> None:
        """Note the visible columns of a name that ORDER BY takes for an output.

        # WHY: after UNION, SQLite first tries the name as a column of each branch; that asks its authorizer.
        """
        self.effort.spend(len(scope.sources))
        for source in scope.sources:
            self._note([source.columns.get(name)])

    def _note(self, origins: Iterable[Origin]) -> bool:
        """Note the visible columns among `origins`; False if there are none, computed ones apart."""
        is_shown = False
        for origin in origins:
            if origin is not HIDDEN:
                is_shown = True
                if origin is not None and origin is not GUESSED:
                    self.columns.add(origin)
        return is_shown

    def _guarded(self, origins: Iterable[Origin]) -> list[tuple[str, str]]:
        """Return the columns among `origins` that are for aggregates alone."""
        guarded = self.tables.guarded
        return [origin for origin in origins if origin is not None and origin in guarded] if guarded else []

    def call(self, columns: Columns, *names: str) -> None:
        """Note what a table is called if it has columns that are for aggregates alone, and what those are called."""
        guarded = [name for name, origin in columns.items() if self._guarded([origin])] if self.tables.guarded else []
        if guarded:
            self.guarded_names.update(map(folded, guarded))
            self.guarded_sources.update(map(folded, names))

    def has_guarded(self, origins: Iterable[Origin]) -> bool:
        """Whether any of these columns is for aggregates alone."""
        return bool(self._guarded(origins))

    def _must_not_be_guarded(self, origins: Iterable[Origin], node: exp.Expr | None, name: str) -> None:
        """Find columns for aggregates alone where no aggregate can be around them."""
        if self._guarded(origins):
            self.find("aggregate-only", node, name)

    def all_of(self, source: Source, *, is_star: bool) -> None:
        """Note every visible column of a source, and that a `*` of the statement expands it."""
        self.effort.spend(len(source.columns))
        source.is_read = True
        for part in source.parts if is_star else ():
            self.all_of(part, is_star=True)
        if is_star:
            self.stars.update({source.table} - {""})
            self._must_not_be_guarded(source.columns.values(), None, "*")
        self._note(source.columns.values())

    def shared(self, name: str, left: list[Source], right: list[Source], node: exp.Expr) -> bool:
        """Note a column that a join equates on both sides; False if a side lacks it."""
        self.effort.spend(len(left) + len(right))
        for source in (*left, *right):
            source.is_read = source.is_read or name in source.columns
        sides = [[source.columns[name] for source in side if name in source.columns] for side in (left, right)]
        for side in sides:
            if any(origin is HIDDEN for origin in side):
                self.find("shared-column", node, name)
            self._note(side)
            self._must_not_be_guarded(side, node, name)
        return all(sides)

    def natural(self, left: list[Source], right: list[Source], node: exp.Expr) -> None:
        """Find columns that no join may compare, of a side of NATURAL beside one with names that are not known.

        # WHY: to the engine they could be of the same name. Of what is for aggregates alone nothing but the names of
        tables is believed, for nothing behind the gate holds it.
        """
        self.effort.spend(sum(len(source.columns) for source in (*left, *right)))
        for unsure, other in ((left, right), (right, left)):
            origins = [origin for source in other for origin in source.columns.values()]
            if not all(source.table for source in unsure):
                self._must_not_be_guarded(origins, node, NATURAL)
            is_open = any(source.is_open or GUESSED in source.columns.values() for source in unsure)
            if is_open and any(origin is HIDDEN for origin in origins):
                self.find("shared-column", node, NATURAL)

    def counted(self, sources: Iterable[Source]) -> None:
        """Note common table expressions of a SELECT whose rows are only counted."""
        self._counted += [source.cte_at for source in sources if source.cte_at is not None and not source.is_read]

    def settle_counted(self) -> None:
        """Find the counted ones that have the name of an allowed table which the statement does not read.

        # WHY: SQLite tells its authorizer of such a count by the bare name, which then could be the table's.
        """
        for node in self._counted:
            name = folded(node.this)
            if self.tables.is_allowed(name) and name not in self.tables.columns:
                self.find("cte-name", node, name)

    def settle_strings(self) -> tuple[int, ...]:
        """Decide about double-quoted names that mean nothing where they stand; returns where they stand.

        # WHY: a common table expression is read where it is used, so SQLite may find a column there that its own
        # place does not have; a name that any table of the statement has is never taken for a mere string.
        """
        self.effort.spend(len(self._strings) * len(self.tables.columns))
        for name, start in self._strings:
            for columns in self.tables.columns.values():
                if name in columns and not self._note([columns[name]]):
                    self.findings.append(Finding("column", start, name))
                if name in columns and self._guarded([columns[name]]):
                    self.findings.append(Finding("aggregate-only", start, name))
        return tuple(start for _, start in self._strings)
