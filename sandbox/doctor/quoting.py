"""How does PostgreSQL read a name or a text as it is, whatever is in it?"""

from __future__ import annotations

from sandbox.reasons import printable


def quoted_name(name: str) -> str:
    """Return a name as one identifier. Always quoted, so that no word of the grammar is met by accident."""
    return '"' + _whole(name).replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """Return a text as one constant, for a session in which backslashes mean themselves."""
    return "'" + _whole(text).replace("'", "''") + "'"


def commented(text: str) -> str:
    """Return a text that can stand in a line comment: whatever could end the line is written out."""
    return printable(text)


def _whole(text: str) -> str:
    if "\0" in text:
        raise ValueError("PostgreSQL has no character 0")
    return text
