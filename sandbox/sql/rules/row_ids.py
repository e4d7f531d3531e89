"""Is a row's number read? It tells of rows that filters hide, and no rule names it."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/row-ids"


def check(resolved: Resolved) -> None:
    """Refuse `rowid`, `oid` and `_rowid_` unless they are columns of their own."""
    refuse_first(
        resolved,
        "row-id",
        Reason.SQL_OBJECT_FORBIDDEN,
        RULE,
        lambda finding: f"{quoted(finding.name)} is the row's number, which no rule shows; the table's key column is",
    )
