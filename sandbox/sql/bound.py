"""Is the text small and plain enough to be read at all? Bytes and characters, before any lexer sees it."""

from __future__ import annotations

import re
from typing import Final

from sandbox.reasons import Reason, Refused, quoted
from sandbox.settings import SqlSettings
from sandbox.sql.refusals import refused

_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ud800-\udfff]|\r(?!\n)")
"""Control characters but tab, line feed and CR LF; byte-order marks; halves of surrogate pairs. A lone CR ends a
comment for some lexers and not for others."""


def check_text(text: str, bounds: SqlSettings) -> None:
    """Refuse what is too large or holds characters that readers of SQL disagree about."""
    # WHY: the length in characters first, for encoding a megabyte costs more than refusing it.
    if len(text) > bounds.max_bytes or (len(text) * 4 > bounds.max_bytes and _size(text) > bounds.max_bytes):
        raise Refused(
            Reason.SQL_UNPARSABLE,
            f"the statement is longer than {bounds.max_bytes} bytes; a shorter one is accepted",
            rule="sql/bytes",
            line=1,
            column=1,
            construct="statement",
        )
    found = _UNPRINTABLE.search(text)
    if found:
        raise refused(
            Reason.SQL_UNPARSABLE,
            "sql/characters",
            f"the character {quoted(found.group())} is not accepted in SQL, not even in quotes",
            text=text,
            start=found.start(),
            construct=f"U+{ord(found.group()[0]):04X}",
        )


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
