"""Is every table one of the tool's? Any other is answered alike, whether it exists or not."""

from __future__ import annotations

from typing import Final

from sandbox.problems import did_you_mean
from sandbox.reasons import Reason, quoted
from sandbox.sql.names import Finding
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/tables"
_SHOWN: Final = 8
"""Names told where none is close: enough to go on with, not the whole catalogue."""


def check(resolved: Resolved) -> None:
    """Refuse a table outside the rules."""
    allowed = sorted(rule.table for rule in resolved.parsed.lexed.given.tables.values())

    def sentence(finding: Finding) -> str:
        close = did_you_mean(finding.name, allowed)
        names = "" if close else "; it may read " + ", ".join(map(quoted, allowed[:_SHOWN])) if allowed else ""
        return f"the table {quoted(finding.name)} is outside this tool's rules{close}{names}"

    if resolved.findings:
        refuse_first(resolved, "table", Reason.SQL_OBJECT_FORBIDDEN, RULE, sentence)
