"""Can one string of 64 KiB, a single token to the gate's bounds, cost a third of a second and 15,000 nodes?"""

from __future__ import annotations

import pytest
from sql_shop import ask
from sqlglot.dialects.sqlite import SQLite

from sandbox.sql.dialects import DIALECTS

LONG = "'$" + "[0]" * 15_000 + "'"
SQL = [
    f"SELECT '{{}}' -> {LONG}",
    f"SELECT json_extract('{{}}', {LONG})",
    f"SELECT id ->> {LONG} FROM orders",  # noqa: S608 - a text for the gate
]


def nodes_of(sql: str, grammar: SQLite) -> int:
    return sum(len(list(tree.walk())) for tree in grammar.parse(sql) if tree is not None)


@pytest.mark.requirement("sql:attacks:json-path")
@pytest.mark.parametrize("sql", SQL)
def test_a_path_is_a_text_to_the_gate_as_it_is_to_the_engine(sql: str) -> None:
    grammar = DIALECTS["sqlite"].grammar
    assert isinstance(grammar, SQLite)
    assert nodes_of(sql, SQLite()) > 10_000
    assert nodes_of(sql, grammar) < 20
    assert ask(sql).sql_to_run == sql
