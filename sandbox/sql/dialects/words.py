"""Which words mean the same in every engine? First words of statements that do not read, and pairs that cannot be."""

from __future__ import annotations

from typing import Final

from sandbox.sql.dialects.base import words

VERBS: Final = words(
    """
    INSERT UPDATE DELETE REPLACE MERGE CREATE DROP ALTER TRUNCATE RENAME COMMENT GRANT REVOKE
    BEGIN START COMMIT END ABORT ROLLBACK SAVEPOINT RELEASE LOCK UNLOCK SET RESET DISCARD
    PRAGMA ATTACH DETACH VACUUM REINDEX ANALYZE CLUSTER CHECKPOINT REFRESH FLUSH REASSIGN SECURITY
    EXPLAIN DESCRIBE SHOW USE COPY LOAD IMPORT EXPORT INSTALL CALL DO EXEC EXECUTE PREPARE DEALLOCATE
    DECLARE FETCH MOVE CLOSE HANDLER KILL LISTEN UNLISTEN NOTIFY
    """
)
"""First words of statements that do something other than read."""

CLAUSES: Final = words("FROM WHERE GROUP HAVING ORDER LIMIT UNION INTERSECT EXCEPT")
_JOIN_WORDS: Final = words("JOIN LEFT RIGHT FULL INNER OUTER CROSS NATURAL ON USING")
IMPOSSIBLE: Final = frozenset(
    {(before, after) for before in (",", "AS", "BY", "IN") for after in (*CLAUSES, ",", ")", "")}
    | {("SELECT", after) for after in (*CLAUSES, ",", ")", "ON", "")}
    | {("JOIN", after) for after in (*_JOIN_WORDS, *CLAUSES, ",", ")", ".", "")}
    | {(before, ".") for before in ("FROM", ",", ".", "(", "SELECT")}
    | {("INTERVAL", "INTERVAL"), ("(", ","), ("LIMIT", ","), ("FROM", ","), ("FROM", "")}
)
"""Pairs of tokens that sqlglot passes over and engines do not; the latter also make sqlglot read a text many times."""
