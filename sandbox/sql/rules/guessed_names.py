"""Could a name be another one further out? What is computed without `AS` has a name that two readings may not share.

Where the engine calls it otherwise, or a clause does not see it (LIMIT, ORDER BY of a UNION), it looks for the name in
the SELECTs around: refused if they have a column of that name that may not be read as one likes.
"""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first

RULE: Final = "sql/guessed-names"


def check(resolved: Resolved) -> None:
    """Refuse a name that is a guess here and a guarded or hidden column further out."""
    refuse_first(
        resolved,
        "guessed-name",
        Reason.SQL_NOT_SUPPORTED,
        RULE,
        lambda finding: (
            f"{quoted(finding.name)} may mean a column of a query around this one; what is computed is accepted under a"
            " name of its own, given with `AS`, or with the name of its source before it"
        ),
    )
