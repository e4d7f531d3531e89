"""Does PostgreSQL's own grammar agree, and what is the text that runs? Printed from its tree, never the caller's text.

The second opinion may only refuse: it must read one statement with the same tables and functions as sqlglot's reading,
of nothing but what is on the list of `postgres_tree`. What is printed is parsed again and must be the same tree, so
that no fault of the printer can change what was proven.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql.dialects.base import PARAMETER
from sandbox.sql.dialects.postgres_grouping import complete_groups, known_tables
from sandbox.sql.dialects.postgres_shapes import is_same
from sandbox.sql.dialects.postgres_tree import Tree, Unknown
from sandbox.sql.refusals import refused

if TYPE_CHECKING:
    from postgast import ParseResult

    from sandbox.sql.lex import Lexed
    from sandbox.sql.resolve import Resolved

RULE: Final = "sql/second-grammar"


class _Grammar(NamedTuple):
    parse: Callable[[str], ParseResult]
    deparse: Callable[[ParseResult], str]
    errors: tuple[type[Exception], ...]


@cache
def _grammar() -> _Grammar:
    """Load the server's grammar when the first statement of PostgreSQL comes: it takes a fifth of a second."""
    import postgast
    from google.protobuf.message import DecodeError

    return _Grammar(postgast.parse, postgast.deparse, (postgast.PgQueryError, DecodeError))


def text_to_run(resolved: Resolved, functions: frozenset[str]) -> str:
    """Print the statement as the server's grammar reads it, with what stands for each table in its place."""
    lexed = resolved.parsed.lexed
    grammar = _grammar()
    tree = Tree(lexed.given.stands_for, may_claim=lexed.given.may_claim)
    try:
        parsed = grammar.parse(_with_numbers(lexed))
        if len(parsed.stmts) != 1 or not parsed.stmts[0].stmt.HasField("select_stmt"):
            raise Unknown("statement", -1)
        tree.take(parsed)
    except grammar.errors as error:
        message = (
            "PostgreSQL's own grammar does not read this text, or reads it too deep; a plainer `SELECT` is accepted"
        )
        raise _refused(lexed, message, getattr(error, "cursorpos", 0) - 1, "statement") from error
    except Unknown as unknown:
        message = f"PostgreSQL's own grammar reads {quoted(unknown.construct)} here, which is not accepted"
        raise _refused(lexed, message, unknown.at, unknown.construct) from unknown
    _check_same(resolved, "tables", resolved.relations, tree.relations)
    _check_same(resolved, "functions", functions, tree.functions - {""})
    if "GROUP" in lexed.keys and (tables := known_tables(lexed.given)):
        complete_groups(parsed, tables)
    return _printed(lexed, grammar, parsed, has_empty_nodes=tree.has_empty_nodes)


def _printed(lexed: Lexed, grammar: _Grammar, tree: ParseResult, *, has_empty_nodes: bool) -> str:
    """Print a tree; what is printed must be that tree."""
    try:
        text = grammar.deparse(tree)
        is_kept = is_same(tree, grammar.parse(text), has_empty_nodes=has_empty_nodes)
    except grammar.errors as error:
        raise _refused(lexed, _UNPRINTABLE, -1, "statement") from error
    if not is_kept:
        raise _refused(lexed, _UNPRINTABLE, -1, "statement")
    return text


_UNPRINTABLE: Final = "this statement cannot be printed without a change of its meaning; a plainer `SELECT` is accepted"


def _check_same(resolved: Resolved, what: str, first: frozenset[str], second: set[str]) -> None:
    if first != second:
        names = ", ".join(map(quoted, sorted(first ^ second)))
        message = f"two readings of this statement differ in the {what} {names}; a plainer spelling is accepted"
        raise _refused(resolved.parsed.lexed, message, -1, what)


def _with_numbers(lexed: Lexed) -> str:
    """Return the text with `$n` for each `:name`, numbered by sorted name."""
    if not lexed.given.parameters:
        return lexed.text
    named = [token for token in lexed.tokens if token.kind == PARAMETER]
    numbers = {name: number for number, name in enumerate(sorted({token.key for token in named}), start=1)}
    parts, at = [], 0
    for token in named:
        parts += [lexed.text[at : token.start], f"${numbers[token.key]}".ljust(token.end - token.start)]
        at = token.end
    return "".join([*parts, lexed.text[at:]])


def _refused(lexed: Lexed, message: str, at: int, construct: str) -> Refused:
    start = len(lexed.text.encode()[: max(at, 0)].decode(errors="ignore"))
    return refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=start, construct=construct[:40])
