"""Which engines can be fuzzed? Each with its words, and how its pair of databases is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Final, NamedTuple

import fuzz_sql_duckdb
import fuzz_sql_mysql
import fuzz_sql_postgres
import fuzz_sql_sqlite
from fuzz_sql_twins import Pair
from fuzz_sql_words import Words


class Engine(NamedTuple):
    """One engine."""

    words: Words
    pair: Callable[[str], AbstractContextManager[Pair]]
    """Makes the databases, given the dsn of an administrator of a server that things may be tried on."""
    server: str = ""
    """Which server it needs; none, if this is empty."""
    confined_every: int = 1
    """Of so many permitted texts, one runs on the executor too: where each is a process, that takes longest."""


ENGINES: Final[Mapping[str, Engine]] = MappingProxyType(
    {
        "sqlite": Engine(fuzz_sql_sqlite.WORDS, fuzz_sql_sqlite.sqlite_pair),
        "postgres": Engine(fuzz_sql_postgres.WORDS, fuzz_sql_postgres.postgres_pair, server="postgres"),
        "duckdb": Engine(fuzz_sql_duckdb.WORDS, fuzz_sql_duckdb.duckdb_pair, confined_every=10),
        "mysql": Engine(fuzz_sql_mysql.WORDS, fuzz_sql_mysql.mysql_pair, server="mysql"),
    }
)
