"""Does an error tell of rows that a filter hides? It does behind a plain view, and each such statement is fenced."""

from __future__ import annotations

import apsw
import pytest
from sql_shop import ask, open_shop, shadow

READ = "SELECT count(*) FROM orders WHERE cents > 800 AND cents < 1000 AND "
LEAST = "(cents - 900 - 9223372036854775807 - 1)"

ORACLES = [
    f"abs({LEAST}) > 0",
    "json_extract(placed_on, '$.a') = 1",
    "placed_on -> '$.a' = 1",
    "placed_on ->> '$.a' = 1",
    "placed_on LIKE 'a' ESCAPE 'ab'",
    "length(printf('%.*c', 2000000000, placed_on)) > 0",
    "length(replace(printf('%.*c', 900000, placed_on), '2', printf('%.*c', 9000, placed_on))) > 0",
    "json(placed_on) = 1",
    "unistr(placed_on || '\\') = 'x'",
]
"""Order 2 belongs to another region; 900 is its price. Nothing of it may be told to a caller of region EU."""


def open_indexed() -> apsw.Connection:
    """Open the shop with an index that holds the caller's columns and not the filter's: SQLite then asks them first."""
    shop = open_shop()
    shop.execute("CREATE INDEX prices ON orders (cents, placed_on)")
    shadow(shop)
    return shop


@pytest.mark.requirement("sql:attacks:error-oracle")
@pytest.mark.parametrize("condition", ORACLES)
def test_an_error_tells_of_a_hidden_row_behind_a_view_and_the_statement_is_fenced(condition: str) -> None:
    sql = READ + condition
    plain, without = open_indexed(), open_indexed()
    without.execute("DELETE FROM main.orders WHERE id = 2")

    with pytest.raises(apsw.Error):
        plain.execute(sql).fetchall()
    assert without.execute(sql).get == 0  # the error came from the hidden row alone
    assert ask(sql).is_fenced


@pytest.mark.requirement("sql:attacks:error-oracle")
@pytest.mark.parametrize(
    "sql",
    ["SELECT sum(cents + 9223372036854775807) FROM orders", "SELECT sum(-cents - 9223372036854775807) FROM orders"],
)
def test_an_aggregate_s_error_comes_from_visible_rows_only(sql: str) -> None:
    shop = open_shop()
    shop.execute("DELETE FROM main.orders WHERE region = 'EU'")
    shadow(shop)

    assert shop.execute(sql).get is None
    assert not ask(sql).is_fenced
