"""What does the gate take, and what does it give? The types of its two sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, final

from sandbox.settings import SqlSettings
from sandbox.sql.catalogue import Catalogue
from sandbox.stages import OmittedColumns, Rights
from sandbox.toolspec import SqlEngine, TableRule

_THEMSELVES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GateInput:
    """One text, and what it may do."""

    dialect: SqlEngine
    text: str
    catalogue: Catalogue
    tables: Mapping[str, TableRule]
    """What may be read, by any key; `TableRule.table` is the name that counts."""
    parameters: frozenset[str]
    """Named parameters the text may use, without the colon; empty for model-written SQL."""
    may_claim: bool
    """Whether the text may call `claim('name')`: only an author's may."""
    bounds: SqlSettings
    stands_for: Mapping[str, tuple[str, str]] = field(default_factory=lambda: _THEMSELVES)
    """(schema, name) of the view that is read in place of each table, by folded name, where the text that runs is
    printed; if there is none at all, tables stand for themselves."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A text that can only read what it may read."""

    sql_to_run: str
    """SQLite: the caller's text up to a closing semicolon. PostgreSQL: printed from the server's grammar, with what
    stands for each table and `$n` for `:name`. DuckDB, MariaDB: the caller's, with comments blanked."""
    rights: Rights
    """What the statement reads, in the catalogue's spelling; what row filters read is not among the columns."""
    omitted: tuple[OmittedColumns, ...]
    is_fenced: bool
    """Hidden rows must be left out before anything of the statement is evaluated: it reads a filtered table or a view,
    and an error, or the time it takes, could tell of a row that is hidden."""
    parameters: tuple[str, ...]
    """Named parameters used, sorted; `$1` is the first."""
