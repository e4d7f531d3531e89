"""What does each engine, with this gate before it, let through of the corpus?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Final

from sandbox.bench.sql.corpus import Corpus
from sandbox.bench.sql.ground import Ground
from sandbox.bench.sql.peers import peers
from sandbox.bench.sql.postgres_ground import postgres_ground
from sandbox.bench.sql.score import Score, score
from sandbox.bench.sql.sqlite_ground import sqlite_ground
from sandbox.toolspec import SqlEngine

GROUNDS: Final[Mapping[SqlEngine, Callable[[str], AbstractContextManager[Ground]]]] = MappingProxyType(
    {"sqlite": lambda _: sqlite_ground(), "postgres": postgres_ground}
)
"""How each engine is made ready, given the dsn of an administrator of a server that things may be tried on."""


def bench_sql(
    corpus: Corpus, engines: Sequence[SqlEngine], administrator: str, tell: Callable[[str], None]
) -> tuple[list[Score], tuple[str, ...]]:
    """Score the engines one after the other; returns the scores, and the names of peers that are not installed.

    Raises `Misconfigured` for an attack that does no harm of its class, and for a dsn that cannot be used.
    """
    known, absent = peers()
    scores: list[Score] = []
    for engine in engines:
        with GROUNDS[engine](administrator) as ground:
            scores.append(score(ground, corpus, known, tell))
    return scores, absent
