"""Does a row filter say yes or no? Its shape is a condition, not a value that an engine would take for one."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

ACCEPTED: Final = (
    "a comparison, `IN`, `BETWEEN`, `IS` or `LIKE`, these joined by `AND`, `OR` and `NOT`, or `TRUE` or `FALSE`"
)

_CONDITIONS: Final = (
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Between, exp.Is,
    exp.Like, exp.ILike, exp.Glob, exp.SimilarTo, exp.RegexpLike, exp.RegexpILike, exp.Boolean,
)  # fmt: skip
_JOINED: Final = (exp.And, exp.Or)
_WITHIN: Final = (exp.Paren, exp.Not, exp.Escape)


def is_condition(filter_tree: object) -> bool:
    """Whether every part that decides is a condition.

    SQLite takes each number but 0 for yes, so that `id` alone, or `claim('branch')`, lets every row pass.
    """
    pending = [filter_tree]
    while pending:
        node = pending.pop()
        if isinstance(node, _JOINED):
            pending += [node.this, node.expression]
        elif isinstance(node, _WITHIN):
            pending.append(node.this)
        elif not isinstance(node, _CONDITIONS):
            return False
    return True
