"""Which types may a value be cast to in PostgreSQL, and where do they stand? After `::`, in CAST, before a string.

Left out, and so refused: types whose input looks something up in the catalogue (`regclass`, `regproc`, …), row types,
domains and enumerations of the database, and XML. A text compares with an enumeration without a cast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sandbox.sql.dialects.base import Token, words
from sandbox.sql.dialects.types import TypeNames

_SIMPLE: Final = words(
    """
    BOOL BOOLEAN INT INTEGER SMALLINT BIGINT INT2 INT4 INT8 REAL FLOAT FLOAT4 FLOAT8 NUMERIC DECIMAL DEC MONEY
    TEXT VARCHAR BPCHAR NAME "char" UUID BYTEA JSON JSONB JSONPATH DATE TIMETZ TIMESTAMPTZ INET CIDR MACADDR VARBIT
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

TYPE_NAMES: Final = TypeNames(_SIMPLE, _FOLLOWED)
TYPE_WORDS: Final = TYPE_NAMES.words | {"ARRAY"}

TYPES: Final = words(
    """
    bool int2 int4 int8 float4 float8 numeric money text varchar bpchar name char uuid bytea json jsonb jsonpath
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
_BEFORE_QUERIES: Final = words("( UNION INTERSECT EXCEPT ALL DISTINCT")
_TRIMS: Final = words("BOTH LEADING TRAILING")
_PLACED: Final = frozenset({"EXTRACT", "TRIM", "=>", "TABLE"})
"""Without one of these, no word is placed."""


def placed_words(_: Sequence[Token], keys: list[str]) -> Iterator[int]:
    """Find the unit of EXTRACT, the end of TRIM, the names of arguments, and `TABLE` where a query begins."""
    if _PLACED.isdisjoint(keys):
        return
    for index, key in enumerate(keys):
        before = keys[index - 2 : index] if index > 1 else []
        if (key in _UNITS and before == ["EXTRACT", "("]) or (key in _TRIMS and before == ["TRIM", "("]):
            yield index
        elif key == "=>" and keys[index - 1] in _ARGUMENTS:
            yield index - 1
        elif key == "TABLE" and (index == 0 or keys[index - 1] in _BEFORE_QUERIES):
            yield index
