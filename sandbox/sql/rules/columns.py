"""Is every column one of the tool's, in whatever use? Any other is answered alike, whether it exists or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sandbox.problems import did_you_mean
from sandbox.reasons import Reason, quoted
from sandbox.sql.catalogue import folded
from sandbox.sql.names import Finding
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first
from sandbox.sql.tables import rule_of

RULE: Final = "sql/columns"


_MOST_NAMES: Final = 20


def _may_read(shown: Sequence[str]) -> str:
    names = ", ".join(map(quoted, shown[:_MOST_NAMES]))
    return f"; it may read {names}{' and more' if len(shown) > _MOST_NAMES else ''}" if shown else ""


def check(resolved: Resolved) -> None:
    """Refuse a column that no source shows."""

    def sentence(finding: Finding) -> str:
        given = resolved.parsed.lexed.given
        rules = [rule_of(given, folded(table)) for table in resolved.relations]
        shown = sorted({column for rule in rules if rule for column in rule.columns})
        hint = did_you_mean(finding.name, shown) or _may_read(shown)
        return f"the column {quoted(finding.name)} is outside this tool's rules for the tables read here{hint}"

    if resolved.findings:
        refuse_first(resolved, "column", Reason.SQL_OBJECT_FORBIDDEN, RULE, sentence)
