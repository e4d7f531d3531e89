"""Does a column for aggregates alone come out only as an aggregate of enough values?

Decided from where the column stands, not from what comes out: `sum(c)`, `avg(c)` or `count(c)` of the column itself,
in a SELECT from its table alone whose HAVING is `count(c) >= N`. A join could repeat one row N times, and so could a
function that returns rows, which engines evaluate before they group; an expression or a FILTER could pick one. HAVING
holds nothing else, for what is written first is not evaluated first: engines order conditions by their cost, and HAVING
of all but PostgreSQL sees the names of the output. So do they with what they push into HAVING from a query around it,
which is why such a SELECT is the outermost or has a LIMIT: none pushes through one.

MariaDB fills a table for DISTINCT, ROLLUP and windows before it evaluates HAVING, so that an error in what is made of
an aggregate tells of a group too small: there an aggregate is an output by itself.

What this cannot stop: two aggregates that differ by one row; the error of a sum beyond its type, for which a small
group can be enough; rows that come in the order of an index on the column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, final

from sqlglot import exp

from sandbox.reasons import Reason, quoted
from sandbox.sql.catalogue import folded
from sandbox.sql.dialects.base import Dialect
from sandbox.sql.guarded_told import form_told, union_told, written
from sandbox.sql.lex import Lexed
from sandbox.sql.names import NATURAL, Finding, GuardedUse
from sandbox.sql.parse import start_of
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first
from sandbox.sql.tables import rule_of
from sandbox.sql.told import columns_told

RULE: Final = "sql/aggregate-only"
AGGREGATES: Final = ("avg", "count", "sum")
"""Each is made of all values of its group. `min` and `max` are one of them."""
_CALLS: Final[Mapping[type[exp.Expr], str]] = {exp.Avg: "avg", exp.Count: "count", exp.Sum: "sum"}
_AROUND: Final = (exp.Window, exp.Filter, exp.WithinGroup)
"""What makes another aggregate of one: over other rows than its group's."""
_MAX_BOUND: Final = 2**31 - 1
"""A larger number is no int4 to PostgreSQL, and a comparison with it costs more than what is to come after it."""
_AT_LEAST: Final[Mapping[type[exp.Expr], int]] = {exp.GTE: 0, exp.GT: 1}


def check(resolved: Resolved) -> None:
    """Refuse every other use of such a column."""
    if resolved.findings:
        refuse_first(
            resolved, "aggregate-only", Reason.SQL_OBJECT_FORBIDDEN, RULE, lambda finding: _spread(resolved, finding)
        )
    if not resolved.guarded:
        return
    counts = {id(use.node): use for use in resolved.guarded if _aggregate(use) == "count"}
    selects = _Selects(counts, resolved.parsed.lexed.given.bounds.min_group_size, resolved.parsed.lexed.dialect)
    for use in sorted(resolved.guarded, key=lambda use: start_of(use.node)):
        why = _why_not(use, selects, resolved.parsed.lexed)
        if why:
            raise refused(
                Reason.SQL_OBJECT_FORBIDDEN,
                RULE,
                f"the column {quoted(use.node.name)} is for aggregates alone: {why}",
                text=resolved.parsed.lexed.text,
                start=start_of(use.node),
                construct=use.node.name[:40],
            )


def _spread(resolved: Resolved, finding: Finding) -> str:
    if finding.name == "*":
        rules = [rule_of(resolved.parsed.lexed.given, folded(table)) for table in sorted(resolved.relations)]
        told = columns_told([rule for rule in rules if rule])
        return f"`*` holds a column that is for aggregates alone; columns by name are accepted: {told}"
    if finding.name == NATURAL:
        return "NATURAL could compare a column that is for aggregates alone; `JOIN … ON` over other columns is accepted"
    return (
        f"the column {quoted(finding.name)} is for aggregates alone and cannot join rows; a join over other columns is"
        " accepted"
    )


@final
class _Selects:
    """What is known of each SELECT that aggregates such a column, found once."""

    def __init__(self, counts: Mapping[int, GuardedUse], least: int, dialect: Dialect) -> None:
        """Know where such a column is counted, by node, and how many values a group needs."""
        self._counts = counts
        self._repeats: dict[int, str] = {}
        self._demanded: dict[int, frozenset[tuple[str, str]]] = {}
        self.least = least
        self.dialect = dialect

    def repeats(self, select: exp.Select) -> str:
        """Return a function of the SELECT that makes several rows of one, if there is any."""
        if id(select) not in self._repeats:
            names = (call.name.lower() for call in select.find_all(exp.Anonymous))
            self._repeats[id(select)] = next((name for name in names if name in self.dialect.table_functions), "")
        return self._repeats[id(select)]

    def demanded(self, select: exp.Select) -> frozenset[tuple[str, str]]:
        """Return the columns of which HAVING demands enough values; none if it is anything but such demands."""
        if id(select) not in self._demanded:
            conditions = list(_conjuncts(select.args.get("having")))
            is_pure = all(_is_demand(each, self._counts, self.least) for each in conditions)
            counted = (node for each in conditions for node in each.this.iter_expressions()) if is_pure else ()
            found = frozenset(self._counts[id(node)].origin for node in counted)
            self._demanded[id(select)] = frozenset() if select.args.get("qualify") else found
        return self._demanded[id(select)]


def _why_not(use: GuardedUse, selects: _Selects, lexed: Lexed) -> str:
    name = written(use.node, lexed)
    if not _aggregate(use):
        return form_told(use.node, lexed) or (
            f"it cannot stand {_place(use.node)}; `sum({name})`, `avg({name})` and `count({name})` as outputs are"
            f" accepted, without DISTINCT, FILTER or OVER, with `HAVING count({name}) >= {selects.least}`"
        )
    select = use.node.find_ancestor(exp.Select, exp.SetOperation)
    if not isinstance(select, exp.Select) or not _is_alone(use):
        return "it is aggregated in a SELECT from its table alone; join to the result of that SELECT"
    why = _why_not_there(use, select, selects, name)
    return (union_told(use.node, lexed) if why == _CONDITIONS else "") or why


def _why_not_there(use: GuardedUse, select: exp.Select, selects: _Selects, name: str) -> str:
    """Say what is wrong with the SELECT in which it is aggregated."""
    if repeats := selects.repeats(select):
        return f"{quoted(repeats)} could repeat a row of that SELECT; it is accepted in a query around it"
    if use.scope is not None and use.scope.is_correlated:
        # WHY: a group of the caller's choosing for each row; two of them that differ by one value list all values.
        return "that SELECT names something of a query around it; it is accepted where it names its own table alone"
    if selects.dialect.has_early_outputs and not _is_output(use):
        return "its aggregates are outputs by themselves here; what is made of them goes into a query around"
    if use.origin not in selects.demanded(select):
        needed = f"`HAVING count({name}) >= {selects.least}`"
        return f"that SELECT needs {needed}, alone; {_FURTHER}"
    if not _is_kept_apart(select):
        return _CONDITIONS
    return ""


_LIMIT: Final = "a `LIMIT` above the number of its groups, such as `LIMIT 1000000`"
_FURTHER: Final = (
    "other columns are filtered in its WHERE, and what is asked of the aggregate goes into a query around it, where"
    f" that SELECT ends with {_LIMIT}"
)
_CONDITIONS: Final = f"conditions of the query around it could be evaluated first; end the inner SELECT with {_LIMIT}"


_PLACES: Final[Mapping[type[exp.Expr], str]] = {
    exp.Where: "in the filter (`WHERE`)",
    exp.Order: "in the sort (`ORDER BY`)",
    exp.Having: "in `HAVING`",
    exp.Qualify: "in `QUALIFY`",
    exp.Join: "in a join's condition",
    exp.Group: "in `GROUP BY`",
    exp.Distinct: "in `DISTINCT`",
    exp.Limit: "in `LIMIT`",
    exp.Offset: "in `OFFSET`",
    exp.Window: "in a window",
    exp.Filter: "in `FILTER`",
}
_QUERIES: Final = (exp.Select, exp.SetOperation, exp.Values)


def _place(node: exp.Expr) -> str:
    """Return where a column stands, as its writer calls it: the nearest clause around it."""
    around = node.parent
    while around is not None and not isinstance(around, _QUERIES):
        clause = around.parent if isinstance(around.parent, (exp.Filter, exp.Window)) else around
        if type(clause) in _PLACES:
            return _PLACES[type(clause)]
        around = around.parent
    if isinstance(node.parent, (exp.Anonymous, exp.Max, exp.Min)):
        return f"within {quoted(node.parent.name or node.parent.key)}"
    is_output = isinstance(node.parent, (exp.Alias, *_QUERIES))
    return "by itself among the outputs" if is_output else "within an expression of the outputs"


def _aggregate(use: GuardedUse) -> str:
    """Return the permitted aggregate that has this column, and nothing else, as its argument; or nothing."""
    call = use.node.parent
    if call is None or isinstance(call.parent, _AROUND) or list(call.iter_expressions()) != [use.node]:
        return ""
    name = call.name.lower() if type(call) is exp.Anonymous else _CALLS.get(type(call), "")
    return name if name in AGGREGATES else ""


def _is_output(use: GuardedUse) -> bool:
    """Whether its aggregate is an output or a term of ORDER BY and nothing around it, or stands in HAVING."""
    call = use.node.parent
    around = call.parent if call is not None else None
    if isinstance(around, exp.Alias):
        around = around.parent
    elif isinstance(around, exp.Ordered) and around.parent is not None:
        around = around.parent.parent
    return isinstance(around, exp.Select) or isinstance(use.node.find_ancestor(exp.Having, exp.Select), exp.Having)


def _is_alone(use: GuardedUse) -> bool:
    """Whether the column's own SELECT reads its table and nothing beside."""
    return use.scope is not None and [source.table for source in use.scope.sources] == [use.origin[0]]


def _conjuncts(having: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the conditions that must all hold, as they are written."""
    stack = [having.this] if having is not None else []
    while stack:
        part = stack.pop()
        if type(part) is exp.And:
            stack += [part.expression, part.this]
        else:
            yield part


def _is_demand(part: exp.Expr, counts: Mapping[int, GuardedUse], least: int) -> bool:
    """Whether a condition is `count(c) >= N` with an N that is large enough."""
    if type(part) not in _AT_LEAST or not any(id(node) in counts for node in part.this.iter_expressions()):
        return False
    bound = part.expression
    is_whole = type(bound) is exp.Literal and not bound.is_string and bound.name.isdecimal()
    return is_whole and least <= int(bound.name) + _AT_LEAST[type(part)] <= _MAX_BOUND


def _is_kept_apart(select: exp.Select) -> bool:
    """Whether no engine evaluates a condition of a query around this one for its groups.

    SQLite (`pushDownWhereTerms`), PostgreSQL (`subquery_is_pushdown_safe`), DuckDB (`FilterPushdown`, which stops at a
    limit) and MariaDB (`pushdown_cond_for_derived`) leave a query with a LIMIT alone.
    """
    limit = select.args.get("limit")
    bound = limit.expression if limit is not None else None
    return select.parent is None or (type(bound) is exp.Literal and bound.name.isdecimal())
