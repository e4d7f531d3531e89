"""How is a spec's row filter written in a view? As it is, with each claim asked for once, and the columns it reads.

The text goes through the server's own grammar: claims are found in the tree, so that a string or a comment that looks
like one stays what it is. What the grammar's printer gives is read again, and must be the same tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from sandbox.deployment import Misconfigured
from sandbox.reasons import quoted

CLAIM: Final = "claim"
_PREFIX: Final = "SELECT WHERE "
_PLACES: Final = frozenset(
    {"location", "stmt_location", "stmt_len", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"}
)


@final
@dataclass(frozen=True, slots=True)
class RowFilter:
    """A condition for a view's `WHERE`."""

    sql: str
    columns: frozenset[str]
    """The names it reads: columns of its table, for the gate accepts nothing else."""
    claims: tuple[str, ...]
    """Sorted."""


def row_filter(expression: str) -> RowFilter:
    """Rewrite a row filter; raises `Misconfigured` if the server's grammar does not read it as one expression."""
    parsed = _parsed(expression)
    select = parsed.stmts[0].stmt.select_stmt
    claims: set[str] = set()
    for node in list(_nodes(select.where_clause)):
        name = _claim(node)
        if name is not None:
            claims.add(name)
            node.CopyFrom(_asked_once(name))
    columns = {part.string.sval for node in _nodes(select.where_clause) for part in _column(node)}
    return RowFilter(_printed(parsed, expression), frozenset(columns), tuple(sorted(claims)))


def _parsed(expression: str) -> tree.ParseResult:
    try:
        parsed = postgast.parse(f"{_PREFIX}({expression}\n)")
    except postgast.PgQueryError as error:
        raise Misconfigured(f"row filter {quoted(expression)}: PostgreSQL's grammar does not read it") from error
    wanted = tree.SelectStmt()
    if len(parsed.stmts) == 1 and parsed.stmts[0].stmt.HasField("select_stmt"):
        wanted.CopyFrom(parsed.stmts[0].stmt.select_stmt)
        wanted.ClearField("where_clause")
        if wanted == postgast.parse("SELECT").stmts[0].stmt.select_stmt:
            return parsed
    raise Misconfigured(f"row filter {quoted(expression)}: one expression is accepted")


def _printed(parsed: tree.ParseResult, expression: str) -> str:
    text = postgast.deparse(parsed)
    again = postgast.parse(text)
    for read in (parsed, again):
        _forget_places(read)
    if again != parsed or not text.startswith(_PREFIX):
        raise Misconfigured(f"row filter {quoted(expression)}: it is not read as it is printed; write it more plainly")
    return str(text).removeprefix(_PREFIX)


def _claim(node: tree.Node) -> str | None:
    """Return the name of the claim that a node asks for, if it asks for one."""
    if not node.HasField("func_call"):
        return None
    call = node.func_call
    if [part.string.sval for part in call.funcname] != [CLAIM]:
        return None
    bare = tree.FuncCall(funcname=call.funcname, args=call.args, funcformat=call.funcformat, location=call.location)
    if bare != call or len(call.args) != 1 or not call.args[0].a_const.HasField("sval"):
        raise Misconfigured("row filter: `claim('name')` takes one name in single quotes")
    return str(call.args[0].a_const.sval.sval)


def _asked_once(name: str) -> tree.Node:
    """Return a subquery for a claim, which does not depend on the row and so is evaluated once a statement."""
    asked = postgast.parse("SELECT (SELECT sandbox.claim(''))")
    node = asked.stmts[0].stmt.select_stmt.target_list[0].res_target.val
    call = node.sub_link.subselect.select_stmt.target_list[0].res_target.val.func_call
    call.args[0].a_const.sval.sval = name
    return node


def _column(node: tree.Node) -> Iterator[tree.Node]:
    if node.HasField("column_ref"):
        yield from (part for part in node.column_ref.fields[-1:] if part.HasField("string"))


def _nodes(message: Message) -> Iterator[tree.Node]:
    """Yield every node of a tree, the innermost first, so that one may be put in the place of another."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for child in value if field.is_repeated else (value,):
            yield from _nodes(child)
    if isinstance(message, tree.Node):
        yield message


def _forget_places(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name in _PLACES:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for child in value if field.is_repeated else (value,):
                _forget_places(child)
