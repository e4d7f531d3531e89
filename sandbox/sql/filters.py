"""Is a spec's row filter one boolean expression over its own table? Proven by the layers of the gate."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from sqlglot import exp

from sandbox.reasons import Reason, Refused
from sandbox.settings import SqlSettings
from sandbox.sql.catalogue import Catalogue, TableShape, folded
from sandbox.sql.contract import GateInput
from sandbox.sql.dialects import DIALECTS
from sandbox.sql.filter_shape import ACCEPTED, is_condition
from sandbox.sql.layers import check
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.claims import claims_of
from sandbox.sql.rules.functions import functions_of
from sandbox.toolspec import Digest, SqlEngine, TableRule

RULE: Final = "sql/row-filter"

_BOUNDS: Final = SqlSettings(max_bytes=4096, max_tokens=500, max_depth=20)
_CLAUSES: Final = frozenset({"expressions", "from_", "where"})


def prove_filter(expression: str, rule_table: TableShape, dialect: SqlEngine) -> tuple[str, ...]:
    """Prove that a spec's row filter is one boolean expression over its own table; return the claims it reads, sorted.

    It may use the table's columns (denied ones too: it is the author's rule, not the model's), `claim('name')` and the
    dialect's functions; no queries, parameters, comments, aggregates or double-quoted strings.
    """
    name = DIALECTS[dialect].table_name(rule_table.name)
    prefix = f"SELECT 1 FROM {name} WHERE ("  # noqa: S608 - proven, never run
    try:
        resolved = check(_given(f"{prefix}{expression})", rule_table, dialect))
        _check_expression(expression, resolved, len(prefix))
        resolved.parsed.lexed.dialect.text_to_run(resolved, functions_of(resolved))
    except Refused as refusal:
        if refusal.line == 1:
            refusal.column = max(refusal.column - len(prefix), 1)
        raise
    return tuple(sorted(claims_of(resolved.parsed.lexed)))


claims_of_filter = lru_cache(maxsize=1024)(prove_filter)
"""`prove_filter`, remembered: specs hold few filters, and every statement that reads their tables asks."""


def _given(text: str, table: TableShape, dialect: SqlEngine) -> GateInput:
    name = folded(table.name)
    rule = TableRule(table=table.name, columns=tuple(column.name for column in table.columns))
    return GateInput(
        dialect=dialect,
        text=text,
        catalogue=Catalogue({name: table}, Digest("")),
        tables={name: rule},
        parameters=frozenset(),
        may_claim=True,
        bounds=_BOUNDS,
    )


def _check_expression(expression: str, resolved: Resolved, prefix: int) -> None:
    """Refuse what would leave its parentheses, hold a query or an aggregate, or pass for a string by mistake."""
    lexed = resolved.parsed.lexed
    if not expression.strip():
        raise _refused(lexed.text, prefix, "a row filter is one boolean expression, not nothing", "expression")
    depth = 0
    for token in lexed.tokens:
        if token.start >= prefix:
            depth += (token.key == "(") - (token.key == ")")
            if depth < 0 and token.end < len(lexed.text):
                raise _refused(lexed.text, token.start, "a parenthesis closes what the filter did not open", ")")
    if lexed.text[prefix:-1] != expression:
        raise _refused(lexed.text, prefix, "comments and semicolons are not accepted in a row filter", "comment")
    if any(value for key, value in resolved.parsed.tree.args.items() if key not in _CLAUSES):
        raise _refused(lexed.text, prefix, "a row filter is one expression, without clauses", "clause")
    if resolved.has_nested_query or _has_aggregates(resolved):
        message = "queries, aggregates and windows are not accepted in a row filter; columns and `claim('name')` are"
        raise _refused(lexed.text, prefix, message, "query")
    if resolved.strings:
        message = "a double-quoted name is no column of this table; strings are written in single quotes"
        raise _refused(lexed.text, resolved.strings[0], message, "name")
    if not is_condition(resolved.parsed.tree.args["where"].this):
        message = f"a row filter is a condition, and this is a value; accepted: {ACCEPTED}"
        raise _refused(lexed.text, prefix, message, "value")


def _has_aggregates(resolved: Resolved) -> bool:
    functions = resolved.parsed.lexed.dialect.functions
    return any(issubclass(kind, exp.AggFunc | exp.Window) for kind in resolved.parsed.nodes) or any(
        functions[token.key.lower()].is_aggregate for token in resolved.calls
    )


def _refused(text: str, start: int, message: str, construct: str) -> Refused:
    return refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=text, start=start, construct=construct)
