"""Who else says which statements may run? Other projects' checkers, where installed, and a plain sqlglot walk.

None of them knows our tables and rules: what they are asked is whether a statement may run at all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Final, final

import sqlglot
from sqlglot import exp

_READS: Final = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
_WRITES: Final = (
    *(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable),
    *(exp.Command, exp.Into, exp.Lock, exp.Copy, exp.Set, exp.Pragma, exp.Attach, exp.Detach),
)


@final
@dataclass(frozen=True, slots=True)
class Peer:
    """One checker."""

    name: str
    engines: tuple[str, ...]
    check: Callable[[str, str], bool]
    """Whether it lets a statement run on an engine; may raise, which is a no."""

    def permits(self, engine: str, text: str) -> bool:
        """Whether it lets a statement run; a crash is a no."""
        try:
            return self.check(engine, text)
        except Exception:  # noqa: BLE001 - whatever another project raises
            return False


def peers() -> tuple[tuple[Peer, ...], tuple[str, ...]]:
    """Return the checkers that are here, and the names of those that are not installed."""
    found = [Peer("sqlglot walk", ("sqlite", "postgres"), _walk)]
    absent: list[str] = []
    for name, engines, module, made in _OTHERS:
        try:
            found.append(Peer(name, engines, made(importlib.import_module(module))))
        except (ImportError, AttributeError):
            absent.append(name)
    return tuple(found), tuple(absent)


def _walk(engine: str, text: str) -> bool:
    """One statement, read only by its root, and nothing in the tree that writes, locks or commands."""
    statements = sqlglot.parse(text, read=engine)
    return len(statements) == 1 and isinstance(statements[0], _READS) and not any(statements[0].find_all(*_WRITES))


def _postgres_mcp(module: ModuleType) -> Callable[[str, str], bool]:
    driver = module.SafeSqlDriver(None)

    def check(_: str, text: str) -> bool:
        driver._validate(text)  # noqa: SLF001 - its checker has no other name
        return True

    return check


def _sqlsaber(module: ModuleType) -> Callable[[str, str], bool]:
    return lambda engine, text: bool(module.validate_read_only(text, engine).allowed)


def _awslabs(module: ModuleType) -> Callable[[str, str], bool]:
    return lambda _, text: not module.detect_mutating_keywords(text) and not module.check_sql_injection_risk(text)


def _pglast(module: ModuleType) -> Callable[[str, str], bool]:
    bad = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "IntoClause", "LockingClause"}

    def names(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield str(node.get("@", ""))
            node = list(node.values())
        if isinstance(node, list | tuple):
            for each in node:
                yield from names(each)

    def check(_: str, text: str) -> bool:
        statements = module.parse_sql(text)
        tree = [statement.stmt(skip_none=True) for statement in statements]
        return len(tree) == 1 and tree[0]["@"] == "SelectStmt" and not bad.intersection(names(tree))

    return check


_OTHERS: Final = (
    ("pglast walk", ("postgres",), "pglast", _pglast),
    ("postgres-mcp", ("postgres",), "postgres_mcp.sql.safe_sql", _postgres_mcp),
    ("awslabs postgres", ("postgres",), "awslabs.postgres_mcp_server.mutable_sql_detector", _awslabs),
    ("sqlsaber", ("sqlite", "postgres"), "sqlsaber.tools.sql_guard", _sqlsaber),
)
