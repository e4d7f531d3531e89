"""Would one call take the square of a text that the statement itself made long? Nothing ends it within the call.

MariaDB moves the rest of the text for each place that `replace` changes: a text of 16 MB, made of eight letters by a
few WITHs, takes it hours; `REGEXP`, `json_keys` and their kin take a minute of 8 MB. So what they are given is stored
or written out, or joined of such texts in the same query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sqlglot import exp

from sandbox.reasons import Reason
from sandbox.sql.parse import start_of
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved

RULE: Final = "sql/growing"


def check(resolved: Resolved) -> None:
    """Refuse such a call over what grows with each step, or over a column of a query within that joins texts."""
    lexed = resolved.parsed.lexed
    squaring, growing = lexed.dialect.squaring_functions, lexed.dialect.growing_functions
    nodes = resolved.parsed.nodes
    matches = nodes.get(exp.RegexpLike, ()) if squaring else ()
    if squaring.isdisjoint(token.key.lower() for token in resolved.calls) and not matches:
        return
    within = growing | lexed.dialect.joining_functions
    queries = (*nodes.get(exp.CTE, ()), *nodes.get(exp.Subquery, ()))
    is_joined = any(_grows(query, within) for query in queries)
    for name, subject in _subjects(matches, nodes.get(exp.Anonymous, ()), squaring):
        if _grows(subject, growing) or (is_joined and subject.find(exp.Column) is not None):
            message = f"`{name}` takes a column of a table or a text written out, not what the statement makes longer"
            start = max(start_of(subject), 0)
            raise refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=start, construct=name)


def _subjects(
    matches: Iterable[exp.Expr], calls: Iterable[exp.Expr], squaring: frozenset[str]
) -> Iterator[tuple[str, exp.Expr]]:
    for match in matches:
        yield "REGEXP", match.this
    for call in calls:
        if call.name.lower() in squaring and call.expressions:
            yield call.name.lower(), call.expressions[0]


def _grows(tree: exp.Expr, growing: frozenset[str]) -> bool:
    if tree.find(exp.GroupConcat) is not None:
        return True
    return any(call.name.lower() in growing and not _shrinks(call) for call in tree.find_all(exp.Anonymous))


def _shrinks(call: exp.Anonymous) -> bool:
    """Whether it is `replace` with a text written out that is no longer than what it replaces."""
    written: Iterator[str] = (each.name for each in call.expressions[1:3] if type(each) is exp.Literal)
    needle, replacement = next(written, ""), next(written, None)
    return call.name.lower() == "replace" and replacement is not None and len(replacement) <= len(needle)
