"""How does PostgreSQL's text become cells? Numbers, booleans and bytes as themselves, all else as PostgreSQL writes it.

A `numeric` stays text, so that no digit is lost; the column's type is named beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, final

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap, Loader, Transformer
from psycopg.types.bool import BoolLoader
from psycopg.types.numeric import FloatLoader, IntLoader
from psycopg.types.string import ByteaLoader, TextLoader

from sandbox.executors.postgres_wire import Result
from sandbox.executors.server_trouble import Gone
from sandbox.values import Row

_ANY_OTHER: Final = 0
_LOADERS: Final[Sequence[tuple[str, type[Loader], tuple[int, ...]]]] = (
    ("boolean", BoolLoader, (16,)),
    ("blob", ByteaLoader, (17,)),
    ("integer", IntLoader, (20, 21, 23, 26)),  # int8, int2, int4, oid
    ("real", FloatLoader, (700, 701)),  # float4, float8
    ("text", TextLoader, (_ANY_OTHER,)),
)
"""Column type of a result, what reads it, and the types of pg_type it is for, whose numbers never change."""

_TYPES: Final = MappingProxyType({oid: name for name, _, oids in _LOADERS for oid in oids})


@final
class _Context:
    """What psycopg's readers ask for: which of them to use, and no connection."""

    connection: None = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap()
        for _, loader, oids in _LOADERS:
            for oid in oids:
                self.adapters.register_loader(oid, loader)


_CONTEXT: Final[AdaptContext] = _Context()


@final
class Reader:
    """Reads the rows of one statement."""

    __slots__ = ("_is_first", "_transformer")

    def __init__(self) -> None:
        """Begin before the first row."""
        self._transformer = Transformer(_CONTEXT)
        self._is_first = True

    def rows(self, result: Result) -> list[Row]:
        """Return the rows of a result; raises `Gone` if they are not of the types it names, or `UnicodeError`."""
        self._transformer.set_pgresult(result, set_loaders=self._is_first)
        self._is_first = False
        try:
            return self._transformer.load_rows(0, result.ntuples, tuple)
        except UnicodeError:
            raise
        except (psycopg.Error, ValueError, ArithmeticError) as error:
            raise Gone from error


def type_of(oid: int) -> str:
    """Return the column type of a result for a type of pg_type."""
    return _TYPES.get(oid, "text")
