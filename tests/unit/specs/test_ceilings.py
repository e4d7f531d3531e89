"""Does a connection's ceiling bound every author: tables, columns in every use, tools?"""

from collections.abc import Callable

import pytest

from sandbox.deployment import Deployment
from sandbox.problems import LintFailed, Problem
from sandbox.specs import SpecsRead, lint_connections, read_connections
from sandbox.toolspec import SqlCeiling

Linted = Callable[..., SpecsRead]

COLUMNS = '{tables = {orders = ["id", "region", "cents"], customers = "all"}, tools = ["shop.*", "crm.one"]}'
SPEC = """\
spec: tool/v1
name: NAME
version: 1.0.0
owner: shop-data@example.com
summary: Read orders.
kind: sql
effects: read
connection: shop
input:
  sql: {type: sql}
allow:
  tables:
    orders: RULE
examples:
  - call: {sql: "SELECT 1"}
    expect: {row_count: 1}
"""


@pytest.fixture
def bounded(deployment: Deployment) -> Deployment:
    """The deployment, its ceiling narrowed to columns and tools."""
    text = deployment.connections.read_text()
    deployment.connections.write_text(text.replace('{tables = ["orders", "customers"]}', COLUMNS))
    return deployment


def _spec(rule: str, name: str = "shop.orders") -> str:
    return SPEC.replace("NAME", name).replace("RULE", rule)


def _told(read: SpecsRead) -> list[tuple[str, int, str]]:
    return [(problem.rule, problem.line, problem.message) for problem in read.problems]


@pytest.mark.requirement("specs:connections:ceiling")
def test_a_ceiling_names_columns_and_tools(bounded: Deployment) -> None:
    shop = read_connections(bounded)["shop"]
    assert shop.ceiling == SqlCeiling({"orders": frozenset({"id", "region", "cents"}), "customers": None})
    assert shop.tools == ("shop.*", "crm.one")
    assert (shop.admits("shop.orders"), shop.admits("crm.one"), shop.admits("crm.two")) == (True, True, False)


@pytest.mark.requirement("specs:access:ceiling")
@pytest.mark.usefixtures("bounded")
def test_a_column_beyond_the_ceiling_is_refused(linted: Linted) -> None:
    assert _told(linted(a=_spec("{columns: [id, secret]}"))) == [
        ("spec/ceiling", 13, "column `secret` is outside the ceiling of connection `shop`; its operator can widen it")
    ]


@pytest.mark.requirement("specs:access:ceiling")
@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    "condition", ["secret = 'x'", "region = claim('region') OR SECRET LIKE 'a%'", "length(secret) > 3"]
)
def test_a_row_filter_reads_no_column_beyond_the_ceiling(linted: Linted, condition: str) -> None:
    """The attack: what is left of the rows would tell the author what a hidden column holds."""
    ((rule, line, message),) = _told(linted(a=_spec(f'{{columns: [id], row_filter: "{condition}"}}')))
    assert (rule, line) == ("spec/ceiling", 13)
    assert message.startswith("the row filter of `orders` reads a column that is outside the ceiling")


@pytest.mark.requirement("specs:access:ceiling")
@pytest.mark.usefixtures("bounded")
def test_all_columns_are_those_within_the_ceiling(linted: Linted) -> None:
    read = linted(a=_spec("{columns: all, row_filter: \"region = claim('region')\"}"))
    assert not read.problems
    (spec,) = read.specs.tools.values()
    assert spec.tables["orders"].columns == ("id", "region", "cents")


@pytest.mark.requirement("specs:access:ceiling")
@pytest.mark.usefixtures("bounded")
def test_a_mask_does_not_reach_beyond_the_ceiling(linted: Linted) -> None:
    assert [rule for rule, *_ in _told(linted(a=_spec("{columns: all, mask: {secret: initials}}")))] == [
        "spec/unknown-column"
    ]


@pytest.mark.requirement("specs:access:ceiling")
@pytest.mark.usefixtures("bounded")
def test_a_statement_without_rules_reads_no_column_beyond_the_ceiling(linted: Linted) -> None:
    statement = SPEC.replace("NAME", "shop.sum").replace("input:\n  sql: {type: sql}\n", "")
    statement = statement.replace("allow:\n  tables:\n    orders: RULE\n", "statement: SELECT secret FROM orders\n")
    statement = statement.replace('{sql: "SELECT 1"}', "{}")
    of_columns = _told(linted(a=statement))
    of_tables = _told(linted(a=statement.replace("SELECT secret FROM orders", "SELECT orders.id FROM orders, ledger")))
    neither = _told(linted(a=statement.replace("SELECT secret FROM orders", "SELECT secret, nothing FROM orders")))
    beyond = "which is outside the ceiling of connection `shop`; its operator can widen it"
    assert of_columns == [("spec/ceiling", 9, f"the statement reads `secret`, {beyond}")]
    assert of_tables == [("spec/ceiling", 9, f"the statement reads `ledger`, {beyond}")]
    assert [rule for rule, _, _ in neither] == ["spec/statement"], "no ceiling is what keeps it from being proven"


@pytest.mark.requirement("specs:access:ceiling-tools")
@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(("name", "is_refused"), [("shop.orders", False), ("crm.one", False), ("crm.onetwo", True)])
def test_a_tool_that_the_ceiling_does_not_name_has_no_use_of_the_connection(
    linted: Linted, name: str, *, is_refused: bool
) -> None:
    told = _told(linted(a=_spec("{columns: [id]}", name)))
    message = f"tool `{name}` is outside the ceiling of connection `shop`; its operator can widen it"
    assert told == ([("spec/ceiling", 8, message)] if is_refused else [])


@pytest.mark.requirement("specs:access:ceiling-tools")
def test_the_ceiling_of_an_http_connection_names_tools_too(deployment: Deployment) -> None:
    text = deployment.connections.read_text()
    deployment.connections.write_text(text.replace("{methods", '{tools = ["crm.*"], methods'))
    assert read_connections(deployment)["crm"].tools == ("crm.*",)


@pytest.mark.requirement("specs:connections:digest")
def test_the_digest_follows_columns_and_tools(deployment: Deployment) -> None:
    text = deployment.connections.read_text()
    digests = set()
    for ceiling in (
        '{tables = ["orders", "customers"]}',
        COLUMNS,
        COLUMNS.replace('"cents"', '"secret"'),
        COLUMNS.replace("crm.one", "crm.two"),
    ):
        deployment.connections.write_text(text.replace('{tables = ["orders", "customers"]}', ceiling))
        digests.add(read_connections(deployment)["shop"].digest)
    assert len(digests) == 4


def _problems(deployment: Deployment, ceiling: str) -> tuple[Problem, ...]:
    deployment.connections.write_text(f'[a]\nengine = "sqlite"\npath = "a.db"\nceiling = {ceiling}\n')
    return LintFailed(lint_connections(deployment).findings.problems).problems


@pytest.mark.requirement("specs:connections:lint")
@pytest.mark.parametrize(
    ("ceiling", "message"),
    [
        ("{tables = {t = []}}", 'the ceiling of `a` names no columns of `t`; a list, or `"all"`, is accepted'),
        ("{tables = {t = [1]}}", 'the ceiling of `a` names no columns of `t`; a list, or `"all"`, is accepted'),
        ("{tables = {t = {c = 1}}}", 'the ceiling of `a` names no columns of `t`; a list, or `"all"`, is accepted'),
        ('{tables = "all", tools = []}', "the ceiling of `a` names no tools; "),
        ('{tables = "all", tools = "shop.*"}', "the ceiling of `a` names no tools; "),
        ('{tables = "all", tools = ["shop.[ab]"]}', "the ceiling of `a` names tool `shop.[ab]`; "),
    ],
)
def test_a_ceiling_that_bounds_nothing_is_told(deployment: Deployment, ceiling: str, message: str) -> None:
    (problem,) = _problems(deployment, ceiling)
    assert (problem.line, problem.rule) == (4, "connection/ceiling")
    assert problem.message.startswith(message)


@pytest.mark.requirement("specs:connections:ceiling")
def test_a_column_that_is_not_there_is_told(deployment: Deployment, linted: Linted) -> None:
    text = deployment.connections.read_text()
    deployment.connections.write_text(text.replace('["orders", "customers"]', '{orders = ["id", "regiom"]}'))
    assert _told(linted(a=_spec("{columns: [id]}"))) == [
        (
            "connection/ceiling",
            4,
            "the ceiling of `shop` names column `regiom` of `orders`, which is not there; did you mean `region`?",
        )
    ]
