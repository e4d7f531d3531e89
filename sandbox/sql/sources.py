"""What may a statement read from? The tables, queries and functions of a FROM clause, and the joins among them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from sandbox.sql.names import FindingKind, Names
from sandbox.sql.parse import Parsed
from sandbox.sql.scope import GUESSED, HIDDEN, Columns, Cte, Environment, Origin, Output, Scope, Source, derived

_MAX_TABLES: Final = 64
"""SQLite joins no more; without this a long chain of NATURAL JOINs would cost its square."""
_FROM_KEYS: Final = frozenset({"this", "alias", "joins", "db", "catalog"})
_HALF: Final = ("SEMI", "ANTI")
"""Joins whose right side is seen by their own condition alone."""
_CALL_KEYS: Final = frozenset({"this", "alias", "joins", "ordinality", "view", "outer"})


class Sources(ABC):
    """Resolves FROM; whoever inherits it resolves queries and expressions."""

    __slots__ = ("names", "naming")

    def __init__(self, parsed: Parsed) -> None:
        """Begin with nothing read."""
        self.names = Names(parsed)
        self.naming = parsed.lexed.dialect.naming

    @abstractmethod
    def query(self, node: exp.Expr, env: Environment | None, outer: Scope | None) -> Output:
        """Resolve one query in the scope around it; returns its output columns."""

    @abstractmethod
    def expression(self, root: exp.Expr, scope: Scope) -> None:
        """Resolve every column of an expression and every query within it."""

    @abstractmethod
    def read_cte(self, cte: Cte) -> None:
        """Resolve a common table expression once, in its own place."""

    def sources(self, node: exp.Expr, scope: Scope, conditions: list[exp.Expr], left: Sequence[Source]) -> list[Source]:
        """Resolve one item of a FROM clause with the joins that hang on it; LATERAL sees what is `left` of it."""
        self.names.effort.open_source(node)
        within = node.this if type(node) is exp.Subquery else None
        if type(node) is exp.Table:
            sources = [self._table(node, scope, conditions, left)]
        elif type(within) in (exp.Table, exp.Subquery):
            sources = self._joined_apart(node.this, scope, conditions, left)
            if self.naming.reads_joins_whole:
                for source in sources:
                    self.names.all_of(source, is_star=False)
            if node.args.get("alias"):
                sources = [self._join_as_one(node, sources)]
        elif type(node) is exp.Subquery or type(node) is exp.Values:
            beside = Scope(list(left), scope.env, scope.outer) if self.naming.has_lateral_queries else scope.outer
            sources = [self._subquery(node, node, scope.env, beside)]
        elif type(node) is exp.Lateral:
            sources = [self._lateral(node, Scope(list(left), scope.env, scope.outer), conditions)]
        else:
            self.names.find("construct", node, node.key)
            return []
        self.joins(node, sources, scope, conditions, left)
        return sources

    def _joined_apart(
        self, node: exp.Expr, scope: Scope, conditions: list[exp.Expr], left: Sequence[Source]
    ) -> list[Source]:
        """Resolve a join in parentheses.

        # WHY twice: SQLite makes a query of its own of some of them, whose conditions see nothing of the FROM around
        # it, but the SELECTs further out; what a condition reads is noted, and has to be allowed, in both readings.
        """
        within: list[exp.Expr] = []
        sources = self.sources(node, scope, within, left)
        for condition in within:
            self.expression(condition, Scope(list(sources), scope.env, scope.outer))
        conditions += within
        return sources

    def _subquery(self, node: exp.Expr, named: exp.Expr, env: Environment | None, outer: Scope | None) -> Source:
        query = node.this if type(node) is exp.Subquery else node
        output = self.query(query, env, outer)
        name, declared = self._alias(named)
        shown = [origin for _, origin in output if origin is not HIDDEN]
        if declared and len(shown) < len(output):
            # WHY: by position, the name of a visible column could fall on one that `*` hides.
            self.names.find("construct", named.args["alias"].this, "a column list over `*`")
        columns, is_open = derived(output, declared)
        return Source(name, columns, is_open=is_open)

    def _lateral(self, node: exp.Lateral, beside: Scope, conditions: list[exp.Expr]) -> Source:
        within = node.this
        if type(within) is exp.Subquery:
            return self._subquery(within, node, beside.env, beside)
        return self._function(node, beside, conditions)

    def _function(self, node: exp.Expr, beside: Scope, conditions: list[exp.Expr]) -> Source:
        """Resolve a function in FROM; its arguments see what stands left of it, with or without LATERAL.

        To SQLite an argument is a condition on a column that holds it, and sees what conditions see.
        """
        call = node.this
        name = call.name.lower() if type(call) is exp.Anonymous else ""
        columns = self.names.table_functions.get(name)
        alias, declared = self._alias(node)
        if columns is None or any(value for key, value in node.args.items() if key not in _CALL_KEYS):
            self.names.find("table-function", node, call.name if isinstance(call, exp.Expr) else "")
            return Source(alias, {}, is_open=True)
        if self.naming.conditions_see_join:
            self.expression(call, beside)
        else:
            conditions.append(call)
        defined = node.args["alias"].args.get("columns") or () if declared else ()
        if any(type(column) is exp.ColumnDef for column in defined):
            return Source(alias, dict.fromkeys(declared))
        width = max(len(call.expressions) if name == "unnest" else 1, 1)
        output: Output = [(column, None) for column in columns] or [(alias or name, GUESSED)] * width
        if node.args.get("ordinality"):
            output.append(("ordinality", None))
        if declared and name in self.names.argument_columns:
            self.names.find("construct", node.args["alias"].this, "column list after an alias")
        output += [(column, HIDDEN) for column in self.names.argument_columns.get(name, ())]
        found, is_open = derived(output, declared)
        return Source(alias or name, found, is_open=is_open)

    def _table(self, node: exp.Table, scope: Scope, conditions: list[exp.Expr], left: Sequence[Source]) -> Source:
        args = node.args
        this = args.get("this")
        if type(this) is not exp.Identifier:
            return self._function(node, Scope(list(left), scope.env, scope.outer), conditions)
        if any(value for key, value in args.items() if key not in _FROM_KEYS):
            self.names.find("construct", this, "table option")
        name, schema = self.names.name(this), args.get("db")
        if name == self.naming.no_table and schema is None and not this.args.get("quoted"):
            return Source("", {})
        if args.get("catalog") is not None or (schema is not None and not self.naming.default_schema):
            self.names.find("qualified-name", schema if type(schema) is exp.Identifier else this, name)
            return Source(name, {}, is_open=True)
        alias, declared = self._alias(node)
        alias = alias or name
        self.names.spell(this)
        cte, is_hidden = scope.env.find(name) if scope.env and schema is None else (None, False)
        if cte is not None:
            if declared:
                self.names.find("construct", node.args["alias"].this, "column list after an alias")
            return self._cte(cte, this, name, alias, is_hidden=is_hidden)
        if self.naming.default_schema:
            name = f"{self.names.name(schema) if schema else self.naming.default_schema}.{name}"
        found = self.names.tables.find(name)
        if found is None:
            self.names.find("table", schema or this, name)
            return Source(alias, {}, is_open=True)
        table, columns = found
        self.names.spell(this, table)
        if declared:
            columns = self._renamed(node, table, columns, declared)
        self.names.call(columns, alias, self.names.folded(this))
        return Source(alias, columns, table)

    def _cte(self, cte: Cte, this: exp.Identifier, name: str, alias: str, *, is_hidden: bool) -> Source:
        if is_hidden:
            self.names.find("cte-further-out", this, name)
        self.read_cte(cte)
        if cte.columns is None:
            kind: FindingKind = "cte-name" if self.names.tables.is_allowed(name) else "construct"
            self.names.find(kind, this, name if kind == "cte-name" else "circular WITH")
        return Source(alias, cte.columns or {}, is_open=cte.is_open, cte_at=this)

    def _renamed(self, node: exp.Table, table: str, columns: Columns, declared: list[str]) -> Columns:
        """Return a table's columns under the names that follow its alias: they count from the first column."""
        renamed = self.names.tables.first_columns(table, len(declared))
        rest = {name: origin for name, origin in columns.items() if origin not in renamed}
        if not self.naming.renames_columns or not renamed or len({*declared, *rest}) < len(declared) + len(rest):
            self.names.find("construct", node.args["alias"].this, "column list after an alias")
            return columns
        return {**dict(zip(declared, renamed, strict=True)), **rest}

    def _table_alias(self, node: exp.Expr) -> str:
        """Return the alias of a source whose columns keep their names."""
        name, declared = self._alias(node)
        if declared:
            self.names.find("construct", node.args["alias"].this, "column list after an alias")
        return name

    def _alias(self, node: exp.Expr) -> tuple[str, list[str]]:
        alias = node.args.get("alias")
        if alias is None:
            return "", []
        columns = alias.args.get("columns") or ()
        self.names.effort.check_width(len(columns), alias.this)
        self.names.spell(alias.this)
        return self.names.alias(alias.this), [
            self.names.name(column.this if type(column) is exp.ColumnDef else column) for column in columns
        ]

    def _join_as_one(self, node: exp.Expr, sources: list[Source]) -> Source:
        columns: dict[str, Origin] = {}
        self.names.effort.spend(sum(len(source.columns) for source in sources))
        for source in sources:
            for name, origin in source.columns.items():
                if columns.get(name, HIDDEN) is HIDDEN:
                    columns[name] = origin
        if any(self.names.has_guarded(source.columns.values()) for source in sources):
            # WHY: engines call a second column of one name otherwise, and SQLite still knows the names within.
            self.names.find("construct", node.args["alias"].this, "an alias of a join in parentheses")
        return Source(self._table_alias(node), columns, parts=sources)

    def joins(
        self,
        node: exp.Expr,
        left: list[Source],
        scope: Scope,
        conditions: list[exp.Expr],
        further_left: Sequence[Source],
    ) -> None:
        """Resolve the joins that hang on a node, and add what they join to `left`; a comma begins a join anew."""
        since = 0
        for join in node.args.get("joins") or ():
            if not any(value for key, value in join.args.items() if key != "this"):
                since = len(left)
            before = len(left)
            self._join(left, join, scope, conditions, further_left)
            on, is_half = join.args.get("on"), join.args.get("kind") in _HALF
            if on and self.naming.conditions_see_all and not is_half:
                conditions.append(on)
            if on and (self.naming.conditions_see_join or is_half):
                further = Scope([*further_left, *left[:since]], scope.env, scope.outer) if is_half else scope.outer
                self.expression(on, Scope(left[since:], scope.env, further))
            if is_half:
                del left[before:]

    def _join(
        self,
        left: list[Source],
        join: exp.Join,
        scope: Scope,
        conditions: list[exp.Expr],
        further_left: Sequence[Source],
    ) -> None:
        """Resolve one join, but for its ON, and add what it joins to `left`."""
        right = self.sources(join.this, scope, conditions, (*further_left, *left))
        args = join.args
        alias = _alias_in_parentheses(join.this) if self.naming.forgets_aliases else None
        if alias is not None:
            self.names.find("construct", alias.this, "an alias of one table in parentheses")
        if type(join.this) is exp.Table and join.this.args.get("joins"):
            self.names.find("construct", join.this, "ON after the next join")
        if len(left) > _MAX_TABLES:
            self.names.find("construct", join.this, "a join of so many tables")
            return
        if args.get("method") == "NATURAL":
            self.names.effort.spend(sum(len(source.columns) for source in (*left, *right)))
            self.names.natural(left, right, join.this)
            shared = {name for source in right for name in source.columns}
            for name in shared.intersection(*[{n for source in left for n in source.columns}]):
                self.names.shared(name, left, right, join.this)
        for column in args.get("using") or ():
            name = self.names.name(column)
            if not self.names.shared(name, left, right, column):
                self.names.find("column", column, name)
        left += right


def _alias_in_parentheses(node: exp.Expr) -> exp.Expr | None:
    """Return the alias of a source that stands in parentheses alone."""
    if type(node) is not exp.Subquery or type(node.this) not in (exp.Table, exp.Subquery):
        return None
    while type(node) is exp.Subquery and type(node.this) in (exp.Table, exp.Subquery):
        node = node.this
        if node.args.get("joins"):
            return None
    alias = node.args.get("alias")
    return alias if isinstance(alias, exp.Expr) else None
