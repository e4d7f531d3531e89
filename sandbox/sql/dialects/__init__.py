"""Which engines' SQL can be proven? One file an engine, one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.sql.dialects.base import Dialect
from sandbox.sql.dialects.duckdb import DUCKDB
from sandbox.sql.dialects.mysql import MYSQL
from sandbox.sql.dialects.postgres import POSTGRES
from sandbox.sql.dialects.sqlite import SQLITE

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {dialect.name: dialect for dialect in (SQLITE, POSTGRES, DUCKDB, MYSQL)}
)

__all__ = ["DIALECTS", "Dialect"]
