"""Does NATURAL or USING compare a column the rules hide? The comparison alone would tell its values."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/shared-columns"


def check(resolved: Resolved) -> None:
    """Refuse a join over shared columns of which one is hidden; which one is not told."""
    refuse_first(
        resolved,
        "shared-column",
        Reason.SQL_OBJECT_FORBIDDEN,
        RULE,
        lambda _: (
            "this join compares a column outside this tool's rules; `JOIN … ON` over columns within them is accepted"
        ),
    )
