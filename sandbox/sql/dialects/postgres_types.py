"""Which types may a value be cast to in PostgreSQL, and where do they stand? After `::`, in CAST, before a string.

Left out, and so refused: types whose input looks something up in the catalogue (`regclass`, `regproc`, …), row types,
domains and enumerations of the database, and XML. A text compares with an enumeration without a cast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sandbox.sql.dialects.base import NUMBER, STRING, Token, words
from sandbox.sql.dialects.types import cast_types

_SIMPLE: Final = words(
    """
    BOOL BOOLEAN INT INTEGER SMALLINT BIGINT INT2 INT4 INT8 REAL FLOAT FLOAT4 FLOAT8 NUMERIC DECIMAL DEC MONEY
    TEXT VARCHAR BPCHAR UUID BYTEA JSON JSONB JSONPATH DATE TIMETZ TIMESTAMPTZ INET CIDR MACADDR VARBIT
    TSVECTOR TSQUERY INT4RANGE INT8RANGE NUMRANGE TSRANGE TSTZRANGE DATERANGE INT4MULTIRANGE INT8MULTIRANGE
    NUMMULTIRANGE TSMULTIRANGE TSTZMULTIRANGE DATEMULTIRANGE
    """
)
_FOLLOWED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "DOUBLE": words("PRECISION"),
        "CHARACTER": words("VARYING"),
        "CHAR": words("VARYING"),
        "BIT": words("VARYING"),
        "TIME": words("WITH WITHOUT TIME ZONE"),
        "TIMESTAMP": words("WITH WITHOUT TIME ZONE"),
        "INTERVAL": words("YEAR MONTH DAY HOUR MINUTE SECOND TO"),
    }
)
"""Types of several words: the first, and those that may follow it."""

TYPE_WORDS: Final = _SIMPLE.union(_FOLLOWED, *_FOLLOWED.values(), ("ARRAY", "[", "]"))

TYPES: Final = words(
    """
    bool int2 int4 int8 float4 float8 numeric money text varchar bpchar uuid bytea json jsonb jsonpath
    date time timetz timestamp timestamptz interval inet cidr macaddr bit varbit tsvector tsquery
    int4range int8range numrange tsrange tstzrange daterange int4multirange int8multirange nummultirange tsmultirange
    tstzmultirange datemultirange
    """
)
"""The same types by the names that the server's grammar gives them."""

_UNITS: Final = words(
    """
    YEAR MONTH DAY HOUR MINUTE SECOND EPOCH DOW ISODOW DOY WEEK QUARTER CENTURY DECADE MILLENNIUM ISOYEAR JULIAN
    MILLISECOND MILLISECONDS MICROSECOND MICROSECONDS TIMEZONE TIMEZONE_HOUR TIMEZONE_MINUTE
    """
)
_ARGUMENTS: Final = words(
    """
    YEARS MONTHS WEEKS DAYS HOURS MINS SECS YEAR MONTH MDAY HOUR MIN SEC TIMEZONE TARGET PATH VARS SILENT
    CREATE_IF_MISSING NEW_VALUE
    """
)
"""Names of arguments, before `=>`."""
_TRIMS: Final = words("BOTH LEADING TRAILING")


def types(tokens: Sequence[Token], keys: list[str]) -> Iterator[int]:
    """Find the tokens that make up types."""
    yield from cast_types(keys)
    last = len(keys)
    for index, key in enumerate(keys):
        if key == "::":
            yield from range(index + 1, min(_type_end(tokens, keys, index + 1), last))
        elif key in TYPE_WORDS and (index == 0 or keys[index - 1] != "::"):
            end = _words_end(tokens, keys, index)
            if end < last and tokens[end].kind == STRING:
                yield from range(index, end)
                following = _FOLLOWED["INTERVAL"] if key == "INTERVAL" else ()
                end += 1
                while end < last and keys[end] in following:
                    yield end
                    end += 1


def _type_end(tokens: Sequence[Token], keys: list[str], start: int) -> int:
    """Where a type that begins at `start` ends, brackets of an array included."""
    at = _words_end(tokens, keys, start)
    while keys[at : at + 2] == ["[", "]"] or (keys[at : at + 1] == ["["] and keys[at + 2 : at + 3] == ["]"]):
        if keys[at + 1] != "]" and tokens[at + 1].kind != NUMBER:
            break
        at += 2 if keys[at + 1] == "]" else 3
    return at + (keys[at : at + 1] == ["ARRAY"])


def _words_end(tokens: Sequence[Token], keys: list[str], start: int) -> int:
    following = _FOLLOWED.get(keys[start]) if start < len(keys) else None
    at = _size_end(tokens, keys, start + 1)
    while following and at < len(keys) and keys[at] in following:
        at = _size_end(tokens, keys, at + 1)
    return at


def _size_end(tokens: Sequence[Token], keys: list[str], start: int) -> int:
    """Where a size such as `(10, 2)` ends, if there is one."""
    if keys[start : start + 1] != ["("]:
        return start
    at = start + 1
    while at < len(keys) and (tokens[at].kind == NUMBER or keys[at] == ","):
        at += 1
    return at + 1 if keys[at : at + 1] == [")"] and at > start + 1 else start


def placed_words(_: Sequence[Token], keys: list[str]) -> Iterator[int]:
    """Find the unit of EXTRACT, the end of TRIM and the names of arguments."""
    for index, key in enumerate(keys):
        before = keys[index - 2 : index] if index > 1 else []
        if (key in _UNITS and before == ["EXTRACT", "("]) or (key in _TRIMS and before == ["TRIM", "("]):
            yield index
        elif key == "=>" and keys[index - 1] in _ARGUMENTS:
            yield index - 1
