"""Is every function on the allow-list? One that is not is answered alike, whether the engine has it or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from sandbox.problems import did_you_mean
from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql.dialects.base import Token
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved

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
    """Refuse a call of a function outside the table."""
    name = token.key.lower()
    functions = lexed.dialect.functions
    accepted = [known for known, function in functions.items() if known != "claim" and not function.is_table]
    message = f"the function {quoted(name)} is outside this tool's rules{did_you_mean(name, accepted)}"
    if name in functions and functions[name].is_table:
        message = f"the function {quoted(name)} is read as a table, in FROM"
    return refused(
        Reason.SQL_OBJECT_FORBIDDEN,
        RULE,
        message,
        text=lexed.text,
        start=token.start,
        construct=name[:40],
    )


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
