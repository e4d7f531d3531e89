"""What does PostgreSQL call an output without an alias, as `FigureColname` does, and how does it find names?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlglot import exp

from sandbox.sql.catalogue import folded
from sandbox.sql.dialects.base import Naming, words

_FIXED: Final[Mapping[type[exp.Expr], str]] = MappingProxyType(
    {
        exp.Array: "array",
        exp.AtTimeZone: "timezone",
        exp.Exists: "exists",
        exp.Extract: "extract",
        exp.Grouping: "grouping",
        exp.Left: "left",
        exp.Right: "right",
        exp.Overlay: "overlay",
        exp.StrPosition: "position",
        exp.Substring: "substring",
        exp.CurrentDate: "current_date",
        exp.CurrentTime: "current_time",
        exp.CurrentTimestamp: "current_timestamp",
        exp.Localtime: "localtime",
        exp.Localtimestamp: "localtimestamp",
        exp.Overlaps: "overlaps",
    }
)
_TRIMS: Final[Mapping[str, str]] = MappingProxyType({"LEADING": "ltrim", "TRAILING": "rtrim"})
_WRAPPED: Final = (exp.Paren, exp.Bracket, exp.Window, exp.Filter, exp.WithinGroup, exp.Collate, exp.Cast, exp.Alias)


def _output_name(item: exp.Expr) -> str:
    """Return the name; empty where there is none, or only the name of a type."""
    node: exp.Expr = item
    while isinstance(node, (*_WRAPPED, exp.Subquery, exp.Select, exp.Case)):
        if isinstance(node, exp.Alias):
            alias = node.args["alias"]
            return str(alias.this) if alias.args.get("quoted") else folded(alias.this)
        if isinstance(node, exp.Select):
            inner = node.expressions[0] if node.expressions else None
        elif isinstance(node, exp.Case):
            inner = node.args.get("default")
        else:
            inner = node.this
        if not isinstance(inner, exp.Expr):
            break
        if isinstance(node, exp.Case):
            return _output_name(inner) or "case"
        node = inner
    return _own_name(node)


def _own_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
        return str(node.this.this) if node.this.args.get("quoted") else folded(node.this.this)
    if isinstance(node, exp.Anonymous):
        return node.name.lower()
    if isinstance(node, exp.Trim):
        return _TRIMS.get(str(node.args.get("position") or "").upper(), "btrim")
    if isinstance(node, exp.Case):
        return "case"
    return _FIXED.get(type(node), "")


NAMING: Final = Naming(
    default_schema="public",
    keeps_case_in_quotes=True,
    has_string_names=False,
    has_boolean_columns=False,
    has_query_parentheses=True,
    has_whole_rows=True,
    has_star_without=False,
    alias_clauses=words("group distinct"),
    orders_by_columns_too=False,
    ctes_see_all=False,
    renames_columns=True,
    conditions_see_all=False,
    reads_joins_whole=False,
    counts_by_bare_name=False,
    output_name=_output_name,
)
