"""Is each table, and each alias of one, spelled in one way? MariaDB tells `o` from `O` where the gate does not."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/name-case"


def check(resolved: Resolved) -> None:
    """Refuse a second spelling, or one that is not the catalogue's."""
    refuse_first(
        resolved,
        "name-case",
        Reason.SQL_NOT_SUPPORTED,
        RULE,
        lambda finding: (
            f"{quoted(finding.name)} is spelled in another way elsewhere; tables and aliases keep their case here"
        ),
    )
