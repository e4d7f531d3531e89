"""Which claims does a plan carry? The ones its row filters read, cast to the columns they are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from sqlglot import exp, parse_one

from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql import Catalogue, TableShape, folded, prove_filter
from sandbox.toolspec import TableRule
from sandbox.values import JsonObject, JsonValue


@final
@dataclass(frozen=True, slots=True)
class ClaimUse:
    """A claim that a row filter reads, and what it is compared with."""

    claim: str
    column_type: str
    """Declared type of the column on the other side of the comparison; empty if there is none."""


def filter_claims(tables: Mapping[str, TableRule], catalogue: Catalogue) -> Mapping[str, tuple[ClaimUse, ...]]:
    """Return, by table, the claims that its row filter reads; raises `Refused` for a filter that is not proven."""
    return {
        rule.table: _uses(rule.row_filter, catalogue.tables[folded(rule.table)])
        for rule in tables.values()
        if rule.row_filter is not None
    }


def _uses(row_filter: str, shape: TableShape) -> tuple[ClaimUse, ...]:
    claims = prove_filter(row_filter, shape, "sqlite")
    types = {folded(column.name): column.declared_type for column in shape.columns}
    compared: dict[str, str] = {}
    for comparison in parse_one(row_filter, dialect="sqlite").find_all(exp.Binary, exp.In):
        sides = [comparison.this, *comparison.expressions, comparison.args.get("expression")]
        columns = [side for side in sides if isinstance(side, exp.Column)]
        for side in sides:
            if isinstance(side, exp.Anonymous) and side.name.lower() == "claim" and columns:
                compared[side.expressions[0].name] = types.get(folded(columns[0].name), "")
    return tuple(ClaimUse(claim, compared.get(claim, "")) for claim in claims)


def claim_values(uses: Iterable[ClaimUse], claims: JsonObject) -> dict[str, JsonValue]:
    """Return the values a plan needs; raises `Refused` with `CLAIM_MISSING` for one that is absent or does not fit."""
    values: dict[str, JsonValue] = {}
    for use in uses:
        value = claims.get(use.claim)
        if value is None:
            message = f"the tool filters rows by the claim {quoted(use.claim)}, which the token does not carry"
            raise Refused(Reason.CLAIM_MISSING, message, claim=use.claim)
        values[use.claim] = _cast(use, value)
    return values


def _cast(use: ClaimUse, value: JsonValue) -> JsonValue:
    """Return the value as the column's affinity (https://sqlite.org/datatype3.html, section 3.1) would have it."""
    if not isinstance(value, (str, int, float)):
        raise _does_not_fit(use, "a list or an object")
    kind = use.column_type.upper()
    if "INT" in kind:
        return _integer(use, value)
    if any(name in kind for name in ("CHAR", "TEXT", "CLOB")):
        if isinstance(value, bool):
            raise _does_not_fit(use, "a boolean")
        return str(value)
    return value


def _integer(use: ClaimUse, value: str | float) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise _does_not_fit(use, "no integer")
    try:
        return int(value)
    except ValueError:
        raise _does_not_fit(use, "no integer") from None


def _does_not_fit(use: ClaimUse, found: str) -> Refused:
    wanted = f"a value of the column's type {quoted(use.column_type)}" if use.column_type else "a text or a number"
    message = f"the claim {quoted(use.claim)} is {found}; {wanted} is accepted"
    return Refused(Reason.CLAIM_MISSING, message, claim=use.claim)
