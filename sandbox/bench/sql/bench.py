"""What does each engine, with this gate before it, let through of the corpus?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Final

from sandbox.bench.sql.corpus import Corpus
from sandbox.bench.sql.duckdb_ground import duckdb_ground
from sandbox.bench.sql.ground import Ground
from sandbox.bench.sql.mysql_ground import mysql_ground
from sandbox.bench.sql.peers import Peer
from sandbox.bench.sql.postgres_ground import postgres_ground
from sandbox.bench.sql.score import Score, score
from sandbox.bench.sql.sqlite_ground import sqlite_ground
from sandbox.toolspec import SqlEngine

GROUNDS: Final[Mapping[SqlEngine, Callable[[str], AbstractContextManager[Ground]]]] = MappingProxyType(
    {
        "sqlite": lambda _: sqlite_ground(),
        "postgres": postgres_ground,
        "duckdb": lambda _: duckdb_ground(),
        "mysql": mysql_ground,
    }
)
"""How each engine is made ready, given the dsn of an administrator of a server that things may be tried on."""

SERVERS: Final[frozenset[SqlEngine]] = frozenset({"postgres", "mysql"})
"""Engines that need such a dsn."""


def bench_sql(
    corpus: Corpus, administrators: Mapping[SqlEngine, str], peers: Sequence[Peer], tell: Callable[[str], None]
) -> list[Score]:
    """Score the engines one after the other; each is given with its administrator's dsn, empty if it needs none.

    Raises `Misconfigured` for an attack that does no harm of its class, and for a dsn that cannot be used.
    """
    scores: list[Score] = []
    for engine, administrator in administrators.items():
        with GROUNDS[engine](administrator) as ground:
            scores.append(score(ground, corpus, peers, tell))
    return scores
