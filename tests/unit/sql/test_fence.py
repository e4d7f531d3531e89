"""Are filters evaluated first wherever a hidden row could show itself by an error or by time, and only there?"""

from __future__ import annotations

import pytest
from sql_shop import ask

READ = "SELECT id FROM orders WHERE "

FENCED = [
    "abs(cents) > 1",
    "cents || region = 'x'",
    "json_extract(region, '$.a') = 1",
    "region -> 'a' = 1",
    "region ->> 'a' = 1",
    "printf('%*d', cents, 1) = 'x'",
    "replace(region, 'a', 'b') = 'x'",
    "lower(substr(region, 1, 1)) = 'e'",
    "trim(region, 'b') IS NOT NULL",
    "unhex(region) IS NULL",
    "hex(region) = 'x'",
    "region LIKE placed_on",
    "region LIKE 'a%' ESCAPE '\\\\'",
    "region LIKE '%a%b%c%d%e'",
    "region GLOB '*a*b*c*d*e'",
    "region GLOB placed_on",
    "like('a', region, region)",
    "strftime(region, placed_on) = 'x'",
    "cents > (SELECT 1)",
    "cents IN (SELECT id FROM customers)",
    "EXISTS (SELECT 1 FROM customers)",
    "cents = 1 LIMIT cents",
    "cents = 1 LIMIT 5 OFFSET (1 + 1)",
    # A comparison meets a value that may be no UTF-8, or longer than the session takes.
    "cents > 1",
    "region IN ('EU', 'US') AND cents BETWEEN 1 AND 5",
    "region LIKE 'E%'",
    "id = 1 AND region = 'EU'",
    "id = 1 GROUP BY region HAVING region > 'E'",
]

PLAIN = [
    "id = 7",
    "id BETWEEN 1 AND 5 OR id IN (7, 8)",
    "CASE WHEN id > 1 THEN 1 END",
    "round(id / 3.0, 2) = 1 OR nullif(id, 1) = sign(id)",
    "id > 1 GROUP BY region HAVING id > 1 ORDER BY cents LIMIT 5 OFFSET 2",
    "id > 1 AND 'a' LIKE 'E%'",
]

OTHER_FENCED = [
    "SELECT max(cents) FROM orders",
    "SELECT o.id FROM orders AS o JOIN customers AS c ON c.id = o.id",
    "SELECT o.id FROM orders AS o, customers AS c WHERE c.id = o.id",
    "SELECT id FROM (SELECT id FROM orders) WHERE id > 1",
    "WITH o AS (SELECT id FROM orders) SELECT id FROM o",
    "SELECT id FROM orders UNION SELECT id FROM customers",
]


@pytest.mark.requirement("sql:fence:raising")
@pytest.mark.parametrize("condition", FENCED)
def test_what_a_row_can_make_raise_or_take_long_is_fenced(condition: str) -> None:
    assert ask(READ + condition).is_fenced


@pytest.mark.requirement("sql:fence:raising")
@pytest.mark.parametrize("condition", PLAIN)
def test_plain_conditions_are_not(condition: str) -> None:
    assert not ask(READ + condition).is_fenced


@pytest.mark.requirement("sql:fence:raising")
@pytest.mark.parametrize(
    "sql", ["SELECT sum(cents), avg(cents) FROM orders", "SELECT rank() OVER (ORDER BY id) FROM orders"]
)
def test_aggregates_and_windows_see_only_rows_that_passed(sql: str) -> None:
    assert not ask(sql).is_fenced


@pytest.mark.requirement("sql:fence:raising")
@pytest.mark.parametrize("sql", OTHER_FENCED)
def test_all_but_a_plain_query_of_one_table_is_fenced(sql: str) -> None:
    assert ask(sql).is_fenced


@pytest.mark.requirement("sql:fence:raising")
def test_a_table_without_a_filter_needs_no_fence() -> None:
    assert not ask("SELECT abs(id) FROM customers WHERE EXISTS (SELECT 1 FROM events)").is_fenced


@pytest.mark.requirement("sql:fence:raising")
def test_recursion_beside_a_filtered_table_is_fenced() -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9) SELECT id FROM orders, n"
    assert ask(sql).is_fenced
