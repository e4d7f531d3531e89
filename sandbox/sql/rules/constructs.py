"""Does a part of the statement stand where the gate gives it no meaning?"""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/constructs"


def check(resolved: Resolved) -> None:
    """Refuse what the resolver met in a place it does not know."""
    refuse_first(
        resolved,
        "construct",
        Reason.SQL_NOT_SUPPORTED,
        RULE,
        lambda finding: f"{quoted(finding.name)} is not accepted in this place; a plainer `SELECT` is",
    )
