"""Is a table named with its schema? `main.orders` would pass by the view that holds the rules for `orders`."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/qualified-names"


def check(resolved: Resolved) -> None:
    """Refuse every name with a schema before it."""
    refuse_first(
        resolved,
        "qualified-name",
        Reason.SQL_OBJECT_FORBIDDEN,
        RULE,
        lambda finding: f"a schema stands before {quoted(finding.name)}; plain names are accepted",
    )
