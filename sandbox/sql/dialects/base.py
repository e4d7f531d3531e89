"""What must be known of an engine's SQL to prove a statement in it? Everything that differs by engine, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Grammar

STRING: Final = 1
QUOTED: Final = 2
BLOB: Final = 3
WORD: Final = 4
NUMBER: Final = 5
PARAMETER: Final = 6
OPERATOR: Final = 7


class Token(NamedTuple):
    """One token as the engine's own lexer reads it."""

    kind: int
    """`STRING` … `OPERATOR`; plain integers, for a token costs a microsecond of the budget."""
    start: int
    end: int
    """One past its last character."""
    key: str
    """The text; of words, with ASCII letters in upper case."""


@final
@dataclass(frozen=True, slots=True)
class Scan:
    """A text taken to tokens."""

    text: str
    """With comments blanked: same length, same lines."""
    tokens: tuple[Token, ...]


class Unreadable(Exception):
    """The engine's lexer would stop here."""

    def __init__(self, start: int, why: str) -> None:
        """Stop at the character `start`; `why` is a sentence for the caller."""
        super().__init__(why)
        self.start = start
        self.why = why


@final
@dataclass(frozen=True, slots=True)
class Function:
    """One function a statement may call."""

    can_raise: bool
    """Whether a row can make it raise an error or take long, so that it tells of rows a filter should hide.

    False for aggregates and window functions: they see only rows that passed every filter beneath them.
    """


def words(text: str) -> frozenset[str]:
    """Return the words of a block of text; tables of words read best so."""
    return frozenset(text.split())


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine's SQL, as the gate's layers need it."""

    name: str
    grammar: Grammar
    """sqlglot's reading of it; each parse makes its own parser, so threads may share this."""
    scan: Callable[[str, int], Scan]
    """The engine's lexer: text and the most tokens accepted; raises `Unreadable`."""
    compound_operators: frozenset[str]
    """Tokens that sqlglot reads in two or more parts."""
    structural: frozenset[str]
    """Words that build a statement and name nothing."""
    verbs: frozenset[str]
    """First words of statements that do something other than read."""
    write_words: frozenset[str]
    """Words that the engine reserves and that only a statement that writes can hold."""
    impossible: frozenset[tuple[str, str]]
    """Keys that cannot follow each other in the engine's grammar though sqlglot lets them; "" is the end."""
    foreign_words: Mapping[str, str]
    """Words that models bring from other engines, and what to write instead."""
    kinds: frozenset[type[exp.Expr]]
    """Node kinds a tree may hold."""
    fenced_kinds: frozenset[type[exp.Expr]]
    """Of those, the ones a row can make raise or take long."""
    kind_functions: Mapping[type[exp.Expr], str]
    """Functions behind operators and keywords."""
    operator_functions: Mapping[str, str]
    """Functions behind operator tokens."""
    functions: Mapping[str, Function]
    type_words: frozenset[str]
    """Words a CAST's type may be made of."""
    collations: frozenset[str]
    row_ids: frozenset[str]
    """Names that mean the row's number where no column has them."""
    system_prefixes: tuple[str, ...]
    """Tables whose names begin so are the engine's own, whatever a spec allows."""
