"""How does MariaDB's text become cells? Numbers and bytes as themselves, all else as MariaDB writes it.

A `decimal` stays text, so that no digit is lost; so do dates and times, `0000-00-00` too. The column's type is named
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sandbox.executors.mysql_packets import ColumnOf
from sandbox.stages import ResultColumn
from sandbox.values import Cell

_BINARY: Final = 63
"""The character set of bytes."""
_UNSIGNED: Final = 0x20
_ENUM: Final = 0x100
_SET: Final = 0x800

_INTEGERS: Final = MappingProxyType({1: "tinyint", 2: "smallint", 3: "int", 8: "bigint", 9: "mediumint", 13: "year"})
_REALS: Final = MappingProxyType({4: "float", 5: "double"})
_WORDS: Final = MappingProxyType(
    {7: "timestamp", 10: "date", 11: "time", 12: "datetime", 14: "date", 245: "json", 247: "enum", 248: "set"}
)
_DECIMALS: Final = frozenset({0, 246})
_NUMBERS: Final = MappingProxyType({**_INTEGERS, **_REALS})
_NO_VALUE: Final = 6
_BIT: Final = 16
_YEAR: Final = 13
_BLOBS: Final = frozenset({249, 250, 251, 252})
_FIXED: Final = 254
_OTHERS: Final = MappingProxyType({**_WORDS, _NO_VALUE: "null", _BIT: "bit({length})", 255: "geometry"})

Reader = Callable[[bytes], Cell]


def column_of(described: ColumnOf) -> ResultColumn:
    """Return a column of a result as callers are told it."""
    return ResultColumn(described.name, _type_of(described), _declared(described))


def readers_of(columns: Sequence[ColumnOf]) -> tuple[Reader, ...]:
    """Return what reads each column's texts; one raises `ValueError` for what is not of its type."""
    return tuple(_bits if column.kind == _BIT else _READERS[_type_of(column)] for column in columns)


def _type_of(column: ColumnOf) -> str:
    if column.kind in _INTEGERS or column.kind == _BIT:
        return "integer"
    if column.kind in _REALS:
        return "real"
    if column.kind == _NO_VALUE:
        return "null"
    if column.kind in _WORDS or column.kind in _DECIMALS:
        return "text"
    return "blob" if column.charset == _BINARY else "text"


def _declared(column: ColumnOf) -> str:
    kind = column.kind
    unsigned = " unsigned" if column.flags & _UNSIGNED and kind != _YEAR else ""
    if kind in _NUMBERS:
        return _NUMBERS[kind] + unsigned
    if kind in _DECIMALS:
        digits = column.length - (1 if column.decimals else 0) - (0 if unsigned else 1)
        return f"decimal({digits},{column.decimals}){unsigned}"
    if kind in _OTHERS:
        return _OTHERS[kind].format(length=column.length)
    if column.flags & (_ENUM | _SET):
        return "enum" if column.flags & _ENUM else "set"
    return _declared_string(column)


def _declared_string(column: ColumnOf) -> str:
    is_binary = column.charset == _BINARY
    if column.kind in _BLOBS:
        return "blob" if is_binary else "text"
    if is_binary:
        return f"{'binary' if column.kind == _FIXED else 'varbinary'}({column.length})"
    return f"{'char' if column.kind == _FIXED else 'varchar'}({column.length // 4})"  # of utf8mb4, 4 bytes at most


def _bits(text: bytes) -> int:
    return int.from_bytes(text, "big")


def _text(text: bytes) -> str:
    return text.decode("utf-8")


def _blob(text: bytes) -> bytes:
    return text


_READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {"integer": int, "real": float, "text": _text, "blob": _blob, "null": _text}
)
