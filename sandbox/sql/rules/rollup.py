"""Does DISTINCT meet the sums of ROLLUP? Through a view MariaDB then gives the last group's key where NULL belongs."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/rollup"


def check(lexed: Lexed) -> None:
    """Refuse the two in one statement where the engine's answer would be another through a view."""
    if not lexed.dialect.has_lossy_rollup or "ROLLUP" not in lexed.keys or "DISTINCT" not in lexed.keys:
        return
    message = "`DISTINCT` and `WITH ROLLUP` in one statement are not accepted; groups differ without `DISTINCT`"
    start = lexed.tokens[lexed.keys.index("ROLLUP")].start
    raise refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=start, construct="ROLLUP")
