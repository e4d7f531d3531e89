"""Is a whole row taken as one value? It would carry columns of which none was named."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/whole-rows"


def check(resolved: Resolved) -> None:
    """Refuse the name of a table or subquery where a column belongs."""
    refuse_first(
        resolved,
        "whole-row",
        Reason.SQL_NOT_SUPPORTED,
        RULE,
        lambda finding: f"{quoted(finding.name)} means a whole row here; its columns by name, or `*`, are accepted",
    )
