"""How does a bound value reach a MariaDB statement? As a numeral or hexadecimal digits, in which nothing needs quoting.

The places are those of the gate's own lexer, which reads the text as MariaDB does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql.dialects import DIALECTS
from sandbox.sql.dialects.base import PARAMETER
from sandbox.toolspec import SqlEngine
from sandbox.values import Cell


def with_values(text: str, dialect: SqlEngine, parameters: Mapping[str, Cell]) -> str:
    """Return the text with each `:name` replaced by its value; raises `Refused` for a value that has no literal."""
    if not parameters:
        return text
    parts, at = [], 0
    for token in DIALECTS[dialect].scan(text, len(text)).tokens:
        if token.kind == PARAMETER:
            name = text[token.start + 1 : token.end]
            parts += [text[at : token.start], literal(name, parameters[name])]
            at = token.end
    return "".join([*parts, text[at:]])


def literal(name: str, value: Cell) -> str:
    """Return a value as MariaDB reads it in any session."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value) if value >= 0 else f"({value})"
        case float():
            if math.isfinite(value):
                return f"({value:.17e})"
            raise _refused(name, "NaN or infinite; a finite number is accepted")
        case bytes():
            return f"X'{value.hex()}'"
        case _:
            try:
                return f"_utf8mb4 X'{value.encode('utf-8').hex()}'"
            except UnicodeEncodeError:
                raise _refused(name, "half of a surrogate pair; Unicode text is accepted") from None


def _refused(name: str, found: str) -> Refused:
    return Refused(Reason.ARGUMENT_INVALID, f"the argument {quoted(name)} is {found}", rule="arguments/unicode")
