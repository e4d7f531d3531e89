"""What is said to a use of a column for aggregates alone for which there is another form that the gate takes?

It decides nothing: whoever refuses such a use asks here first, and has a sentence for all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from sandbox.reasons import quoted
from sandbox.sql.lex import Lexed
from sandbox.sql.parse import start_of

_AGGREGATES: Final[Mapping[type[exp.Expr], str]] = {exp.Avg: "avg", exp.Count: "count", exp.Sum: "sum"}
_SCALES: Final[Mapping[type[exp.Expr], str]] = {exp.Mul: "*", exp.Div: "/"}
_SHIFTS: Final[Mapping[type[exp.Expr], str]] = {exp.Add: "+", exp.Sub: "-"}
_MOVED: Final[Mapping[str, Mapping[type[exp.Expr], str]]] = {"sum": _SCALES, "avg": {**_SCALES, **_SHIFTS}}
"""Arithmetic with a number that comes to the same where it is done with the aggregate."""


def form_told(node: exp.Expr, lexed: Lexed) -> str:
    """Return the form that is accepted in place of a use of a guarded column; nothing where this knows of none."""
    return _moved(node, lexed) or _not_permitted(node, lexed)


def union_told(node: exp.Expr, lexed: Lexed) -> str:
    """Return how a part of a UNION aggregates such a column: there it has no LIMIT of its own."""
    select = node.find_ancestor(exp.Select)
    if select is None or not isinstance(select.parent, exp.SetOperation):
        return ""
    within = _within("total", f"sum({written(node, lexed)})", node, lexed)
    return f"a part of a UNION has it in a query within: `{within} UNION …`"


def _within(output: str, aggregate: str, node: exp.Expr, lexed: Lexed) -> str:
    """Return a query around the SELECT that aggregates, as a text to read."""
    inner = " ".join(("SELECT", aggregate, "AS total FROM …", _having(node, lexed), "LIMIT 1000000"))
    return " ".join(("SELECT", output, "FROM", f"({inner})", "AS x"))


def _having(node: exp.Expr, lexed: Lexed) -> str:
    return f"HAVING count({written(node, lexed)}) >= {lexed.given.bounds.min_group_size}"


def _moved(node: exp.Expr, lexed: Lexed) -> str:
    """Return `sum(c) / 100.0` of `sum(c / 100.0)`."""
    made = node.parent
    around = made.parent if made is not None else None
    while isinstance(around, exp.Paren):
        around = around.parent
    name = _function_name(around)
    sign = _MOVED.get(name, {}).get(type(made)) if made is not None else None
    number = _number_beside(node)
    if sign is None or not number:
        return ""
    before, after = f"{name}({written(node, lexed)})", f"{sign} {number}"
    if lexed.dialect.has_early_outputs:
        return f"arithmetic goes into a query around: `{_within(f'total {after}', before, node, lexed)}`"
    return f"arithmetic goes outside of the aggregate: `{before} {after}`, with `{_having(node, lexed)}`"


_MAX_NUMBER: Final = 20
"""Characters of a number that is told again."""


def _number_beside(node: exp.Expr) -> str:
    """Return the number that stands right of a column, or left of it where that is the same."""
    made = node.parent
    if not isinstance(made, exp.Binary):
        return ""
    other = made.left if made.right is node and isinstance(made, (exp.Add, exp.Mul)) else made.right
    is_number = type(other) is exp.Literal and not other.is_string and len(other.name) <= _MAX_NUMBER
    is_whole = is_number and isinstance(made, exp.Div) and "." not in other.name  # each quotient would lose its rest
    return other.name if is_number and not is_whole else ""


def written(node: exp.Expr, lexed: Lexed) -> str:
    """Return a column's name as the text writes it, quotes and all."""
    start = start_of(node)
    return next((lexed.text[token.start : token.end] for token in lexed.tokens if token.start == start), node.name)


def _function_name(call: exp.Expr | None) -> str:
    if call is None:
        return ""
    return call.name.lower() if type(call) is exp.Anonymous else _AGGREGATES.get(type(call), "")


def _not_permitted(node: exp.Expr, lexed: Lexed) -> str:
    """Name the aggregate around the column if it is none of those that are permitted, and stands among the outputs."""
    if not isinstance(node.find_ancestor(exp.Having, exp.Order, exp.Qualify, exp.Select), exp.Select):
        return ""
    name = _aggregate_around(node, lexed)
    if not name or name in _AGGREGATES.values():
        return ""
    column = written(node, lexed)
    accepted = f"`sum({column})`, `avg({column})` and `count({column})` as outputs are accepted"
    return (
        f"{quoted(name)} is none of its aggregates; {accepted}, without DISTINCT, FILTER or OVER, with"
        f" `{_having(node, lexed)}`"
    )


def _aggregate_around(node: exp.Expr, lexed: Lexed) -> str:
    """Return the nearest aggregate around a column within its SELECT, as it is written."""
    functions = lexed.dialect.functions
    call = node.parent
    while call is not None and not isinstance(call, exp.Query):
        if isinstance(call, exp.AggFunc):
            words, name = _words_around(start_of(node), lexed), call.sql_name().lower()
            return name if name in words else next((word for word in words if word in functions), "")
        if isinstance(call, exp.Anonymous) and (known := functions.get(call.name.lower())) and known.is_aggregate:
            return call.name.lower()
        call = call.parent
    return ""


def _words_around(start: int, lexed: Lexed) -> list[str]:
    """Return what stands before each parenthesis around a place, the nearest first."""
    opened: list[int] = []
    for index, token in enumerate(lexed.tokens):
        if token.start >= start:
            break
        if token.key == "(":
            opened.append(index - 1)
        elif token.key == ")":
            del opened[-1:]
    return [lexed.keys[index].lower() for index in reversed(opened)]
