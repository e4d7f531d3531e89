"""What does a refusal tell besides what was wrong: what may be read, and what is written in place of a construct?

Told from the spec's rules and the gate's own tables alone, so that it is no more than who calls the tool may know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sandbox.reasons import quoted
from sandbox.sql.catalogue import folded
from sandbox.sql.contract import GateInput
from sandbox.sql.dialects.base import Token
from sandbox.sql.lex import Lexed
from sandbox.toolspec import TableRule

_MOST_TABLES: Final = 8
_MOST_COLUMNS: Final = 20
"""Names told: enough to go on with, not the whole catalogue."""


def listed(names: Sequence[str], most: int = _MOST_COLUMNS) -> str:
    """Return the first names in backticks, and whether there are more."""
    return ", ".join(map(quoted, names[:most])) + (" and more" if len(names) > most else "")


def tables_told(given: GateInput) -> str:
    """Return the tables that the tool may read; nothing if there are none."""
    return listed(sorted(rule.table for rule in given.tables.values()), _MOST_TABLES)


def columns_told(rules: Sequence[TableRule]) -> str:
    """Return the columns that may be read of some tables, those for aggregates alone apart."""
    guarded = {(rule.table, name) for rule in rules for name in rule.aggregate_only}
    shown = [(rule.table, name) for rule in rules for name in rule.columns]
    plain = listed(sorted({column for table, column in shown if (table, column) not in guarded}))
    alone = listed(sorted({column for _, column in guarded}))
    return f"{plain}; for aggregates alone: {alone}" if alone else plain


class Construct(NamedTuple):
    """Something in a text that the gate does not take."""

    token: Token
    message: str


def construct_told(lexed: Lexed) -> Construct | None:
    """Return the construct that a text was probably refused for, with what is written in its place."""
    for token in _comprehensions(lexed):
        return Construct(token, lexed.dialect.no_comprehension)
    for index, token in enumerate(lexed.tokens):
        is_call = index in lexed.calls and lexed.keys[index - 1] != "*"
        if not is_call and (message := word_told(lexed, token)):
            return Construct(token, message)
    return None


def word_told(lexed: Lexed, token: Token) -> str:
    """Return what is said to a word that the gate does not take; nothing for any other."""
    if hint := lexed.dialect.own_words.get(token.key):
        return f"`{token.key}` is not accepted here; {hint}"
    if hint := lexed.dialect.foreign_words.get(token.key):
        return f"`{token.key}` is not part of {lexed.dialect.name}; {hint}"
    return ""


def _comprehensions(lexed: Lexed) -> list[Token]:
    """Find each FOR that stands in brackets by itself, where no other construct has one."""
    if not lexed.dialect.no_comprehension or "[" not in lexed.keys or "FOR" not in lexed.keys:
        return []
    found: list[Token] = []
    opened: list[str] = []
    for token in lexed.tokens:
        if token.key in ("(", "["):
            opened.append(token.key)
        elif token.key in (")", "]"):
            del opened[-1:]
        elif token.key == "FOR" and opened[-1:] == ["["]:
            found.append(token)
    return found


_OF_TABLES: Final = frozenset({"DESCRIBE", "DESC", "SHOW", "SUMMARIZE", "PRAGMA"})


def catalogue_told(lexed: Lexed, at: int) -> str:
    """Return what is said to a word that asks of tables, such as DESCRIBE; nothing for any other.

    It is answered here as far as the tool's rules go: with the columns of the table it names, or with the tables.
    """
    word = lexed.keys[at]
    if word not in _OF_TABLES:
        return ""
    rules = {folded(rule.table): rule for rule in lexed.given.tables.values()}
    named = (rules.get(name) for name in _names_after(lexed, at))
    rule = next((rule for rule in named if rule), None)
    form = lexed.dialect.own_words.get(word, "a single `SELECT` is accepted").removesuffix(" accepted")
    told = f"{quoted(rule.table)} has {columns_told([rule])}" if rule else f"it may read {tables_told(lexed.given)}"
    return f"`{word}` is not accepted here; {form}, and {told}"


def _names_after(lexed: Lexed, at: int) -> Iterator[str]:
    """Yield what could be the name of a table after a token, folded and with its schema."""
    bare = [folded(key.strip('"`')) for key in lexed.keys]
    schema = lexed.dialect.naming.default_schema
    for index in range(at + 1, len(bare)):
        if bare[index + 1 : index + 2] == ["."]:
            yield "".join(bare[index : index + 3])
        elif bare[index - 1] != ".":
            yield f"{schema}.{bare[index]}" if schema else bare[index]
