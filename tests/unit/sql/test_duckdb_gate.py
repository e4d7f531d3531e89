"""What does the gate make of DuckDB's SQL: what is permitted, what is refused, does it read as DuckDB does?"""

from __future__ import annotations

import duckdb
import pytest
from duckdb_shop import CATALOGUE, ask

from sandbox.reasons import Refused
from sandbox.sql import prove_filter
from sandbox.sql.dialects import DIALECTS
from sandbox.sql.dialects.base import Unreadable
from sandbox.sql.dialects.duckdb_functions import BEHIND_GRAMMAR

DUCKDB = DIALECTS["duckdb"]
PERMITTED = """\
SELECT * FROM orders
FROM orders
FROM orders SELECT id, cents WHERE cents > 5
SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY 1 LIMIT 5 OFFSET 2
SELECT region, sum(cents) AS total FROM orders GROUP BY ALL ORDER BY ALL
SELECT region, sum(cents)::DOUBLE / count(*) FROM orders GROUP BY 1 HAVING count(*) > 2
SELECT cents // 100 AS eur, eur * 2 AS twice FROM orders WHERE eur > 3
SELECT * EXCLUDE (placed_on, tags) FROM orders
SELECT o.* EXCLUDE (doc) FROM orders o
SELECT id FROM orders QUALIFY row_number() OVER (PARTITION BY region ORDER BY cents DESC NULLS LAST) = 1
SELECT date_trunc('month', placed_on::DATE) AS m, count(*) FROM orders GROUP BY m
SELECT extract(year FROM placed_on::date), CAST(cents AS DECIMAL(10,2)), TRY_CAST(region AS INTEGER) FROM orders
SELECT now() - INTERVAL 3 DAY, DATE '2026-01-01' + INTERVAL '1' MONTH, INTERVAL (cents) SECOND FROM orders
SELECT interval '3 days', TIMESTAMP '2026-01-01 00:00:00'
SELECT [1, 2, 3][1], list_sum([cents, 2]), tags[1] FROM orders
SELECT count(*) FILTER (WHERE cents > 5) FROM orders
SELECT i FROM range(10) t(i)
SELECT o.id, e.value FROM orders o, json_each(o.doc, '$.items') AS e
SELECT unnest([1, 2, 3]) AS x
SELECT i FROM generate_series(1, 5) AS g(i)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n
WITH a AS MATERIALIZED (SELECT id FROM orders), b AS (SELECT id FROM a) SELECT count(*) FROM b
SELECT id FROM orders WHERE region ILIKE 'e%' AND placed_on SIMILAR TO '2026.*' OR region GLOB 'E*'
SELECT id FROM orders WHERE region IN ('EU', 'US') AND cents BETWEEN -5 AND 10 AND cents=-1
SELECT a, b FROM (VALUES (1, 'x'), (2, 'y')) v(a, b)
SELECT string_agg(region, ',' ORDER BY region) FROM orders
SELECT quantile_cont(cents, 0.5), percentile_cont(0.5) WITHIN GROUP (ORDER BY cents) FROM orders
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id)
SELECT id FROM orders SEMI JOIN customers ON orders.customer_id = customers.id
SELECT a.id FROM orders a ASOF JOIN orders b ON a.region = b.region AND a.id >= b.id
SELECT id FROM orders UNION ALL SELECT id FROM customers ORDER BY id
(SELECT id FROM orders) EXCEPT (SELECT id FROM customers)
SELECT DISTINCT ON (region) region, id FROM orders ORDER BY region, cents DESC
SELECT region, sum(cents) OVER w FROM orders WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
SELECT sum(cents) OVER (ORDER BY id RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM orders
SELECT strftime(placed_on::TIMESTAMP, '%Y-%m'), left(region, 2), substring(region from 1 for 2) FROM orders
SELECT trim(both 'x' from region), position('b' in region), upper(region) FROM orders
SELECT region, GROUPING(region) FROM orders GROUP BY ROLLUP (region)
SELECT current_date, current_timestamp
SELECT id /* a comment */ FROM orders -- and another
SELECT '{"a": 1}'::JSON ->> 'a', json_extract_string(doc, '$.a') FROM orders
SELECT CASE WHEN cents > 5 THEN 'big' ELSE 'small' END AS size FROM orders
SELECT id FROM orders WHERE region IS NOT DISTINCT FROM 'EU' AND NOT (cents IS NULL)
SELECT min(cents), arg_max(id, cents), any_value(region), first(region), last(region) FROM orders
SELECT 'a' || region || cents::VARCHAR, 2 ** 3, 2 ^ 3, 5 % 2, 1 << 2, cents::INTEGER[] FROM orders
SELECT placed_on::TIMESTAMP AT TIME ZONE 'UTC' FROM orders
SELECT id, region AS "Region Name" FROM "orders" WHERE "orders".region ~ 'x'
""".splitlines()

REFUSED = [
    ("SELECT secret FROM orders", "sql/columns"),
    ("SELECT id FROM orders ORDER BY secret", "sql/columns"),
    ("SELECT * EXCLUDE (secret) FROM orders", "sql/columns"),
    ("SELECT orders.* EXCLUDE (id, nosuch) FROM orders", "sql/columns"),
    ("SELECT id AS secret FROM orders WHERE secret = 1", "sql/columns"),
    ("SELECT x.secret FROM (SELECT * FROM orders) x", "sql/columns"),
    ("SELECT sum(orders.secret) FROM orders", "sql/columns"),
    ("SELECT current_user", "sql/columns"),
    ("SELECT orders FROM orders", "sql/whole-rows"),
    ("SELECT o FROM orders o", "sql/whole-rows"),
    ("SELECT unnest(orders) FROM orders", "sql/whole-rows"),
    ("SELECT row_to_json(orders) FROM orders", "sql/whole-rows"),
    ("SELECT 1 AS orders, orders FROM orders", "sql/whole-rows"),
    ("SELECT 1 AS orders FROM orders ORDER BY lower(orders)", "sql/whole-rows"),
    ("SELECT (SELECT 5 AS orders FROM customers HAVING max(orders) > '') FROM orders", "sql/whole-rows"),
    ("SELECT (SELECT orders FROM customers SEMI JOIN (SELECT 1 AS orders) z ON true) FROM orders", "sql/whole-rows"),
    ("SELECT rowid FROM orders", "sql/row-ids"),
    ("SELECT * FROM vault", "sql/tables"),
    ("SELECT (SELECT word FROM vault)", "sql/tables"),
    ("SELECT * EXCLUDE (id) FROM vault", "sql/tables"),
    ("SELECT * FROM orders NATURAL JOIN vault", "sql/tables"),
    ("SELECT * FROM 'file.csv'", "sql/tables"),
    ('SELECT * FROM "file.parquet"', "sql/tables"),
    ("SELECT * FROM (DESCRIBE orders)", "sql/tables"),
    ("SELECT * FROM (SUMMARIZE orders)", "sql/tables"),
    ("FROM duckdb_tables", "sql/tables"),
    ("SELECT * FROM pg_class", "sql/tables"),
    ("SELECT * FROM main.orders", "sql/qualified-names"),
    ("SELECT * FROM information_schema.tables", "sql/qualified-names"),
    ("SELECT * FROM read_csv('x')", "sql/functions"),
    ("SELECT * FROM read_text('/etc/passwd')", "sql/functions"),
    ("SELECT * FROM query('select 1')", "sql/functions"),
    ("SELECT * FROM query_table('orders')", "sql/functions"),
    ("FROM duckdb_tables()", "sql/functions"),
    ("SELECT getvariable('x')", "sql/functions"),
    ("SELECT current_setting('x')", "sql/functions"),
    ("SELECT nextval('s')", "sql/functions"),
    ("SELECT pg_sleep(1)", "sql/functions"),
    ("SELECT error('x')", "sql/functions"),
    ("SELECT claim('x')", "sql/functions"),
    ("SELECT list_transform([1], x -> x)", "sql/functions"),
    ("SELECT list_aggregate([cents], 'sum') FROM orders", "sql/functions"),
    ("SELECT list_aggr([cents], 'max') FROM orders", "sql/functions"),
    ("SELECT array_aggregate([cents], 'first') FROM orders", "sql/functions"),
    ("SELECT array_aggr([cents], 'list') FROM orders", "sql/functions"),
    ("SELECT aggregate([cents], 'histogram') FROM orders", "sql/functions"),
    ("SELECT COLUMNS('id') FROM orders", "sql/functions"),
    ("SELECT * FROM lower('x')", "sql/table-functions"),
    ("DESCRIBE orders", "sql/read-only"),
    ("SUMMARIZE orders", "sql/read-only"),
    ("PIVOT orders ON region", "sql/read-only"),
    ("TABLE orders", "sql/read-only"),
    ("INSERT INTO orders VALUES (1)", "sql/read-only"),
    ("WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", "sql/read-only"),
    ("SET VARIABLE x = 1", "sql/read-only"),
    ("CALL duckdb_tables()", "sql/read-only"),
    ("EXPLAIN SELECT 1", "sql/read-only"),
    ("SELECT 1; SELECT 2", "sql/one-statement"),
    ("SELECT $$a$$", "sql/tokens"),
    ("SELECT e'a'", "sql/tokens"),
    ("SELECT #1 FROM orders", "sql/tokens"),
    ("SELECT {'a': secret} FROM orders", "sql/tokens"),
    ("SELECT 1 /* /* */ */", "sql/tokens"),
    ("SELECT ?", "sql/tokens"),
    ("SELECT 1 <-> 2", "sql/tokens"),
    ("SELECT 1_000", "sql/tokens"),
    ("SELECT 'x", "sql/tokens"),
    ('SELECT "" FROM orders', "sql/tokens"),
    ("SELECT * FROM orders USING SAMPLE 10%", "sql/parse"),
    ("SELECT * FROM orders POSITIONAL JOIN customers", "sql/grammar"),
    ("SELECT 'a'::mood", "sql/casts"),
    ("SELECT 'a' COLLATE de", "sql/collations"),
    ("SELECT * REPLACE (secret AS id) FROM orders", "sql/parse"),
    ("SELECT date(date(date(date(date('x')))))", "sql/backtracking"),
    ("SELECT ARRAY[ARRAY[ARRAY[ARRAY[ARRAY[1]]]]]", "sql/backtracking"),
    (f"SELECT tags{'[1]' * 66} FROM orders", "sql/backtracking"),  # noqa: S608 - for the gate
    ("SELECT :x", "sql/parameters"),
]


@pytest.mark.requirement("sql:duckdb:permitted")
@pytest.mark.parametrize("sql", PERMITTED)
def test_what_people_write_is_permitted_and_kept(sql: str) -> None:
    kept = sql.replace("/* a comment */", " " * 15).replace("-- and another", "").rstrip()

    assert ask(sql).sql_to_run == kept


@pytest.mark.requirement("sql:duckdb:refused")
@pytest.mark.parametrize(("sql", "rule"), REFUSED)
def test_what_reads_more_or_does_more_is_refused(sql: str, rule: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(sql)

    assert caught.value.rule == rule
    assert (caught.value.line, caught.value.column > 0) == (1, True)


@pytest.mark.requirement("sql:duckdb:permitted")
def test_parameters_and_claims_are_an_authors() -> None:
    sql = "SELECT id FROM orders WHERE region = :r AND cents > :n::INT AND customer_id = claim('c')"
    proven = ask(sql, parameters=frozenset({"r", "n"}), may_claim=True)

    assert proven.sql_to_run == sql.replace(":r", "$r").replace(":n:", "$n:")
    assert (proven.parameters, proven.rights.claims) == (("n", "r"), ("c",))


@pytest.mark.requirement("sql:duckdb:permitted")
def test_a_row_filter_is_proven() -> None:
    shape = CATALOGUE.tables["orders"]

    assert prove_filter("region = claim('region') AND secret IS NULL", shape, "duckdb") == ("region",)
    for wrong in ("region", "id IN (SELECT id FROM vault)", "region = read_text('x')", "1 = 1) OR (1 = 1"):
        with pytest.raises(Refused):
            prove_filter(wrong, shape, "duckdb")


@pytest.mark.requirement("sql:duckdb:guarded")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT cents FROM orders",
        "SELECT * FROM orders",
        "SELECT * EXCLUDE (cents) FROM orders",
        "SELECT region, sum(cents) FROM orders GROUP BY ALL",
        "SELECT region, max(cents) FROM orders GROUP BY region HAVING count(cents) >= 5",
        "SELECT region, arg_max(id, cents) FROM orders GROUP BY region HAVING count(cents) >= 5",
        "SELECT region, sum(cents) AS s FROM orders GROUP BY region HAVING count(cents) >= 5 AND s > 3",
        "SELECT region, sum(cents) FROM orders GROUP BY region HAVING count(cents) >= 5 QUALIFY sum(cents) > 3",
        "SELECT id FROM orders ORDER BY cents",
        "SELECT id FROM orders WHERE cents = 100",
        "SELECT id FROM orders QUALIFY row_number() OVER (ORDER BY cents) = 1",
        "SELECT list_sum([cents]) FROM orders",
        "SELECT c.id FROM customers c JOIN orders o ON o.cents = c.id",
        "SELECT DISTINCT ON (cents) id FROM orders",
        "SELECT (SELECT cents FROM (SELECT 1 AS k) c SEMI JOIN (SELECT 1 AS cents) z ON true) FROM orders",
        "SELECT (SELECT cents FROM (SELECT 1 AS k) c ANTI JOIN (SELECT 1 AS cents, 2 AS k) z USING (k)) FROM orders",
        "SELECT (SELECT cents FROM ((SELECT 1 AS k) c SEMI JOIN (SELECT 1 AS cents) z ON true)) FROM orders",
        "SELECT (SELECT z.cents FROM (SELECT 1 AS k) c SEMI JOIN (SELECT 1 AS cents) z ON true) FROM orders z",
        "SELECT (SELECT 5 AS cents FROM customers HAVING max(cents) > 100) FROM orders",
        "SELECT (SELECT 5 AS cents FROM customers QUALIFY max(cents) OVER () > 100 LIMIT 1) FROM orders",
        "SELECT z.n FROM orders o, LATERAL (SELECT 5 AS cents, 1 AS n HAVING max(cents) > 100) z",
        "SELECT id, region AS cents FROM orders ORDER BY cents COLLATE NOCASE",
    ],
)
def test_what_is_for_aggregates_alone_is_read_by_no_other(sql: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(sql, is_guarded=True)

    assert caught.value.rule == "sql/aggregate-only"
    ask("SELECT region, sum(cents), avg(cents) FROM orders GROUP BY region HAVING count(cents) >= 5", is_guarded=True)


def starts_of_engine(text: str) -> list[int]:
    """Return where DuckDB's own tokens begin, but for comments."""
    return [at for at, kind in duckdb.tokenize(text) if kind is not duckdb.token_type.comment]


@pytest.mark.requirement("sql:duckdb:tokens")
@pytest.mark.parametrize(
    "text",
    [*PERMITTED, "SELECT a<=-1, a>=+2, a<>-3, -a- -b, a*-1, a::int, b.\"c\"\"d\", 'it''s', .5, 1.e3, 2.5e-3, a&b, a|b"],
)
def test_our_lexer_reads_the_tokens_that_duckdb_reads(text: str) -> None:
    ours = [token.start for token in DUCKDB.scan(text, 5_000).tokens]

    engines = set(starts_of_engine(text))
    assert engines <= set(ours), text


@pytest.mark.requirement("sql:duckdb:tokens")
@pytest.mark.parametrize(
    "text", ["a ## b", "a -> > b -->", "'a' /* b", "a @@ b", "U&'x'", "a %- b", "a *@ b", "\u00a0"]
)
def test_what_lexers_could_split_otherwise_is_not_read(text: str) -> None:
    if text == "a -> > b -->":
        assert [token.key for token in DUCKDB.scan(text, 9).tokens] == ["A", "->", ">", "B"]
        return
    with pytest.raises(Unreadable):
        DUCKDB.scan(text, 9)


@pytest.mark.requirement("sql:duckdb:functions")
def test_every_function_is_duckdbs_own_and_none_changes_anything() -> None:
    database = duckdb.connect()
    facts = {
        str(name).lower(): bool(changes)
        for name, changes in database.execute(
            "SELECT function_name, bool_or(coalesce(has_side_effects, false)) FROM duckdb_functions()"
            " WHERE database_name = 'system' GROUP BY 1"
        ).fetchall()
    }
    by_grammar = {"claim", "coalesce", "extract", "current_time", "current_timestamp", "localtimestamp"} | {
        "percentile_cont", "percentile_disc",
    }  # fmt: skip
    functions = set(DUCKDB.functions)

    assert functions - set(facts) == by_grammar
    assert {name for name in functions & set(facts) if facts[name]} == {
        "random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid",
    }  # fmt: skip
    assert not {name for name in BEHIND_GRAMMAR if facts.get(name)}
