"""Can a WITH name that is a table's too be told from the table? Not by itself, and not where its rows are only counted.

SQLite takes the first for a circle; of the second it tells its authorizer no more than the bare name. MariaDB looks
past the WITH names around a nested WITH, and finds the table that one of them hides.
"""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/cte-names"


def check(resolved: Resolved) -> None:
    """Refuse a WITH name that could be the table of that name."""
    refuse_first(
        resolved,
        "cte-name",
        Reason.SQL_NOT_SUPPORTED,
        RULE,
        lambda finding: f"{quoted(finding.name)} is a WITH name and a table's, not to be told apart; rename it in WITH",
    )
    refuse_first(
        resolved,
        "cte-further-out",
        Reason.SQL_NOT_SUPPORTED,
        RULE,
        lambda finding: f"a query with a WITH of its own does not see {quoted(finding.name)}; one WITH at the top does",
    )
