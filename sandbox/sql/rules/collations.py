"""Is each collation one of the engine's own? Another is a function that somebody registered."""

from __future__ import annotations

from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused

RULE: Final = "sql/collations"


def check(lexed: Lexed) -> None:
    """Refuse COLLATE with anything but a collation of the allow-list."""
    keys = lexed.keys
    if "COLLATE" not in keys:
        return
    for index in collation_indexes(lexed):
        name = keys[index] if index < len(keys) else ""
        if name not in lexed.dialect.collations:
            accepted = ", ".join(f"`{name}`" for name in sorted(lexed.dialect.collations))
            raise refused(
                Reason.SQL_NOT_SUPPORTED,
                RULE,
                f"the collation {quoted(name)} is not accepted; one of {accepted} is",
                text=lexed.text,
                start=lexed.tokens[index - 1].start,
                construct="COLLATE",
            )


def collation_indexes(lexed: Lexed) -> list[int]:
    """Return the indexes of the tokens after COLLATE."""
    return [index + 1 for index, key in enumerate(lexed.keys) if key == "COLLATE"]
