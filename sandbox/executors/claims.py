"""Which claims does a plan carry? The ones its row filters read, cast to the columns they are compared with."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

from sqlglot import exp, parse_one

from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql import Catalogue, TableShape, folded, prove_filter
from sandbox.toolspec import SqlEngine, TableRule
from sandbox.values import Cell, JsonObject, JsonValue

Kind = Literal["integer", "number", "text", "any"]
"""What a claim is cast to. SQLite compares an integer column with the text `x` too, and finds it smaller than any
text: `level < claim('level')` would then hold for every row. So what does not fit is refused before it runs."""

_WANTED: Final[Mapping[Kind, str]] = {
    "integer": "an integer",
    "number": "a number",
    "text": "a text",
    "any": "a text, a number or a boolean",
}
_ANY: Final[Kind] = "any"
_STRICTEST_FIRST: Final[tuple[Kind, ...]] = ("integer", "number", "text", "any")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOUND: Final = 2**63


@final
@dataclass(frozen=True, slots=True)
class ClaimUse:
    """A claim that a plan reads, and what it must be."""

    claim: str
    kind: Kind


def filter_claims(
    tables: Mapping[str, TableRule], catalogue: Catalogue, dialect: SqlEngine
) -> Mapping[str, tuple[ClaimUse, ...]]:
    """Return, by folded table, the claims that its row filter reads; raises `Refused` for a filter not proven."""
    return {
        folded(rule.table): _uses(rule.row_filter, catalogue.tables[folded(rule.table)], dialect)
        for rule in tables.values()
        if rule.row_filter is not None
    }


def claim_values(uses: tuple[ClaimUse, ...], claims: JsonObject) -> dict[str, JsonValue]:
    """Return the values a plan needs; raises `Refused` with `CLAIM_MISSING` for one that is absent or does not fit."""
    return {use.claim: _cast(use, claims.get(use.claim)) for use in uses}


def kind_of(declared_type: str, dialect: SqlEngine) -> Kind:
    """Return what a column of a declared type holds (SQLite: https://sqlite.org/datatype3.html, section 3.1)."""
    declared = declared_type.upper()
    if dialect == "mysql":  # the words of an enum are no type
        declared = declared.partition("(")[0]
    if "INT" in declared:
        return "integer"
    if dialect in {"duckdb", "mysql"}:  # compare a text with any column as the column's own type
        return "number" if declared.startswith(("DECIMAL", "DOUBLE", "FLOAT")) else "text"
    if any(part in declared for part in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if not declared or "BLOB" in declared:
        return "any"
    return "number"


def stricter(one: Kind, other: Kind) -> Kind:
    """Return the kind that satisfies both: a number compares with a text column as its text."""
    return one if _STRICTEST_FIRST.index(one) <= _STRICTEST_FIRST.index(other) else other


def _uses(row_filter: str, shape: TableShape, dialect: SqlEngine) -> tuple[ClaimUse, ...]:
    claims = prove_filter(row_filter, shape, dialect)
    if dialect == "postgres":
        return tuple(ClaimUse(claim, kind) for claim, kind in _cast_by_author(row_filter, claims).items())
    kinds: dict[str, Kind] = {folded(each.name): kind_of(each.declared_type, dialect) for each in shape.columns}
    found: dict[str, Kind] = dict.fromkeys(claims, "any")
    if claims:
        for comparison in parse_one(row_filter, dialect=dialect).find_all(exp.Binary, exp.In, exp.Between):
            _compare(comparison, kinds, found)
    return tuple(ClaimUse(claim, found[claim]) for claim in claims)


def _cast_by_author(row_filter: str, claims: tuple[str, ...]) -> Mapping[str, Kind]:
    """Return what each claim must be on PostgreSQL, where a claim is a text and authors cast it: `claim('t')::int`."""
    found: dict[str, Kind] = dict.fromkeys(claims, "text")
    for cast in parse_one(row_filter, dialect="postgres").find_all(exp.Cast) if claims else ():
        inner, target = cast.this.unnest(), cast.to
        if isinstance(inner, exp.Anonymous) and inner.name.lower() == "claim":
            name = inner.expressions[0].name
            found[name] = stricter(found[name], _kind_of_cast(target))
    return found


def _kind_of_cast(target: exp.DataType) -> Kind:
    if target.this in exp.DataType.INTEGER_TYPES:
        return "integer"
    return "number" if target.this in exp.DataType.NUMERIC_TYPES else "text"


def _literal_kind(literal: exp.Literal) -> Kind:
    return "text" if literal.is_string else "number"


def _compare(comparison: exp.Expr, kinds: Mapping[str, Kind], found: dict[str, Kind]) -> None:
    """Note what the claims of one comparison are compared with; a claim compared twice keeps the stricter kind.

    # INVARIANT: columns count however deep they stand. In an expression one loses its affinity, and any text is then
    # more than any number: a filter that was not meant for texts would let every row through.
    """
    met: list[Kind] = [kinds.get(folded(column.name), _ANY) for column in comparison.find_all(exp.Column)]
    if not met:
        met = [_literal_kind(literal) for literal in comparison.find_all(exp.Literal) if not _is_claim(literal.parent)]
    kind: Kind | None = next((other for other in met if other != _ANY), None)
    for claim in filter(_is_claim, comparison.find_all(exp.Anonymous)):
        if kind is not None:
            name = claim.expressions[0].name
            found[name] = stricter(found.get(name, _ANY), kind)


def _is_claim(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == "claim"


def _cast(use: ClaimUse, value: JsonValue) -> Cell:
    if isinstance(value, str) and use.kind in {"text", "any"}:
        return value
    if value is None:
        message = f"the tool filters rows by the claim {quoted(use.claim)}, which the token does not carry"
        raise Refused(Reason.CLAIM_MISSING, message, rule="claims/missing", claim=use.claim)
    cast = _cast_scalar(use.kind, value) if isinstance(value, (str, int, float)) else None
    if cast is None:
        message = f"the claim {quoted(use.claim)} does not fit the rows it filters; {_WANTED[use.kind]} is accepted"
        raise Refused(Reason.CLAIM_MISSING, message, rule="claims/type", claim=use.claim)
    return cast


def _cast_scalar(kind: Kind, value: str | float) -> str | int | float | None:
    """Return the value as a column of `kind` would compare it, or None if it cannot."""
    if kind == "text":
        return str(value).lower() if isinstance(value, bool) else str(value)
    number = _number(value) if isinstance(value, str) and kind != "any" else value
    if isinstance(number, float):
        if not math.isfinite(number):
            return None
        return _whole(number) if kind == "integer" else number
    if isinstance(number, int):
        return int(number) if -_BOUND <= number < _BOUND else None
    return number


def _whole(number: float) -> int | None:
    return int(number) if number.is_integer() and -_BOUND <= number < _BOUND else None


def _number(text: str) -> int | float | None:
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else None
