"""Is every function on the allow-list? What a database has besides is answered like what it has not."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from sqlglot import exp

from sandbox.problems import did_you_mistype
from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql.dialects.base import Token
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved
from sandbox.sql.told import word_told

RULE: Final = "sql/functions"


def check(resolved: Resolved) -> None:
    """Refuse a call of a function outside the dialect's table; `claim` is an author's alone."""
    lexed = resolved.parsed.lexed
    functions = lexed.dialect.functions
    for token in resolved.calls:
        name = token.key.lower()
        if name in functions and (name != "claim" or lexed.given.may_claim):
            continue
        raise forbidden(lexed, token)
    _check_frame_words(resolved)


def _check_frame_words(resolved: Resolved) -> None:
    """Refuse words of SQL's frame that sqlglot takes for functions, such as `CURRENT(…)`, and tables as functions."""
    lexed = resolved.parsed.lexed
    for call in resolved.parsed.nodes.get(exp.Anonymous, ()):
        function = lexed.dialect.functions.get(call.name.lower())
        if function is None or (function.is_table and type(call.parent) is not exp.Table):
            raise forbidden(lexed, next(token for token in lexed.tokens if token.key == call.name.upper()))


def forbidden(lexed: Lexed, token: Token) -> Refused:
    """Refuse a call of a function outside the table, or a construct that only looks like one: `TABLESAMPLE (…)`."""
    name = token.key.lower()
    # A function of the engine by this very name has a reason of its own; the sentence of a word is for all others.
    told = "" if name in lexed.dialect.refused_functions else word_told(lexed, token)
    return refused(
        Reason.SQL_OBJECT_FORBIDDEN,
        RULE,
        told or _sentence(lexed, name),
        text=lexed.text,
        start=token.start,
        construct=name[:40],
    )


def _sentence(lexed: Lexed, name: str) -> str:
    """Say why a function is refused, where it is the engine's own or ours; else what it may be a slip for.

    # INVARIANT: told from the gate's tables alone, never from what the database has.
    """
    functions = lexed.dialect.functions
    bare = name.strip('"`')
    if bare != name and bare in functions:
        return f"the function {quoted(bare)} is accepted without quotes around its name"
    if bare in functions and functions[bare].is_table:
        return f"the function {quoted(bare)} is read as a table, in FROM"
    if why := _why_not(lexed, bare):
        return f"the function {quoted(bare)} is not accepted: {why}"
    accepted = [known for known, function in functions.items() if known != "claim" and not function.is_table]
    hint = did_you_mistype(bare, accepted) or f"; functions such as {_EXAMPLES} are accepted"
    return f"the function {quoted(bare)} is not on this gate's list for {lexed.dialect.name}{hint}"


def _why_not(lexed: Lexed, name: str) -> str:
    """Return why a function that there is may not be called, by the first pattern that fits; empty for any other."""
    if name == "claim":
        return "row filters and statements of a tool's author alone call it; the rows read here are filtered already"
    return next((why for pattern, why in lexed.dialect.refused_functions.items() if fnmatchcase(name, pattern)), "")


_EXAMPLES: Final = "`count`, `sum`, `round`, `lower`, `coalesce`"


def functions_of(resolved: Resolved) -> frozenset[str]:
    """Return the functions the statement calls, those behind operators and keywords too, as the engine names them."""
    lexed = resolved.parsed.lexed
    kinds = resolved.parsed.nodes
    return (
        frozenset(token.key.lower() for token in resolved.calls)
        | {name for kind, name in lexed.dialect.kind_functions.items() if kind in kinds}
        | {name for operator, name in lexed.dialect.operator_functions.items() if operator in lexed.keys}
        | ({lexed.dialect.merge_function} if lexed.dialect.merge_function and _may_merge(lexed.keys) else set())
    )


def _may_merge(keys: Sequence[str]) -> bool:
    """Whether a RIGHT or FULL JOIN may make one column of several; words used as names count too, and do no harm."""
    return ("RIGHT" in keys or "FULL" in keys) and ("USING" in keys or "NATURAL" in keys)
