"""Is every table one of the tool's? Any other is answered alike, whether it exists or not."""

from __future__ import annotations

from typing import Final

from sandbox.problems import did_you_mean
from sandbox.reasons import Reason, quoted
from sandbox.sql.names import Finding
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first
from sandbox.sql.told import catalogue_told, tables_told

RULE: Final = "sql/tables"


def check(resolved: Resolved) -> None:
    """Refuse a table outside the rules."""
    lexed = resolved.parsed.lexed
    allowed = sorted(rule.table for rule in lexed.given.tables.values())

    def sentence(finding: Finding) -> str:
        at = next((at for at, token in enumerate(lexed.tokens) if token.start == finding.start), 0)
        if lexed.keys[at - 1] == "(" and (told := catalogue_told(lexed, at)):
            return told
        close = did_you_mean(finding.name, allowed)
        names = "" if close or not allowed else f"; it may read {tables_told(lexed.given)}"
        return f"the table {quoted(finding.name)} is outside this tool's rules{close}{names}"

    if resolved.findings:
        refuse_first(resolved, "table", Reason.SQL_OBJECT_FORBIDDEN, RULE, sentence)
