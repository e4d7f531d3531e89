"""What may a statement without `allow:` read? The same to lint and to the service."""

from __future__ import annotations

import pytest

from sandbox.specs.live import Target
from sandbox.sql import Catalogue, ColumnShape, TableShape, ceiling_rules
from sandbox.toolspec import Connection, Digest, FileTarget, SqlCeiling

CATALOGUE = Catalogue(
    tables={
        name.lower(): TableShape(
            name=name,
            columns=(ColumnShape("a", "TEXT"), ColumnShape("rank", "", is_hidden=True)),
            kind="table",
            has_rowid=True,
        )
        for name in ("Orders", "secrets")
    },
    fingerprint=Digest("f"),
)


@pytest.mark.requirement("specs:access:ceiling")
@pytest.mark.parametrize(
    ("ceiling", "tables"),
    [
        (SqlCeiling(None), ["Orders", "secrets"]),
        (SqlCeiling({"Orders": None}), ["Orders"]),
        (SqlCeiling({"orders": frozenset({"A", "rank"})}), ["Orders"]),
        (SqlCeiling({}), []),
    ],
)
def test_a_statement_without_rules_reads_what_the_ceiling_names_and_no_hidden_column(
    ceiling: SqlCeiling, tables: list[str]
) -> None:
    rules = ceiling_rules(CATALOGUE, ceiling)
    assert [(rule.table, rule.columns, dict(rule.masks)) for rule in rules] == [(name, ("a",), {}) for name in tables]
    connection = Connection(name="shop", engine="sqlite", target=FileTarget("x"), ceiling=ceiling, digest=Digest("c"))
    assert tuple(Target(connection, CATALOGUE).ceiling_rules().values()) == rules


@pytest.mark.requirement("specs:access:ceiling")
def test_a_statement_without_rules_reads_no_column_beyond_the_ceiling() -> None:
    columns = (ColumnShape("id", "INTEGER"), ColumnShape("salary", "INTEGER"))
    catalogue = Catalogue({"staff": TableShape("staff", columns, "table", has_rowid=True)}, Digest("f"))
    (rule,) = ceiling_rules(catalogue, SqlCeiling({"staff": frozenset({"id"})}))
    assert rule.columns == ("id",)
