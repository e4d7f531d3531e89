"""Is a function read as a table, other than those known to read nothing but their arguments?

`pragma_table_info(…)` and its kin read what no rule names.
"""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/table-functions"


def check(resolved: Resolved) -> None:
    """Refuse anything in FROM that is not a table, a common table expression or a query."""
    refuse_first(
        resolved,
        "table-function",
        Reason.SQL_NOT_SUPPORTED,
        RULE,
        lambda finding: (
            f"the function {quoted(finding.name)} cannot be read as a table here; tables of this tool and"
            " queries in parentheses can"
        ),
    )
