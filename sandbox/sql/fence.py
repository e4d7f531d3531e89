"""Must hidden rows be left out before anything of the statement is evaluated? Yes, if one could show itself.

The planner may run a caller's predicate before the filter of a view, a spec's or the database's own. Where that raises,
or runs long, it is an oracle over rows nobody should see. A predicate that merely compares is one too: reading a value
raises where it is no UTF-8 or longer than the session takes, and a view's column may be any expression. Only the row's
number does not: the engine keeps it an integer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sqlglot import exp

from sandbox.sql.catalogue import folded
from sandbox.sql.resolve import Resolved
from sandbox.sql.tables import rule_of

_MAX_PATTERN: Final = 200
_MAX_WILDCARDS: Final = 4
"""LIKE backtracks once more for each `%`; SQLite raises beyond 50,000 bytes of pattern."""
_CONDITIONS: Final = ("where", "having")


def is_fenced(resolved: Resolved) -> bool:
    """Whether the statement reads a table that hides rows, and meets those rows with more than their number."""
    return _hides_rows(resolved) and (_can_raise(resolved) or not _meets_numbers_alone(resolved))


def _hides_rows(resolved: Resolved) -> bool:
    """Whether a table has a row filter, or is a view of the database, which may leave out rows of what it reads."""
    given = resolved.parsed.lexed.given
    rules = (rule_of(given, folded(name)) for name in resolved.relations)
    if any(rule is not None and rule.row_filter is not None for rule in rules):
        return True
    return any(given.catalogue.tables[folded(name)].kind == "view" for name in resolved.relations)


def _meets_numbers_alone(resolved: Resolved) -> bool:
    """Whether it is a plain query of one table whose conditions name nothing but the row's number."""
    tree = resolved.parsed.tree
    source = tree.args.get("from_")
    if type(tree) is not exp.Select or tree.args.get("with_") or tree.args.get("joins") or source is None:
        return False
    if type(source.this) is not exp.Table or source.this.args.get("joins") or len(resolved.relations) != 1:
        return False
    nodes = resolved.parsed.nodes
    if exp.Min in nodes or exp.Max in nodes:  # SQLite may look for the end of an index by itself
        return False
    (name,) = resolved.relations
    shape = resolved.parsed.lexed.given.catalogue.tables[folded(name)]
    numbers = {folded(column.name) for column in shape.columns if column.is_row_number}
    return all(folded(column.name) in numbers for column in _columns_met(tree))


def _columns_met(tree: exp.Expr) -> Iterator[exp.Column]:
    for clause in _CONDITIONS:
        condition = tree.args.get(clause)
        if condition is not None:
            yield from condition.find_all(exp.Column)


def _can_raise(resolved: Resolved) -> bool:
    """Whether the statement holds anything that can raise or run long over a row. When unsure: yes."""
    parsed = resolved.parsed
    dialect = parsed.lexed.dialect
    return (
        resolved.has_nested_query
        or resolved.is_recursive
        or not parsed.nodes.keys().isdisjoint(dialect.fenced_kinds)
        or _calls_raising(resolved)
        or not _is_plain(parsed.nodes.get(exp.Like, ()), "%")
        or not _is_plain(parsed.nodes.get(exp.Glob, ()), "*[")
        or not all(
            _is_number(limit.expression) for kind in (exp.Limit, exp.Offset) for limit in parsed.nodes.get(kind, ())
        )
    )


def _calls_raising(resolved: Resolved) -> bool:
    functions = resolved.parsed.lexed.dialect.functions
    return any(functions[token.key.lower()].can_raise for token in resolved.calls)


def _is_plain(matches: Iterable[exp.Expr], wildcards: str) -> bool:
    """Whether every pattern is a short literal with few wildcards."""
    for node in matches:
        pattern = node.expression
        if type(pattern) is not exp.Literal or not pattern.is_string or len(pattern.name) > _MAX_PATTERN:
            return False
        if sum(map(pattern.name.count, wildcards)) > _MAX_WILDCARDS:
            return False
    return True


def _is_number(node: exp.Expr) -> bool:
    return type(node) is exp.Literal and not node.is_string
