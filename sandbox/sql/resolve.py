"""What does each name of a statement mean? Every table and column it reads, found as the engine finds them.

Follows `lookupName` and `sqlite3SelectPrep` of SQLite's src/resolve.c and src/select.c, and `transformColumnRef` and
`findTargetlistEntrySQL92` of PostgreSQL's src/backend/parser: the nearest SELECT with such a column wins, output names
come after columns (before them in ORDER BY); where the engines differ, `Naming` says how. Names are looked up among
*all* columns of a table; what the rules hide is a finding, never a string or a column of an outer SELECT. It never
decides: `rules/` do, on the findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, final

from sqlglot import exp

from sandbox.sql.dialects.base import Token
from sandbox.sql.names import Finding, GuardedUse
from sandbox.sql.parse import Parsed, is_bare
from sandbox.sql.scope import GUESSED, HIDDEN, Cte, Environment, Output, Scope, Source, computed, derived
from sandbox.sql.sources import Sources


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A tree whose every name has been looked up."""

    parsed: Parsed
    relations: frozenset[str]
    """Tables read, in the catalogue's spelling."""
    columns: frozenset[tuple[str, str]]
    stars: frozenset[str]
    """Tables that a `*` expands."""
    findings: tuple[Finding, ...]
    guarded: tuple[GuardedUse, ...]
    """Where columns are named that are for aggregates alone."""
    guarded_names: frozenset[str]
    """What such columns of the tables read are called."""
    guarded_sources: frozenset[str]
    """What the tables that have them are called."""
    named_at: frozenset[int]
    """Where the names that were looked up begin."""
    calls: tuple[Token, ...]
    """Words and quoted names before a parenthesis that name no table or alias: calls of functions."""
    strings: tuple[int, ...]
    """Where double-quoted names stand that mean nothing and so are strings to SQLite."""
    has_nested_query: bool
    """A query stands within an expression."""
    is_recursive: bool


_SETS: Final = (exp.Union, exp.Intersect, exp.Except)
_QUERIES: Final = frozenset({exp.Select, exp.Values, *_SETS})
_LIMITS: Final = ("limit", "offset")
_SAY_THEIR_NAME: Final = (exp.Alias, exp.Column)
_LEAVES: Final = frozenset({exp.Literal, exp.Null, exp.Placeholder, exp.HexString, exp.DataType, exp.Var})
_ODD: Final = frozenset(
    {exp.Identifier, exp.Star, exp.Boolean, exp.In}
    | {exp.Table, exp.TableAlias, exp.With, exp.CTE, exp.Join, exp.From, exp.Lateral}
)
_READ_FIRST: Final = frozenset({"with_", "from_", "joins", "expressions", "order"})


def resolve(parsed: Parsed) -> Resolved:
    """Look up every name of the tree."""
    resolver = _Resolver(parsed)
    resolver.query(parsed.tree, None, None)
    names = resolver.names
    strings = names.settle_strings()
    if parsed.lexed.dialect.naming.counts_by_bare_name:
        names.settle_counted()
    lexed = parsed.lexed
    tokens, keys, last = lexed.tokens, lexed.keys, len(lexed.keys) - 1
    return Resolved(
        parsed=parsed,
        relations=frozenset(names.tables.read),
        columns=frozenset(names.columns),
        stars=frozenset(names.stars),
        findings=tuple(names.findings),
        guarded=tuple(names.guarded),
        guarded_names=frozenset(names.guarded_names),
        guarded_sources=frozenset(names.guarded_sources),
        named_at=frozenset(names.named_at),
        calls=tuple(
            tokens[index]
            for index in lexed.names
            if index < last
            and keys[index + 1] == "("
            and index not in lexed.type_words
            and tokens[index].start not in names.named_at
        ),
        strings=strings,
        has_nested_query=resolver.has_nested_query,
        is_recursive=resolver.is_recursive,
    )


@final
class _Resolver(Sources):
    __slots__ = ("has_nested_query", "is_recursive")

    def __init__(self, parsed: Parsed) -> None:
        super().__init__(parsed)
        self.has_nested_query = False
        self.is_recursive = False

    # Queries

    def query(self, node: exp.Expr, env: Environment | None, outer: Scope | None) -> Output:
        """Resolve one query in the scope around it; returns its output columns."""
        if type(node) is exp.Select:
            return self._select(node, env, outer)[0]
        if isinstance(node, _SETS):
            return self._compound(node, env, outer, None)
        if type(node) is exp.Values:
            return self._values(node, env, outer)
        if type(node) is exp.Subquery and self.naming.has_query_parentheses and is_bare(node):
            return self.query(node.this, env, outer)
        self.names.find("construct", node, node.key)
        return []

    def _select(self, node: exp.Select, env: Environment | None, outer: Scope | None) -> tuple[Output, Scope]:
        args = node.args
        env = self._with(args.get("with_"), env, outer)
        scope = Scope([], env, outer)
        conditions: list[exp.Expr] = []
        if from_ := args.get("from_"):
            scope.sources = self.sources(from_.this, scope, conditions, ())
        self.joins(node, scope.sources, scope, conditions, ())
        scope.sees_aliases = "expressions" in self.naming.alias_clauses
        output = self._output(node.expressions, scope)
        scope.sees_aliases = "on" in self.naming.alias_clauses
        for condition in conditions:
            self.expression(condition, scope)
        for key, value in args.items():
            if key not in _READ_FIRST and value:
                scope.sees_aliases = key in self.naming.alias_clauses
                scope.is_doubtful = key in _LIMITS
                for part in value if isinstance(value, list) else (value,):
                    if isinstance(part, exp.Expr):
                        self.expression(part, scope)
        scope.sees_aliases = "order" in self.naming.alias_clauses
        scope.is_doubtful = False
        self._order(args.get("order"), scope)
        self.names.counted(scope.sources)
        return output, scope

    def _compound(
        self,
        node: exp.Expr,
        env: Environment | None,
        outer: Scope | None,
        on_first: Callable[[Output], None] | None,
    ) -> Output:
        """Resolve UNION, INTERSECT and EXCEPT; `on_first` hears the output of the first branch before the others."""
        env = self._with(node.args.get("with_"), env, outer)
        branches: list[exp.Expr] = []
        first = node
        while isinstance(first, _SETS):
            branches.append(first.expression)
            first = first.this
            while type(first) is exp.Subquery and is_bare(first):
                first = first.this
        # WHY: SQLite looks for terms of ORDER BY in the branches; others see nothing of them but their output.
        scope = Scope([], env, outer, is_doubtful=True)
        names: set[str] = set()
        output: Output = []
        for index, branch in enumerate([first, *reversed(branches)]):
            if type(branch) is exp.Select:
                found, inner = self._select(branch, env, outer)
                scope.sources += inner.sources
                names |= inner.aliases
            else:
                found = self.query(branch, env, outer)
            names.update(name for name, _ in found)
            if index == 0:
                output = found
                if on_first:
                    on_first(found)
        scope.aliases = frozenset(names - {""})
        self._order(node.args.get("order"), scope)
        for key in ("limit", "offset"):
            if part := node.args.get(key):
                self.expression(part, scope)
        return output

    def _values(self, node: exp.Values, env: Environment | None, outer: Scope | None) -> Output:
        scope = Scope([], env, outer)
        for row in node.expressions:
            self.expression(row, scope)
        width = len(node.expressions[0].expressions) if node.expressions else 0
        self.names.effort.check_width(width)
        return [(f"column{number}" if self.naming.names_values else "", GUESSED) for number in range(1, width + 1)]

    # Common table expressions

    def _with(self, node: exp.With | None, around: Environment | None, outer: Scope | None) -> Environment | None:
        if node is None:
            return around
        is_recursive = bool(node.args.get("recursive"))
        sees_all = self.naming.ctes_see_all or (is_recursive and self.naming.recursion_sees_all)
        env = Environment({}, around, hides_outer=self.naming.nested_with_hides_outer)
        seen: set[str] = set()
        for cte in node.expressions:
            alias = cte.args.get("alias")
            name = self.names.name(alias.this if alias else None)
            self.names.spell(alias.this if alias else None)
            if name in seen:
                self.names.find("construct", alias.this if alias else None, "two of one name in WITH")
            seen.add(name)
            if sees_all:
                env.ctes[name] = Cte(cte, env, None if self.naming.ctes_see_all else outer)
            else:
                known = Cte(cte, env, outer)
                if is_recursive:
                    known.env = Environment({name: known}, env)
                self.read_cte(known)
                env = Environment({name: known}, env)
        if sees_all:
            for known in env.ctes.values():
                self.read_cte(known)
        return env

    def read_cte(self, cte: Cte) -> None:
        """Resolve a common table expression once, in its own place."""
        if cte.is_begun:
            if not cte.is_done:
                self.is_recursive = cte.is_circular = True
            return
        cte.is_begun = True
        declared = [self.names.name(column) for column in cte.node.args["alias"].args.get("columns") or ()]
        self.names.effort.check_width(len(declared), cte.node.args["alias"].this)

        def show(output: Output) -> None:
            cte.columns, cte.is_open = derived(output, declared)
            shown = [origin for _, origin in output if origin is not HIDDEN]
            if declared and len(shown) < len(output) and len(shown) != len(declared):
                # WHY: by position, the name of a visible column could fall on one that `*` hides.
                self.names.find("construct", cte.node.args["alias"].this, "a column list over `*`")

        body = cte.node.this
        if isinstance(body, _SETS):
            show(self._compound(body, cte.env, cte.outer, show))
        else:
            show(self.query(body, cte.env, cte.outer))
        cte.is_done = True
        if cte.is_circular and not self.naming.recursion_sees_all and not _is_of_two_parts(body):
            # WHY: DuckDB takes all parts but the last for those before the recursion, and looks for a table there;
            # EXCEPT and INTERSECT are no recursion to it.
            self.names.find("construct", cte.node.args["alias"].this, "a recursion of more than two parts of a UNION")

    # Expressions

    def _output(self, items: Iterable[exp.Expr], scope: Scope) -> Output:
        output: Output = []
        aliases: set[str] = set()
        width = 0
        for item in items:
            cls = type(item)
            if cls is exp.Star or (cls is exp.Column and type(item.this) is not exp.Identifier):
                found = self._star(item, scope)
                width += _width(found)
                output += found
            else:
                output.append((self._named(item, scope, aliases), None if cls in _SAY_THEIR_NAME else GUESSED))
                width += 1
                if scope.sees_aliases:
                    scope.aliases = frozenset(aliases)
            self.names.effort.check_width(width)
        scope.aliases = frozenset(aliases)
        return output

    def _named(self, item: exp.Expr, scope: Scope, aliases: set[str]) -> str:
        """Resolve one output that is not `*`; returns its name, if it has one that we know."""
        if type(item) is exp.Alias:
            if _is_star(item.this):
                # WHY: PostgreSQL passes over the name and gives all columns; what is so named would be another column.
                self.names.find("construct", item.args.get("alias"), "an alias of `*`")
            self.expression(item.this, scope)
            name = self.names.alias(item.args.get("alias"))
            aliases.add(name)
            return name
        self.expression(item, scope)
        return self.naming.output_name(item)

    def _star(self, item: exp.Expr, scope: Scope) -> Output:
        star = item if type(item) is exp.Star else item.this
        sources: Iterable[Source] = scope.sources
        self.names.effort.spend(len(scope.sources))
        clauses = {key: value for key, value in star.args.items() if value}
        excluded = clauses.pop("except_", ()) if self.naming.has_star_without else ()
        if clauses or item.args.get("db"):
            self.names.find("construct", item.args.get("table"), "*")
        without = frozenset(self.names.name(column.this) for column in excluded)
        if table := item.args.get("table"):
            name = self.names.name(table)
            self.names.spell(table)
            sources = [source for source in scope.sources if source.name == name]
            if not sources:
                self.names.find("table", table, name)
        if excluded and not any(source.is_open for source in sources):
            shown = {name for source in sources for name, origin in source.columns.items() if origin is not HIDDEN}
            for column in excluded:
                if self.names.folded(column.this) not in shown:
                    self.names.find("column", column, self.names.folded(column.this))
        output: Output = []
        for source in sources:
            self.names.all_of(source, is_star=True)
            output += [(name, computed(origin)) for name, origin in source.columns.items() if name not in without]
            if source.is_open:
                output.append(("", None))
        return output

    def _order(self, node: exp.Expr | None, scope: Scope) -> None:
        """Resolve ORDER BY: a term that is an output name means that output, whatever columns there are."""
        for ordered in node.expressions if node else ():
            term = ordered.this
            is_bare_name = type(term) is not exp.Collate  # else it is an expression to MariaDB and PostgreSQL
            while type(term) is exp.Collate:
                term = term.this
            if type(term) is exp.Column and not term.args.get("table") and term.name:
                name = self.names.folded(term.this)
                if name in scope.aliases:
                    self.names.name(term.this)
                    if self.naming.orders_by_columns_too:
                        self.names.perhaps(name, scope)
                    if is_bare_name:
                        continue
            self.expression(ordered, scope)

    def expression(self, root: exp.Expr, scope: Scope) -> None:
        """Resolve every column of an expression and every query within it. Not recursive: chains may be long."""
        stack = [root]
        while stack:
            node = stack.pop()
            cls = type(node)
            if cls is exp.Column:
                self.names.column(node, scope)
            elif cls in _LEAVES:
                continue
            elif cls in _QUERIES:
                self.has_nested_query = True
                self.query(node, scope.env, scope)
            elif cls in _ODD:
                stack.extend(self._odd(node, scope))
            else:
                stack.extend(node.iter_expressions())

    def _odd(self, node: exp.Expr, scope: Scope) -> Iterable[exp.Expr]:
        """Resolve what means something only in its own place; returns the parts left to resolve."""
        match node:
            case exp.Identifier() if type(node.parent) is exp.Window:
                self.names.name(node)
            case exp.Star() if not _counts(node.parent):
                self.names.find("construct", None, "*")
            case exp.Boolean() if self.naming.has_boolean_columns:
                self._boolean(node, scope)
            case exp.In():
                if field := node.args.get("field"):
                    self.names.find("in-table", field, field.name)
                return node.iter_expressions()
            case exp.Table() | exp.TableAlias() | exp.With() | exp.CTE() | exp.Join() | exp.From() | exp.Lateral():
                self.names.find("construct", node, node.key)
            case _:
                pass
        return ()

    def _boolean(self, node: exp.Expr, scope: Scope) -> None:
        """`TRUE` and `FALSE` are columns in SQLite if a source has such a column."""
        name = "true" if node.this else "false"
        self.names.effort.spend(len(scope.sources))
        if any(name in source.columns for source in scope.sources):
            self.names.find("construct", None, name)


def _is_of_two_parts(body: exp.Expr) -> bool:
    first = body.this
    while type(first) is exp.Subquery and is_bare(first):
        first = first.this
    return type(body) is exp.Union and not isinstance(first, _SETS)


def _is_star(node: exp.Expr) -> bool:
    while type(node) is exp.Paren:
        node = node.this
    return type(node) is exp.Star or (type(node) is exp.Column and type(node.this) is exp.Star)


def _counts(node: exp.Expr | None) -> bool:
    return type(node) is exp.Count or (type(node) is exp.Anonymous and node.name.lower() == "count")


def _width(output: Output) -> int:
    """How many columns the engine makes of `*` at the least: none of what is hidden, one of what USING joins."""
    return len({name for name, origin in output if origin is not HIDDEN})
