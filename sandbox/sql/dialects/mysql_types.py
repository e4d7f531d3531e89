"""Where do MariaDB's types, units and other words of place stand? Most of its words are names wherever they can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sandbox.sql.dialects.base import NUMBER, STRING, WORD, Token, words
from sandbox.sql.dialects.mysql_lexer import CHARSETS
from sandbox.sql.dialects.types import cast_types

TYPE_WORDS: Final = (
    words(
        """
        SIGNED UNSIGNED INTEGER INT DECIMAL DEC DOUBLE FLOAT CHAR CHARACTER SET VARCHAR NCHAR BINARY
        DATE DATETIME TIME TIMESTAMP INET4 INET6 UUID
        """
    )
    | CHARSETS
)
_LITERALS: Final = words("DATE TIME TIMESTAMP")
"""Types that may stand before a string."""

COLLATIONS: Final = frozenset(
    {
        "BINARY",
        "ASCII_BIN",
        "ASCII_GENERAL_CI",
        "LATIN1_BIN",
        "LATIN1_GENERAL_CI",
        "LATIN1_GENERAL_CS",
        "LATIN1_SWEDISH_CI",
    }
    | {
        f"{charset}_{name}"
        for charset in ("UTF8", "UTF8MB3", "UTF8MB4")
        for name in words("BIN NOPAD_BIN GENERAL_CI GENERAL_NOPAD_CI UNICODE_CI UNICODE_520_CI UNICODE_NOPAD_CI")
    }
    | {"UTF8MB4_UCA1400_AI_CI", "UTF8MB4_UCA1400_AS_CI", "UTF8MB4_UCA1400_AS_CS", "UCA1400_AI_CI", "UCA1400_AS_CS"}
)

UNITS: Final = words(
    """
    MICROSECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR SECOND_MICROSECOND MINUTE_MICROSECOND MINUTE_SECOND
    HOUR_MICROSECOND HOUR_SECOND HOUR_MINUTE DAY_MICROSECOND DAY_SECOND DAY_MINUTE DAY_HOUR YEAR_MONTH
    """
)
_WITH_UNIT: Final = words("EXTRACT TIMESTAMPADD TIMESTAMPDIFF")
_CALLS: Final = words(
    "CAST CONVERT EXTRACT GROUP_CONCAT MATCH POSITION SUBSTR SUBSTRING TRIM TIMESTAMPADD TIMESTAMPDIFF"
)
"""Functions with words among their arguments: such only before a parenthesis."""

_BEFORE: Final = {
    "ANY": words("("),
    "SOME": words("("),
    "AGAINST": words("("),
    "ROW": words("("),
    "CURRENT": words("ROW"),
    "UNBOUNDED": words("PRECEDING FOLLOWING"),
}
"""Words that mean something before others."""
_AFTER: Final = {
    "ROW": words("CURRENT"),
    "PRECEDING": words("UNBOUNDED"),
    "FOLLOWING": words("UNBOUNDED"),
    "FIRST": words("FETCH"),
    "NEXT": words("FETCH"),
    "ROLLUP": words("WITH"),
    "TIES": words("WITH"),
    "QUERY": words("WITH"),
    "EXPANSION": words("QUERY"),
    "LANGUAGE": words("NATURAL"),
    "BOOLEAN": words("IN"),
    "MODE": words("BOOLEAN LANGUAGE"),
    "ONLY": words("ROW ROWS"),
    "UNKNOWN": words("IS NOT"),
}
"""Words that mean something after others."""
_FRAME_ENDS: Final = words("PRECEDING FOLLOWING")
_FETCHED: Final = words("ROW ONLY")
_PLACED: Final = _CALLS.union(_BEFORE, _AFTER, _FRAME_ENDS, _FETCHED, CHARSETS, words("CASE END INTERVAL ESCAPE"))
_TYPED: Final = _LITERALS | {"CONVERT"}


def types(tokens: Sequence[Token], keys: list[str]) -> Iterator[int]:
    """Find the tokens that make up types: in CAST, in CONVERT, before a string."""
    yield from cast_types(keys)
    if _TYPED.isdisjoint(keys):
        return
    last = len(keys) - 1
    for index, key in enumerate(keys):
        if key in _LITERALS and index < last and tokens[index + 1].kind == STRING:
            yield index
        elif key == "CONVERT":
            yield from _converted(keys, index + 1)


def _converted(keys: list[str], opening: int) -> Iterator[int]:
    """Find the type after the last comma of CONVERT(x, type)."""
    depth, comma = 0, 0
    for index in range(opening, len(keys)):
        depth += (keys[index] == "(") - (keys[index] == ")")
        if depth == 1 and keys[index] == ",":
            comma = index
        if depth == 0:
            if comma:
                yield from range(comma + 1, index)
            return


def placed_words(tokens: Sequence[Token], keys: list[str]) -> Iterator[int]:
    """Find units, ends of CASE, character sets, frames of windows and the words of MATCH and FETCH."""
    if _PLACED.isdisjoint(keys):
        return
    cases = 0
    following = [*keys[1:], ""]
    for index, key in enumerate(keys):
        if key not in _PLACED:
            continue
        before = keys[index - 1] if index else ""
        if key == "CASE":
            cases += 1
        elif key == "END" and cases:
            cases -= 1
            yield index
        elif key in _CALLS and following[index] == "(":
            yield index
            if key in _WITH_UNIT and following[index + 1] in UNITS:
                yield index + 2
        elif key == "INTERVAL":
            yield from _unit(tokens, keys, index)
        elif _is_placed(key, before, following[index]) or _is_in_clause(tokens, keys, index):
            yield index


def _is_placed(key: str, before: str, after: str) -> bool:
    return after in _BEFORE.get(key, ()) or before in _AFTER.get(key, ()) or (before == "USING" and key in CHARSETS)


def _is_in_clause(tokens: Sequence[Token], keys: list[str], index: int) -> bool:
    """Whether it is a word of a window's frame, of FETCH or of LIKE, told by what stands around it."""
    key, is_first = keys[index], index == 0
    if is_first:
        return False
    before = tokens[index - 1]
    if key in _FRAME_ENDS:
        return before.kind == NUMBER or before.key in UNITS
    if key in _FETCHED:
        return before.kind == NUMBER and "FETCH" in keys
    return key == "ESCAPE" and "LIKE" in keys and index + 1 < len(keys) and tokens[index + 1].kind == STRING


def _unit(tokens: Sequence[Token], keys: list[str], start: int) -> Iterator[int]:
    """Find the unit of an INTERVAL: the first that stands behind its amount and within the same parentheses."""
    depth = 0
    for index in range(start + 1, len(keys)):
        depth += (keys[index] == "(") - (keys[index] == ")")
        if depth < 0 or (depth == 0 and keys[index] == ","):
            return
        is_behind = index > start + 1 and keys[index - 1] != "."
        if depth == 0 and is_behind and keys[index] in UNITS and tokens[index].kind == WORD:
            yield index
            return
