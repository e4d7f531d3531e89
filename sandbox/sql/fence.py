"""Must row filters be evaluated first? Yes, if a row they hide could show itself by an error or by the time it takes.

The planner may run a caller's predicate before the filter of a view. A predicate that only compares is harmless then:
its row is dropped without a trace. One that can raise, or run long, is an oracle over rows nobody should see.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from sandbox.sql.resolve import Resolved

_MAX_PATTERN: Final = 200
_MAX_WILDCARDS: Final = 4
"""LIKE backtracks once more for each `%`; SQLite raises beyond 50,000 bytes of pattern."""


def is_fenced(resolved: Resolved) -> bool:
    """Whether the statement holds anything that can raise or run long over a row. When unsure: yes."""
    parsed = resolved.parsed
    dialect = parsed.lexed.dialect
    return (
        resolved.has_nested_query
        or resolved.is_recursive
        or not parsed.kinds.isdisjoint(dialect.fenced_kinds)
        or _calls_raising(resolved)
        or (exp.Like in parsed.kinds and not _is_plain(parsed.tree, exp.Like, "%"))
        or (exp.Glob in parsed.kinds and not _is_plain(parsed.tree, exp.Glob, "*["))
        or any(not _is_number(limit.expression) for limit in parsed.tree.find_all(exp.Limit, exp.Offset))
    )


def _calls_raising(resolved: Resolved) -> bool:
    functions = resolved.parsed.lexed.dialect.functions
    return any(functions[token.key.lower()].can_raise for token in resolved.calls)


def _is_plain(tree: exp.Expr, kind: type[exp.Expr], wildcards: str) -> bool:
    """Whether every pattern is a short literal with few wildcards."""
    for node in tree.find_all(kind):
        pattern = node.expression
        if type(pattern) is not exp.Literal or not pattern.is_string or len(pattern.name) > _MAX_PATTERN:
            return False
        if sum(map(pattern.name.count, wildcards)) > _MAX_WILDCARDS:
            return False
    return True


def _is_number(node: exp.Expr) -> bool:
    return type(node) is exp.Literal and not node.is_string
