"""Does a part of the statement stand where the gate gives it no meaning?"""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.names import Finding
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules.findings import refuse_first
from sandbox.sql.told import word_told

RULE: Final = "sql/constructs"


def check(resolved: Resolved) -> None:
    """Refuse what the resolver met in a place it does not know."""
    lexed = resolved.parsed.lexed

    def sentence(finding: Finding) -> str:
        # WHY: `TABLESAMPLE (10)` is read as an alias with the names of columns.
        told = next((word_told(lexed, token) for token in lexed.tokens if token.start == finding.start), "")
        return told or f"{quoted(finding.name)} is not accepted in this place; a plainer `SELECT` is"

    refuse_first(resolved, "construct", Reason.SQL_NOT_SUPPORTED, RULE, sentence)
