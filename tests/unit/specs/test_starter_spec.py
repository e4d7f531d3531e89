"""Does a first spec pass lint as it is written, whatever the table is called?"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from sandbox.deployment import Deployment, Misconfigured
from sandbox.problems import LintFailed
from sandbox.settings import Settings
from sandbox.specs import lint_connections, lint_specs
from sandbox.specs.starter import starter_spec
from sandbox.sql import Catalogue, ColumnShape, TableShape, folded
from sandbox.toolspec import Connection, Digest, FileTarget, SqlCeiling

ODD = (
    "order",
    "no",
    "all",
    "a b",
    'quo"te',
    "it's",
    "ünïcode",
    "123",
    "null",
    "x: y",
    "# not",
    "true",
    "-",
    "{a}",
    "name",
)


def _shop(*tables: str) -> tuple[Mapping[str, Connection], Catalogue]:
    columns = tuple(ColumnShape(name, "TEXT\nNOT `NULL`") for name in ODD)
    shapes = {folded(name): TableShape(name, columns, "table", has_rowid=True) for name in tables}
    connection = Connection(
        name="shop",
        engine="sqlite",
        target=FileTarget("/nowhere"),
        ceiling=SqlCeiling(dict.fromkeys(tables)),
        digest=Digest("0" * 64),
    )
    return {"shop": connection}, Catalogue(MappingProxyType(shapes), Digest("1" * 64))


@pytest.mark.requirement("specs:new:passes-lint")
@pytest.mark.parametrize("table", ODD)
def test_a_first_spec_passes_lint(table: str, deployment: Deployment) -> None:
    connections, catalogue = _shop(table)
    name, text = starter_spec(connections, "shop", table, "", lambda _: catalogue)
    deployment.connections.write_text('[shop]\nengine = "sqlite"\npath = "a.db"\nceiling = {tables = "all"}\n')
    (deployment.toolspecs / "first.yaml").write_text(text)
    found = lint_specs(deployment, lint_connections(deployment), lambda _: catalogue, Settings())
    assert found.problems == ()
    (spec,) = found.specs.tools.values()
    assert spec.name == name
    assert spec.tables[table].columns == ODD
    assert [example.expected_refusal for example in spec.examples] == [None, "SQL_NOT_READ_ONLY"]
    assert text.startswith("# yaml-language-server: $schema=../schema/tool.v1.json\n")


@pytest.mark.requirement("specs:new:passes-lint")
@pytest.mark.parametrize(
    ("connection", "table", "name", "message"),
    [
        ("shp", "orders", "", "`connections.toml` has no connection `shp`; did you mean `shop`?"),
        ("x", "orders", "", "`connections.toml` has no connection `x`; accepted: `shop`"),
        ("shop", "zzz", "", "connection `shop` has no table `zzz` within its ceiling; accepted: `orders`"),
        ("shop", "ordrs", "", "connection `shop` has no table `ordrs` within its ceiling; did you mean `orders`?"),
        ("shop", "orders", "a b", "--name `a b`: 1 to 128 of `A-Z a-z 0-9 _ . -` are accepted"),
    ],
)
def test_what_cannot_be_is_told(connection: str, table: str, name: str, message: str) -> None:
    connections, catalogue = _shop("orders")
    with pytest.raises(Misconfigured) as failed:
        starter_spec(connections, connection, table, name, lambda _: catalogue)
    assert not isinstance(failed.value, LintFailed), "a wrong flag ends with 2, not 1"
    assert str(failed.value) == message


@pytest.mark.requirement("specs:new:passes-lint")
def test_a_tool_that_the_ceiling_does_not_admit_is_told_by_its_flag_not_by_a_file_that_is_not_there() -> None:
    connections, catalogue = _shop("orders")
    bounded = {"shop": replace(connections["shop"], tools=("sales.*", "crm.one"))}
    with pytest.raises(Misconfigured) as failed:
        starter_spec(bounded, "shop", "orders", "", lambda _: catalogue)
    assert not isinstance(failed.value, LintFailed)
    assert str(failed.value) == (
        "tool `shop.orders` is outside the ceiling of connection `shop`, which admits `sales.*`, `crm.one`;"
        " --name gives another name"
    )
    assert starter_spec(bounded, "shop", "orders", "sales.orders", lambda _: catalogue)[0] == "sales.orders"
