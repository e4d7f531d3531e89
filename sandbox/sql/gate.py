"""May this very text run? Takes SQL and what may be read, gives the text to run and the rights it needs, or refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import SqlglotError

from sandbox.reasons import Reason, Refused, quoted
from sandbox.sql.catalogue import Catalogue, TableShape, folded
from sandbox.stages import OmittedColumns, Rights
from sandbox.toolspec import TableRule


@final
@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a text may be before anything reads it."""

    max_bytes: int
    max_tokens: int
    max_depth: int
    """Parentheses, CASE and prefix operators within each other."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GateInput:
    """One text, and what it may do."""

    dialect: Literal["sqlite"]
    text: str
    catalogue: Catalogue
    tables: Mapping[str, TableRule]
    """What may be read, by any key; `TableRule.table` is the name that counts."""
    parameters: frozenset[str]
    """Named parameters the text may use, without the colon; empty for model-written SQL."""
    may_claim: bool
    """Whether the text may call `claim('name')`: only an author's may."""
    bounds: Bounds


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A text that can only read what it may read."""

    sql_to_run: str
    """The caller's text with comments blanked and a closing semicolon cut; nothing else is changed."""
    rights: Rights
    omitted: tuple[OmittedColumns, ...]
    is_fenced: bool
    """Row filters must be evaluated before anything of the statement: it reads a filtered or masked table and can
    raise an error, or take its time, over a row the filter hides."""
    parameters: tuple[str, ...]
    """Named parameters used, sorted."""


_KINDS: Final = frozenset(
    {
        exp.Select, exp.From, exp.Table, exp.Identifier, exp.Column, exp.Star, exp.Literal, exp.Alias, exp.Where,
        exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.And, exp.Or, exp.Paren, exp.Count, exp.Sum,
        exp.Group, exp.Order, exp.Ordered, exp.Limit,
    }
)  # fmt: skip


def prove(given: GateInput) -> Proven:
    """Prove that the text is one statement that reads no more than `given.tables` allow, or raise `Refused`."""
    text = given.text
    if len(text.encode("utf-8", "replace")) > given.bounds.max_bytes:
        raise Refused(Reason.SQL_UNPARSABLE, f"at most {given.bounds.max_bytes} bytes are accepted", rule="sql/bound")
    try:
        trees = SQLite().parse(text)
    except (SqlglotError, RecursionError, TypeError) as error:
        raise Refused(Reason.SQL_UNPARSABLE, "not one SQL statement", rule="sql/parse") from error
    if len(trees) != 1 or type(trees[0]) is not exp.Select or "--" in text or "/*" in text or ";" in text:
        raise Refused(Reason.SQL_NOT_READ_ONLY, "a single `SELECT` is accepted", rule="sql/read-only")
    return _narrow(given, trees[0])


def _narrow(given: GateInput, tree: exp.Select) -> Proven:
    """Prove the plainest statements: one table, no subquery."""
    for node in tree.walk():
        if type(node) not in _KINDS:
            raise Refused(Reason.SQL_NOT_SUPPORTED, f"{quoted(node.key)} is not accepted", rule="sql/node-kinds")
    found = tree.find(exp.Table)
    rules = {folded(rule.table): rule for rule in given.tables.values()}
    rule = rules.get(folded(found.name)) if found is not None and not found.db else None
    shape = given.catalogue.tables.get(folded(rule.table)) if rule else None
    if rule is None or shape is None:
        raise Refused(Reason.SQL_OBJECT_FORBIDDEN, "the table is outside the tool's rules", rule="sql/tables")
    return _rights(given, tree, rule, shape)


def _rights(given: GateInput, tree: exp.Select, rule: TableRule, shape: TableShape) -> Proven:
    visible = {folded(name): name for name in rule.columns}
    used: set[str] = set()
    is_star = any(type(item) is exp.Star for item in tree.expressions)
    for column in tree.find_all(exp.Column):
        if folded(column.name) not in visible:
            raise Refused(Reason.SQL_OBJECT_FORBIDDEN, "a column is outside the tool's rules", rule="sql/columns")
        used.add(visible[folded(column.name)])
    hidden = sum(not c.is_hidden and folded(c.name) not in visible for c in shape.columns)
    return Proven(
        sql_to_run=given.text,
        rights=Rights(
            relations=(shape.name,),
            columns=tuple(sorted((shape.name, name) for name in (visible.values() if is_star else used))),
            functions=tuple(sorted({node.key for node in tree.find_all(exp.Count, exp.Sum)})),
            claims=(),
        ),
        omitted=(OmittedColumns(shape.name, hidden),) if is_star and hidden else (),
        is_fenced=False,
        parameters=(),
    )


def prove_filter(expression: str, rule_table: TableShape, dialect: Literal["sqlite"]) -> tuple[str, ...]:
    """Prove that a spec's row filter is one boolean expression over its own table; return the claims it reads, sorted.

    It may use the table's columns (denied ones too: the author's rule, not the model's), `claim('name')` and
    functions that read nothing; no subqueries and no parameters.
    """
    try:
        trees = SQLite().parse(f"SELECT 1 FROM t WHERE ({expression})")
    except (SqlglotError, RecursionError, TypeError) as error:
        raise Refused(Reason.SQL_UNPARSABLE, f"not one {dialect} expression", rule="sql/parse") from error
    known = {folded(column.name) for column in rule_table.columns}
    claims: set[str] = set()
    if len(trees) != 1 or trees[0] is None or "--" in expression or "/*" in expression:
        raise Refused(Reason.SQL_UNPARSABLE, "not one expression", rule="sql/parse")
    for node in trees[0].walk():
        if type(node) is exp.Anonymous and node.name.lower() == "claim" and len(node.expressions) == 1:
            claims.add(node.expressions[0].name)
        elif type(node) not in _KINDS or (type(node) is exp.Column and folded(node.name) not in known):
            raise Refused(Reason.SQL_NOT_SUPPORTED, f"{quoted(node.sql())} is not accepted", rule="sql/node-kinds")
    return tuple(sorted(claims))
