"""What must be known of an engine's SQL to prove a statement in it? Everything that differs by engine, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Grammar

if TYPE_CHECKING:
    from sandbox.sql.resolve import Resolved

STRING: Final = 1
QUOTED: Final = 2
BLOB: Final = 3
"""A literal with a letter before its quote."""
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


def blanked(text: str, comments: Sequence[tuple[int, int]]) -> str:
    """Replace each comment by blanks, so that every other character keeps its line and column."""
    parts, at = [], 0
    for start, end in comments:
        parts += [text[at:start], "".join("\n" if c == "\n" else " " for c in text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


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
    is_aggregate: bool = False
    """Whether it takes many rows to one, or looks at other rows; sqlglot knows SQLite's by their kinds."""
    is_table: bool = False
    """Whether it is a function in FROM alone."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How an engine finds what a name means, where engines differ."""

    default_schema: str = ""
    """Where a table without a schema is; empty if the engine's tables have no schema that a text may name."""
    keeps_case_in_quotes: bool
    """`"A"` and `a` are two names."""
    has_string_names: bool
    """A double-quoted name that means nothing is a string."""
    has_boolean_columns: bool
    """`TRUE` and `FALSE` are columns where a source has such a column."""
    has_query_parentheses: bool
    """A branch of UNION may stand in parentheses."""
    has_whole_rows: bool
    """A source's name alone means its whole row, and no column is looked for beyond the nearest source so named."""
    has_star_without: bool
    """`* EXCLUDE (a, b)` is `*` without those columns."""
    alias_clauses: frozenset[str]
    """Clauses, as sqlglot calls them, whose expressions see the names of the output."""
    orders_by_columns_too: bool
    """ORDER BY also tries an output's name as a column."""
    ctes_see_all: bool
    """A WITH name is known to all of its WITH, before it and after; else, without RECURSIVE, to what follows."""
    recursion_sees_all: bool = True
    """With RECURSIVE, a WITH name is known to all of its WITH; else to its own last part and to what follows."""
    nested_with_hides_outer: bool = False
    """What a WITH within a query defines may not see the WITH names around it, but the tables that they hide."""
    renames_columns: bool = False
    """Names after the alias of a table are its columns' names, from the first column on."""
    reads_joins_whole: bool
    """A join in parentheses reads every column of its tables."""
    forgets_aliases: bool = False
    """The alias of one source in parentheses right of a join names nothing; it may be that of another further out."""
    conditions_see_join: bool = True
    """ON sees the two sides of its own join, and the arguments of a function in FROM what stands left of them. Else
    both see all that their FROM holds."""
    conditions_see_all: bool = True
    """ON sees all that its FROM holds. Where it may be either, what it names has to be allowed in both readings."""
    counts_by_bare_name: bool
    """Of rows that are only counted, the engine's own check hears no more than the bare name."""
    has_case_in_tables: bool = False
    """Tables and their aliases are compared with case; a text has to spell each in one way."""
    schemas: frozenset[str] = frozenset()
    """Names that before a table's mean a schema, so that the two together are the table's whole row."""
    has_lateral_queries: bool = False
    """A query in FROM sees what stands left of it, with or without LATERAL."""
    names_values: bool = True
    """The columns of VALUES are called `column1` and so on."""
    no_table: str = ""
    """The word that stands in FROM for no table at all."""
    string_quotes: str = "'"
    """Characters that begin a string."""
    output_name: Callable[[exp.Expr], str]
    """What an output without an alias is called; empty if the gate does not say."""


def words(text: str) -> frozenset[str]:
    """Return the words of a block of text; tables of words read best so."""
    return frozenset(text.split())


def by_name(groups: Mapping[str, str]) -> Mapping[str, str]:
    """Return each word of blocks of words with the sentence that it stands under; a word's first sentence counts."""
    told: dict[str, str] = {}
    for sentence, names in groups.items():
        for name in names.split():
            told.setdefault(name, sentence)
    return MappingProxyType(told)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine's SQL, as the gate's layers need it."""

    name: str
    grammar: Grammar
    """sqlglot's reading of it; each parse makes its own parser, so threads may share this."""
    scan: Callable[[str, int], Scan]
    """The engine's lexer: text and the most tokens accepted; raises `Unreadable`."""
    naming: Naming
    types: Callable[[Sequence[Token], list[str]], Iterable[int]]
    """Indexes of the tokens that make up types."""
    placed_words: Callable[[Sequence[Token], list[str]], Iterable[int]]
    """Indexes of the words that build the statement only where they stand, such as the unit of EXTRACT."""
    has_plain_calls: bool
    """sqlglot is kept from making a class of its own of each function; some of those lose columns they are given."""
    text_to_run: Callable[[Resolved, frozenset[str]], str]
    """The text that runs, given the functions that were found, or a refusal where a second reading disagrees."""
    table_name: Callable[[str], str]
    """A table's name of the catalogue as a text writes it."""
    openings: frozenset[str]
    """First words of statements that read."""
    compound_operators: frozenset[str]
    """Tokens that sqlglot reads in two or more parts."""
    structural: frozenset[str]
    """Words that build a statement and name nothing."""
    verbs: frozenset[str]
    """First words of statements that do something other than read."""
    write_words: frozenset[str]
    """Words that the engine reserves and that only a statement that writes can hold."""
    write_pairs: frozenset[tuple[str, str]]
    """Keys that follow each other only in a statement that writes or locks."""
    impossible: frozenset[tuple[str, str]]
    """Keys that cannot follow each other in the engine's grammar though sqlglot lets them; "" is the end."""
    foreign_words: Mapping[str, str]
    """Words that models bring from other engines, and what to write instead."""
    own_words: Mapping[str, str] = field(default_factory=dict)
    """Words of this engine that the gate does not take, and what to write instead."""
    kinds: frozenset[type[exp.Expr]]
    """Node kinds a tree may hold."""
    fenced_kinds: frozenset[type[exp.Expr]]
    """Of those, the ones a row can make raise or take long."""
    kind_functions: Mapping[type[exp.Expr], str]
    """Functions behind operators and keywords."""
    operator_functions: Mapping[str, str]
    """Functions behind operator tokens."""
    merge_function: str = ""
    """The function that makes one column of those that USING and NATURAL join in a RIGHT or FULL JOIN, if it is one."""
    has_empty_outputs: bool = False
    """`SELECT FROM t` is a statement to the engine; the gate takes none without an output."""
    lambda_word: str = ""
    """The word before an argument that is a function; the gate takes no such argument, however it is written."""
    in_place_of_lambda: str = ""
    """What is accepted in place of a function written `x -> …`; empty if the engine has none."""
    no_comprehension: str = ""
    """The sentence to a list made by `[… for x in …]`; empty if the engine has none."""
    functions: Mapping[str, Function]
    refused_functions: Mapping[str, str] = field(default_factory=dict)
    """Functions that the engine has and the gate does not take, as patterns of names, and why, or what is accepted."""
    table_functions: Mapping[str, tuple[str, ...]]
    """Those that may stand in FROM, with their columns; none: one column, called like the source."""
    argument_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns of those that only hold their arguments, that `*` leaves out and no statement may name."""
    left_out: Callable[[Sequence[str]], Iterable[int]] = field(default=lambda _: ())
    """Indexes of the tokens that sqlglot is not shown: it does not know them, and nothing is read by them."""
    prefixes: frozenset[str] = frozenset()
    """Operators before their one operand that sqlglot does not know."""
    has_table_command: bool = False
    """`TABLE t` is `SELECT * FROM t`."""
    has_values_after_with: bool = False
    """`WITH … VALUES …` is a statement."""
    sized_arguments: Mapping[str, int]
    """Functions that make a value as long as an argument says, and which argument, from 0."""
    template_functions: frozenset[str] = frozenset()
    """Functions whose first argument, a text, says how long what they make of the others is: `%100s`."""
    has_unbounded_values: bool
    """A value may grow to a size at which one search through it takes minutes that nothing ends."""
    joining_functions: frozenset[str] = frozenset()
    """Functions whose value is about as long as all they are given, where that is bounded."""
    squaring_functions: frozenset[str] = frozenset()
    """Functions that take the square of the length of their first argument, as REGEXP then does of its left side."""
    growing_functions: frozenset[str] = frozenset()
    """Functions whose value is longer than what they are given by a factor."""
    has_early_outputs: bool = False
    """A SELECT may be evaluated for groups that its HAVING leaves out, so that an error there tells of them."""
    has_lossy_rollup: bool = False
    """DISTINCT over the sums of ROLLUP is answered otherwise through a view."""
    needs_fence: bool
    """Row filters are evaluated first only if we have it so."""
    type_words: frozenset[str]
    """Words a CAST's type may be made of."""
    collations: frozenset[str]
    row_ids: frozenset[str]
    """Names that mean the row's number where no column has them."""
    system_prefixes: tuple[str, ...]
    """Tables whose names begin so are the engine's own, whatever a spec allows."""
