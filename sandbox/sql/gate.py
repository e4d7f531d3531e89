"""May this very text run? Takes SQL and what may be read, gives the text to run and the rights it needs, or refuses.

Layers, all of them on: bound → lex → parse → resolve, with the rules of each stage between them, then the fence, then
what the dialect makes of the text. What sqlglot prints never runs, for that changes results. SQLite's text is kept: it
runs only where the engine's grammar and sqlglot's read the same tokens and every word has one meaning. PostgreSQL's is
read once more by the server's own grammar, which has to agree, and printed from its tree.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.sql.catalogue import Catalogue, folded
from sandbox.sql.contract import GateInput, Proven
from sandbox.sql.fence import is_fenced
from sandbox.sql.filters import claims_of_filter
from sandbox.sql.layers import check
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.claims import claims_of
from sandbox.sql.rules.functions import functions_of
from sandbox.sql.rules.parameters import parameters_of
from sandbox.sql.tables import rule_of
from sandbox.stages import OmittedColumns, Rights
from sandbox.toolspec import TableRule


def prove(given: GateInput) -> Proven:
    """Prove that the text is one statement that reads no more than `given.tables` allow, or raise `Refused`."""
    return _proven(check(given))


def _proven(resolved: Resolved) -> Proven:
    lexed = resolved.parsed.lexed
    given = lexed.given
    functions = functions_of(resolved)
    rules = [(name, rule_of(given, folded(name))) for name in sorted(resolved.relations)]
    filters = [(name, rule.row_filter) for name, rule in rules if rule and rule.row_filter is not None]
    claims = set(claims_of(lexed)) if "claim" in functions else set()
    for name, expression in filters:
        claims.update(claims_of_filter(expression, given.catalogue.tables[folded(name)], given.dialect))
    return Proven(
        sql_to_run=lexed.dialect.text_to_run(resolved, functions),
        rights=Rights(
            relations=tuple(name for name, _ in rules),
            columns=tuple(sorted(resolved.columns)),
            functions=tuple(sorted(functions)),
            claims=tuple(sorted(claims)),
        ),
        omitted=tuple(_omitted(given.catalogue, rules, resolved.stars)),
        is_fenced=lexed.dialect.needs_fence and is_fenced(resolved),
        parameters=parameters_of(lexed) if given.parameters else (),
    )


def _omitted(
    catalogue: Catalogue, rules: list[tuple[str, TableRule | None]], stars: frozenset[str]
) -> Iterator[OmittedColumns]:
    """Count, for each table that a `*` expands, the columns it does not expand to because the rules hide them."""
    for name, rule in rules:
        if rule is not None and name in stars:
            shown = {folded(column) for column in rule.columns}
            columns = catalogue.tables[folded(name)].columns
            count = sum(not column.is_hidden and folded(column.name) not in shown for column in columns)
            if count:
                yield OmittedColumns(name, count)
