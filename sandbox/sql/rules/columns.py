"""Is every column one of the tool's, in whatever use? Any other is answered alike, whether it exists or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sandbox.problems import did_you_mean
from sandbox.reasons import Reason, quoted
from sandbox.sql.catalogue import folded
from sandbox.sql.lex import Lexed
from sandbox.sql.names import Finding
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first
from sandbox.sql.tables import rule_of
from sandbox.sql.told import columns_told
from sandbox.toolspec import TableRule

RULE: Final = "sql/columns"


def check(resolved: Resolved) -> None:
    """Refuse a column that no source shows."""

    def sentence(finding: Finding) -> str:
        given = resolved.parsed.lexed.given
        found = [rule_of(given, folded(table)) for table in resolved.relations]
        rules = [rule for rule in found if rule]
        shown = sorted({column for rule in rules for column in rule.columns})
        name = quoted(finding.name)
        if finding.name in map(folded, shown):
            return f"no table, alias or query that is read in this place has the column {name}; {_ANOTHER_PLACE}"
        hint = _near(finding.name, rules) or (f"; it may read {columns_told(rules)}" if shown else "")
        lexed = resolved.parsed.lexed
        if _is_before_arrow(lexed, finding.start):
            hint += f"; a lambda (`x -> …`) is not accepted, {lexed.dialect.in_place_of_lambda} is"
        return f"the column {name} is outside this tool's rules for the tables read here{hint}"

    if resolved.findings:
        refuse_first(resolved, "column", Reason.SQL_OBJECT_FORBIDDEN, RULE, sentence)


def _near(name: str, rules: Sequence[TableRule]) -> str:
    """Return the column that a name may be a slip for, and whether it is for aggregates alone."""
    alone = {column for rule in rules for column in rule.aggregate_only}
    plain = {column for rule in rules for column in rule.columns if column not in rule.aggregate_only}
    hint = did_you_mean(name, sorted(alone | plain))
    return hint if hint == did_you_mean(name, sorted(plain)) else f"{hint.removesuffix('?')} (for aggregates alone)?"


_ANOTHER_PLACE: Final = "one that has it in `FROM`, under the name before the full stop, is accepted"


def _is_before_arrow(lexed: Lexed, start: int) -> bool:
    """Whether a name begins an argument and is followed by `->`, as the name in a lambda is, or the names."""
    if not lexed.dialect.in_place_of_lambda:
        return False
    at = next((at for at, token in enumerate(lexed.tokens) if token.start == start), 0)
    end = at + 1
    while lexed.keys[end : end + 1] == [","]:
        end += 2
    end += lexed.keys[end : end + 1] == [")"]
    return lexed.keys[at - 1] in ("(", ",") and lexed.keys[end : end + 1] == ["->"]
