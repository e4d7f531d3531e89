"""What does each name of a statement mean? Every table and column it reads, found as SQLite finds them.

Follows `lookupName` and `sqlite3SelectPrep` of SQLite's src/resolve.c and src/select.c: the nearest SELECT with such a
column wins, output names come after columns (before them in ORDER BY), a double-quoted name that means nothing is a
string. Names are looked up among *all* columns of a table; what the rules hide is a finding, never a string or a column
of an outer SELECT. It never decides: `rules/` do, on the findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from sqlglot import exp

from sandbox.sql.catalogue import folded
from sandbox.sql.dialects.base import Token
from sandbox.sql.names import Finding, FindingKind, Names
from sandbox.sql.parse import Parsed
from sandbox.sql.scope import HIDDEN, Cte, Environment, Origin, Scope, Source


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
    named_at: frozenset[int]
    """Where the names that were looked up begin."""
    calls: tuple[Token, ...]
    """Words and quoted names before a parenthesis that name no table or alias: calls of functions."""
    strings: tuple[int, ...]
    """Where double-quoted names stand that mean nothing and so are strings to SQLite."""
    has_nested_query: bool
    """A query stands within an expression."""
    is_recursive: bool


_Output: TypeAlias = "list[tuple[str, Origin]]"
"""Output columns in order; an empty name is one we do not know."""

_SETS: Final = (exp.Union, exp.Intersect, exp.Except)
_QUERIES: Final = frozenset({exp.Select, exp.Values, *_SETS})
_LEAVES: Final = frozenset({exp.Literal, exp.Null, exp.Placeholder, exp.HexString, exp.DataType, exp.Var})
_ODD: Final = frozenset(
    {exp.Identifier, exp.Star, exp.Boolean, exp.In} | {exp.Table, exp.TableAlias, exp.With, exp.CTE, exp.Join, exp.From}
)
_MAX_TABLES: Final = 64
"""SQLite joins no more; without this a long chain of NATURAL JOINs would cost its square."""
_READ_FIRST: Final = frozenset({"with_", "from_", "joins", "expressions", "order"})
_FROM_KEYS: Final = frozenset({"this", "alias", "joins", "db", "catalog"})


def resolve(parsed: Parsed) -> Resolved:
    """Look up every name of the tree."""
    resolver = _Resolver(parsed)
    resolver.query(parsed.tree, None, None)
    names = resolver.names
    strings = names.settle_strings()
    names.settle_counted()
    lexed = parsed.lexed
    tokens, keys, last = lexed.tokens, lexed.keys, len(lexed.keys) - 1
    return Resolved(
        parsed=parsed,
        relations=frozenset(names.tables.read),
        columns=frozenset(names.columns),
        stars=frozenset(names.stars),
        findings=tuple(names.findings),
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
class _Resolver:
    __slots__ = ("has_nested_query", "is_recursive", "names")

    def __init__(self, parsed: Parsed) -> None:
        self.names = Names(parsed)
        self.has_nested_query = False
        self.is_recursive = False

    # Queries

    def query(self, node: exp.Expr, env: Environment | None, outer: Scope | None) -> _Output:
        """Resolve one query in the scope around it; returns its output columns."""
        if type(node) is exp.Select:
            return self._select(node, env, outer)[0]
        if isinstance(node, _SETS):
            return self._compound(node, env, outer, None)
        if type(node) is exp.Values:
            return self._values(node, env, outer)
        self.names.find("construct", node, node.key)
        return []

    def _select(self, node: exp.Select, env: Environment | None, outer: Scope | None) -> tuple[_Output, Scope]:
        args = node.args
        env = self._with(args.get("with_"), env)
        scope = Scope([], env, outer)
        conditions: list[exp.Expr] = []
        if from_ := args.get("from_"):
            scope.sources = self._sources(from_.this, scope, conditions)
        for join in args.get("joins") or ():
            self._join(scope.sources, join, scope, conditions)
        output = self._output(node.expressions, scope)
        for condition in conditions:
            self._expression(condition, scope)
        for key, value in args.items():
            if key not in _READ_FIRST and value:
                for part in value if isinstance(value, list) else (value,):
                    if isinstance(part, exp.Expr):
                        self._expression(part, scope)
        self._order(args.get("order"), scope)
        self.names.counted(scope.sources)
        return output, scope

    def _compound(
        self,
        node: exp.Expr,
        env: Environment | None,
        outer: Scope | None,
        on_first: Callable[[_Output], None] | None,
    ) -> _Output:
        """Resolve UNION, INTERSECT and EXCEPT; `on_first` hears the output of the first branch before the others."""
        env = self._with(node.args.get("with_"), env)
        branches: list[exp.Expr] = []
        first = node
        while isinstance(first, _SETS):
            branches.append(first.expression)
            first = first.this
            while type(first) is exp.Subquery and not any(first.args[key] for key in first.args if key != "this"):
                first = first.this
        scope = Scope([], env, outer)
        names: set[str] = set()
        output: _Output = []
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
                self._expression(part, scope)
        return output

    def _values(self, node: exp.Values, env: Environment | None, outer: Scope | None) -> _Output:
        scope = Scope([], env, outer)
        for row in node.expressions:
            self._expression(row, scope)
        width = len(node.expressions[0].expressions) if node.expressions else 0
        self.names.effort.check_width(width)
        return [(f"column{number}", None) for number in range(1, width + 1)]

    # Common table expressions

    def _with(self, node: exp.With | None, outer: Environment | None) -> Environment | None:
        if node is None:
            return outer
        env = Environment({}, outer)
        for cte in node.expressions:
            alias = cte.args.get("alias")
            name = self.names.name(alias.this if alias else None)
            if name in env.ctes:
                self.names.find("construct", alias.this if alias else None, "two of one name in WITH")
            env.ctes[name] = Cte(cte, env)
        for known in env.ctes.values():
            self._read_cte(known)
        return env

    def _read_cte(self, cte: Cte) -> None:
        """Resolve a common table expression once. It sees all others of its WITH, later ones too, and no outer row."""
        if cte.is_begun:
            self.is_recursive = self.is_recursive or not cte.is_done
            return
        cte.is_begun = True
        declared = [self.names.name(column) for column in cte.node.args["alias"].args.get("columns") or ()]
        self.names.effort.check_width(len(declared), cte.node.args["alias"].this)

        def show(output: _Output) -> None:
            cte.columns, cte.is_open = _derived(output, declared)
            shown = [origin for _, origin in output if origin is not HIDDEN]
            if declared and len(shown) < len(output) and len(shown) != len(declared):
                # WHY: by position, the name of a visible column could fall on one that `*` hides.
                self.names.find("construct", cte.node.args["alias"].this, "a column list over `*`")

        body = cte.node.this
        if isinstance(body, _SETS):
            show(self._compound(body, cte.env, None, show))
        else:
            show(self.query(body, cte.env, None))
        cte.is_done = True

    # Sources

    def _sources(self, node: exp.Expr, scope: Scope, conditions: list[exp.Expr]) -> list[Source]:
        """Resolve one item of a FROM clause with the joins that hang on it."""
        self.names.effort.open_source(node)
        if type(node) is exp.Table:
            sources = [self._table(node, scope)]
        elif type(node) is exp.Subquery and type(node.this) in (exp.Table, exp.Subquery):
            sources = self._sources(node.this, scope, conditions)
            for source in sources:
                # WHY: SQLite makes a subquery of a join in parentheses, and reads every column for it.
                self.names.all_of(source, is_star=False)
            if node.args.get("alias"):
                sources = [self._join_as_one(node, sources)]
        elif type(node) is exp.Subquery or type(node) is exp.Values:
            query = node.this if type(node) is exp.Subquery else node
            columns, is_open = _derived(self.query(query, scope.env, scope.outer), [])
            sources = [Source(self._table_alias(node), columns, is_open=is_open)]
        else:
            self.names.find("construct", node, node.key)
            return []
        for join in node.args.get("joins") or ():
            self._join(sources, join, scope, conditions)
        return sources

    def _table(self, node: exp.Table, scope: Scope) -> Source:
        args = node.args
        this = args.get("this")
        if type(this) is not exp.Identifier:
            self.names.find("table-function", node, this.name if isinstance(this, exp.Expr) else "")
            return Source(self._table_alias(node), {}, is_open=True)
        if any(value for key, value in args.items() if key not in _FROM_KEYS):
            self.names.find("construct", this, "table option")
        name = self.names.name(this)
        if args.get("db") is not None or args.get("catalog") is not None:
            db = args.get("db")
            self.names.find("qualified-name", db if type(db) is exp.Identifier else this, name)
            return Source(name, {}, is_open=True)
        alias = self._table_alias(node) or name
        cte = scope.env.find(name) if scope.env else None
        if cte is not None:
            self._read_cte(cte)
            if cte.columns is None:
                kind: FindingKind = "cte-name" if self.names.tables.is_allowed(name) else "construct"
                self.names.find(kind, this, name if kind == "cte-name" else "circular WITH")
            return Source(alias, cte.columns or {}, is_open=cte.is_open, cte_at=this)
        found = self.names.tables.find(name)
        if found is None:
            self.names.find("table", this, name)
            return Source(alias, {}, is_open=True)
        table, columns = found
        return Source(alias, columns, table)

    def _table_alias(self, node: exp.Expr) -> str:
        alias = node.args.get("alias")
        if alias is None:
            return ""
        if alias.args.get("columns"):
            self.names.find("construct", alias.this, "column list after an alias")
        return self.names.alias(alias.this)

    def _join_as_one(self, node: exp.Expr, sources: list[Source]) -> Source:
        columns: dict[str, Origin] = {}
        self.names.effort.spend(sum(len(source.columns) for source in sources))
        for source in sources:
            for name, origin in source.columns.items():
                if columns.get(name, HIDDEN) is HIDDEN:
                    columns[name] = origin
        return Source(self._table_alias(node), columns)

    def _join(self, left: list[Source], join: exp.Join, scope: Scope, conditions: list[exp.Expr]) -> None:
        right = self._sources(join.this, scope, conditions)
        args = join.args
        if type(join.this) is exp.Table and join.this.args.get("joins"):
            self.names.find("construct", join.this, "ON after the next join")
        if len(left) > _MAX_TABLES:
            self.names.find("construct", join.this, "a join of so many tables")
            return
        if args.get("method") == "NATURAL":
            self.names.effort.spend(sum(len(source.columns) for source in (*left, *right)))
            shared = {name for source in right for name in source.columns}
            for name in shared.intersection(*[{n for source in left for n in source.columns}]):
                self.names.shared(name, left, right, join.this)
        for column in args.get("using") or ():
            name = self.names.name(column)
            if not self.names.shared(name, left, right, column):
                self.names.find("column", column, name)
        if on := args.get("on"):
            conditions.append(on)
        left += right

    # Expressions

    def _output(self, items: Iterable[exp.Expr], scope: Scope) -> _Output:
        output: _Output = []
        aliases: set[str] = set()
        width = 0
        for item in items:
            cls = type(item)
            if cls is exp.Star or (cls is exp.Column and type(item.this) is not exp.Identifier):
                found = self._star(item, scope)
                width += _width(found)
                output += found
            else:
                output.append((self._named(item, scope, aliases), None))
                width += 1
            self.names.effort.check_width(width)
        scope.aliases = frozenset(aliases)
        return output

    def _named(self, item: exp.Expr, scope: Scope, aliases: set[str]) -> str:
        """Resolve one output that is not `*`; returns its name, if it has one that we know."""
        if type(item) is exp.Alias:
            self._expression(item.this, scope)
            name = self.names.alias(item.args.get("alias"))
            aliases.add(name)
            return name
        self._expression(item, scope)
        return folded(item.this.this) if type(item) is exp.Column else ""

    def _star(self, item: exp.Expr, scope: Scope) -> _Output:
        star = item if type(item) is exp.Star else item.this
        sources: Iterable[Source] = scope.sources
        self.names.effort.spend(len(scope.sources))
        if any(star.args.values()) or item.args.get("db"):
            self.names.find("construct", item.args.get("table"), "*")
        if table := item.args.get("table"):
            name = self.names.name(table)
            sources = [source for source in scope.sources if source.name == name]
            if not sources:
                self.names.find("table", table, name)
        output: _Output = []
        for source in sources:
            self.names.all_of(source, is_star=True)
            output += [(name, origin if origin is HIDDEN else None) for name, origin in source.columns.items()]
            if source.is_open:
                output.append(("", None))
        return output

    def _order(self, node: exp.Expr | None, scope: Scope) -> None:
        """Resolve ORDER BY: a term that is an output name means that output, whatever columns there are."""
        for ordered in node.expressions if node else ():
            term = ordered.this
            while type(term) is exp.Collate:
                term = term.this
            if type(term) is exp.Column and not term.args.get("table") and term.name:
                name = folded(term.name)
                if name in scope.aliases:
                    self.names.name(term.this)
                    self.names.perhaps(name, scope)
                    continue
            self._expression(ordered, scope)

    def _expression(self, root: exp.Expr, scope: Scope) -> None:
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
            case exp.Star() if type(node.parent) is not exp.Count:
                self.names.find("construct", None, "*")
            case exp.Boolean():
                self._boolean(node, scope)
            case exp.In():
                if field := node.args.get("field"):
                    self.names.find("in-table", field, field.name)
                return node.iter_expressions()
            case exp.Table() | exp.TableAlias() | exp.With() | exp.CTE() | exp.Join() | exp.From():
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


def _width(output: _Output) -> int:
    """How many columns the engine makes of `*` at the least: none of what is hidden, one of what USING joins."""
    return len({name for name, origin in output if origin is not HIDDEN})


def _derived(output: _Output, declared: list[str]) -> tuple[dict[str, Origin], bool]:
    """The columns of a query used as a table, and whether some have names we do not know."""
    if declared:
        return dict.fromkeys(declared, None), False
    columns: dict[str, Origin] = {}
    for name, origin in output:
        if columns.get(name, HIDDEN) is HIDDEN:
            columns[name] = HIDDEN if origin is HIDDEN else None
    is_open = "" in columns
    columns.pop("", None)
    return columns, is_open
