"""On which facts of a call can a policy's answer depend? What is not read is no part of a cache key.

Guards the decision cache: an expression that is not understood counts as reading everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import final

from cedarpy import pst

from sandbox.policy.schema import CONTEXT_SETS


@final
@dataclass(slots=True)
class Reads:
    """Facts that some policy of a slice reads. Subject, roles, actors and binding are always taken as read."""

    claims: set[str] = field(default_factory=set)
    has_all_claims: bool = False
    """A claim is named by an expression, so any may be read."""
    arguments: set[str] = field(default_factory=set)
    has_all_arguments: bool = False
    sets: set[str] = field(default_factory=set)
    """Of `CONTEXT_SETS`."""
    has_door: bool = False

    def read_all_of_context(self) -> None:
        """Count every fact of the context as read."""
        self.has_all_arguments = True
        self.sets.update(CONTEXT_SETS)
        self.has_door = True


def reads_of(policies: Iterable[pst.Template]) -> Reads:
    """Return what any of `policies` reads."""
    reads = Reads()
    for policy in policies:
        for clause in policy.clauses:
            _read(clause.expr, reads)
    return reads


def expressions(expression: pst.Expr) -> Iterator[pst.Expr]:
    """Yield `expression` and everything in it."""
    yield expression
    for child in _children(expression):
        yield from expressions(child)


def argument_named(expression: pst.Expr) -> str | None:
    """Return NAME where `expression` is `context.arguments.NAME`, or asks whether there is such an argument."""
    match expression:
        case pst.GetAttr(base=pst.GetAttr(base=pst.Var(name="context"), attr="arguments"), attr=name):
            return name
        case pst.HasAttr(base=pst.GetAttr(base=pst.Var(name="context"), attr="arguments"), attrs=(name, *_)):
            return name
        case pst.HasAttr(base=pst.Var(name="context"), attrs=("arguments", name, *_)):
            return name
        case _:
            return None


def _read(expression: pst.Expr, reads: Reads) -> None:
    name = argument_named(expression)
    if name is not None:
        reads.arguments.add(name)
        return
    match expression:
        case pst.GetAttr(base=pst.Var(name="context"), attr=attr):
            _read_context(attr, reads)
            return
        case pst.HasAttr(base=pst.Var(name="context")):
            return  # the same for each request of one action: the schema requires every attribute of the context
        case pst.Var(name="context"):
            reads.read_all_of_context()
        case pst.BinaryOp(op="get_tag" | "has_tag", right=pst.StringLit(value=claim)):
            reads.claims.add(claim)
        case pst.BinaryOp(op="get_tag" | "has_tag"):
            reads.has_all_claims = True
        case _:
            pass
    for child in _children(expression):
        _read(child, reads)


def _read_context(attribute: str, reads: Reads) -> None:
    if attribute in CONTEXT_SETS:
        reads.sets.add(attribute)
    elif attribute == "door":
        reads.has_door = True
    else:
        reads.read_all_of_context()


def _children(expression: pst.Expr) -> Iterator[pst.Expr]:
    """Yield the direct parts of `expression`, whatever its kind."""
    if isinstance(expression, pst.Record):
        yield from expression.fields.values()
    elif isinstance(expression, pst.Set):
        yield from expression.elements
    elif is_dataclass(expression):
        for each in fields(expression):
            value = getattr(expression, each.name)
            if isinstance(value, pst.Expr):
                yield value
