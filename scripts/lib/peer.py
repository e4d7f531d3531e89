"""May a statement run, says a checker of another project? `peer.py NAME FOLDER`: a JSON object a line in, a bool out.

Runs in isolation, with nothing to import but what lies in FOLDER. Where a package's own `__init__` starts a server's
imports, the package is entered without it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Final

Check = Callable[[str, str], bool]


def _enter(folder: Path, package: str) -> None:
    """Make a package known without running its `__init__`."""
    module = ModuleType(package)
    module.__path__ = [str(folder / package.replace(".", "/"))]
    sys.modules[package] = module


def postgres_mcp(folder: Path) -> Check:
    """Crystal DBA's: what its restricted mode asks before it runs a statement."""
    _enter(folder, "postgres_mcp")
    _enter(folder, "postgres_mcp.sql")
    driver = import_module("postgres_mcp.sql.safe_sql").SafeSqlDriver(None)

    def check(_: str, text: str) -> bool:
        driver._validate(text)  # noqa: SLF001 - its checker has no other name
        return True

    return check


def awslabs_postgres(_: Path) -> Check:
    """AWS Labs' for PostgreSQL, read-only."""
    logger = import_module("loguru").logger
    logger.remove()
    assert_executable = import_module("awslabs.postgres_mcp_server.sql_guard").assert_executable

    def check(_: str, text: str) -> bool:
        assert_executable(text)
        return True

    return check


def awslabs_mysql(_: Path) -> Check:
    """AWS Labs' for MySQL, read-only: both lists that its `run_query` asks."""
    module = import_module("awslabs.mysql_mcp_server.mutable_sql_detector")
    return lambda _, text: not module.detect_mutating_keywords(text) and not module.check_sql_injection_risk(text)


def sqlsaber(folder: Path) -> Check:
    """SQLSaber's, read-only."""
    _enter(folder, "sqlsaber")
    _enter(folder, "sqlsaber.tools")
    validate = import_module("sqlsaber.tools.sql_guard").validate_read_only
    return lambda engine, text: bool(validate(text, engine).allowed)


def pglast_walk(_: Path) -> Check:
    """A walk of the server's own grammar that many write first: one SELECT, and no node that writes or locks."""
    parse = import_module("pglast").parse_sql
    bad = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "IntoClause", "LockingClause"}

    def check(_: str, text: str) -> bool:
        tree = [statement.stmt(skip_none=True) for statement in parse(text)]
        return len(tree) == 1 and tree[0]["@"] == "SelectStmt" and bad.isdisjoint(_names(tree))

    return check


def _names(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield str(node.get("@", ""))
        node = list(node.values())
    if isinstance(node, list | tuple):
        for each in node:
            yield from _names(each)


CHECKERS: Final[Mapping[str, Callable[[Path], Check]]] = MappingProxyType(
    {
        "postgres-mcp": postgres_mcp,
        "awslabs-postgres": awslabs_postgres,
        "awslabs-mysql": awslabs_mysql,
        "sqlsaber": sqlsaber,
        "pglast-walk": pglast_walk,
    }
)


def main(name: str, folder: Path) -> None:
    """Answer every line; whatever a checker raises is its no."""
    sys.path.insert(0, str(folder))
    check = CHECKERS[name](folder)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            is_permitted = check(asked["engine"], asked["sql"])
        except Exception:  # noqa: BLE001 - a refusal, or a crash, which stops the statement too
            is_permitted = False
        print(json.dumps(is_permitted), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
