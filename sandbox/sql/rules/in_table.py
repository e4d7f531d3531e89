"""Does `IN` name a table? SQLite then reads the table's rows without a SELECT, past what was resolved."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/in-table"


def check(resolved: Resolved) -> None:
    """Refuse `x IN name`."""
    refuse_first(
        resolved,
        "in-table",
        Reason.SQL_NOT_SUPPORTED,
        RULE,
        lambda finding: f"{quoted('IN ' + finding.name)} is not accepted; a query in parentheses after `IN` is",
    )
