"""What does the gate make of PostgreSQL's SQL: what is permitted, what is printed, which functions are there?"""

from __future__ import annotations

import pytest
from postgres_server import Server
from postgres_shop import ORDERS, SCHEMA, ask

from sandbox.reasons import Refused
from sandbox.sql import prove_filter
from sandbox.sql.dialects import DIALECTS, postgres_text
from sandbox.sql.dialects.postgres_tree import Tree, Unknown

VIEW = f'{SCHEMA}."public.orders" orders'
POSTGRES = DIALECTS["postgres"]
PERMITTED = [
    ("SELECT * FROM orders", f"SELECT * FROM {VIEW}"),  # noqa: S608
    (
        "SELECT o.id FROM sales.orders AS o JOIN public.orders USING (id)",
        f'SELECT o.id FROM {SCHEMA}."sales.orders" o JOIN {VIEW} USING (id)',  # noqa: S608
    ),
    (
        "WITH orders AS (SELECT id FROM orders) SELECT count(*) FROM orders -- its own",
        f"WITH orders AS (SELECT id FROM {VIEW}) SELECT count(*) FROM orders",  # noqa: S608
    ),
    (
        "SELECT max(count) FROM (SELECT count(*) FROM orders) s",
        f"SELECT max(count) FROM (SELECT count(*) FROM {VIEW}) s",  # noqa: S608
    ),
    (
        "SELECT t, n FROM orders, unnest(tags) WITH ORDINALITY AS u(t, n)",
        f"SELECT t, n FROM {VIEW}, unnest(tags) WITH ORDINALITY u(t, n)",  # noqa: S608
    ),
    (
        "SELECT DISTINCT ON (region) id FROM orders FETCH FIRST 5 ROWS ONLY",
        f"SELECT DISTINCT ON (region) id FROM {VIEW} LIMIT 5",  # noqa: S608
    ),
    (
        "SELECT doc->'a'->>0, doc @> '{}'::jsonb FROM orders",
        f"SELECT (doc -> 'a') ->> 0, doc @> '{{}}'::jsonb FROM {VIEW}",  # noqa: S608
    ),
    ("TABLE orders ORDER BY id", f"SELECT * FROM {VIEW} ORDER BY id"),  # noqa: S608
    (
        "WITH x AS (TABLE orders) SELECT 1 AS table FROM x UNION ALL (TABLE x)",
        f'WITH x AS (SELECT * FROM {VIEW}) SELECT 1 AS "table" FROM x UNION ALL SELECT * FROM x',  # noqa: S608
    ),
    ("((SELECT id FROM orders LIMIT 1))", f"SELECT id FROM {VIEW} LIMIT 1"),  # noqa: S608
    (
        "SELECT o.number, region FROM orders AS o(number)",
        f'SELECT o.number, region FROM {SCHEMA}."public.orders" o(number)',  # noqa: S608
    ),
    ("SELECT $$it's$$, $a$ $$ $b$ $a$", "SELECT 'it''s', ' $$ $b$ '"),
    ("SELECT id FROM orders WHERE region LIKE $$E%$$", f"SELECT id FROM {VIEW} WHERE region LIKE 'E%'"),  # noqa: S608
    (
        "SELECT o.id FROM sales.orders s, orders o JOIN sales.orders t ON region = t.id",
        f'SELECT o.id FROM {SCHEMA}."sales.orders" s, {SCHEMA}."public.orders" o JOIN {SCHEMA}."sales.orders" t ON region = t.id',  # noqa: S608, E501
    ),
]


@pytest.mark.requirement("sql:postgres:printed")
@pytest.mark.parametrize(("sql", "printed"), PERMITTED)
def test_what_runs_is_printed_with_every_table_replaced(sql: str, printed: str) -> None:
    assert ask(sql).sql_to_run == printed


@pytest.mark.requirement("sql:postgres:printed")
def test_parameters_become_numbers_and_claims_are_asked_of_our_function() -> None:
    sql = "SELECT id FROM orders WHERE region = :r AND cents > :c AND customer_id = claim('c')::bigint"
    proven = ask(sql, parameters=frozenset({"r", "c"}), may_claim=True)

    assert proven.parameters == ("c", "r")
    assert "region = $2 AND cents > $1 AND customer_id = sandbox.claim('c')::bigint" in proven.sql_to_run
    assert proven.rights.claims == ("c", "region")
    assert not proven.is_fenced


@pytest.mark.requirement("sql:postgres:permitted")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT date_trunc('month', id::timestamp) AS m, count(*) FILTER (WHERE cents > '1') FROM orders GROUP BY m",
        "SELECT grouping(region) FROM orders GROUP BY GROUPING SETS ((region), ()), ROLLUP (region), CUBE (id)",
        "SELECT e.value FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.doc->'items') e",
        "SELECT l.id FROM orders o, LATERAL (SELECT s.id FROM sales.orders s WHERE s.id = o.id LIMIT 1) l",
        "SELECT a, b FROM (VALUES (1, 'x'), (2, 'y')) AS v(a, b)",
        "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
        "WITH a AS MATERIALIZED (SELECT id FROM orders) SELECT id FROM a WHERE id = ANY(ARRAY['1', '2'])",
        "SELECT string_agg(DISTINCT region, ',' ORDER BY region) FROM orders",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY cents::int) FROM orders",
        "SELECT sum(id::int) OVER w FROM orders WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        "SELECT extract(year FROM id::date), trim(both 'x' FROM region), substring(region FROM 1 FOR 2) FROM orders",
        "SELECT id FROM orders WHERE region ILIKE 'e%' AND placed_on::date > current_date - INTERVAL '7 days'",
        "SELECT left(region, 2), make_interval(days => 3), tags[1], E'a\\nb' /* a /* nested */ comment */ FROM orders",
        "SELECT o.id FROM orders o JOIN sales.orders s ON o.region LIKE '%' || lower(s.id) || '%'",
        "SELECT replace(region, 'a', ''), position('b' IN region), strpos(region, id) FROM orders",
        "SELECT id FROM orders WHERE tags @> ARRAY['new', 'old'] AND doc @> '{\"a\": [1]}' AND NOT doc ?| ARRAY['x']",
        "WITH t AS (SELECT upper(region) AS r FROM orders) SELECT r FROM t WHERE r LIKE '%EU%'",
        "SELECT id FROM orders WHERE region LIKE ANY (ARRAY['a%', 'b%']) AND int4range(1, 9) @> id::int",
        "SELECT array_agg(region), max(placed_on::date) - min(placed_on::date) FROM orders",
        "(SELECT id FROM orders) UNION ALL (SELECT id FROM sales.orders LIMIT 1) ORDER BY 1",
        "SELECT json_agg(x ORDER BY id), count(x) FROM (SELECT id, region FROM orders) AS x",
        "WITH x AS (SELECT id, region FROM orders) SELECT row_to_json(x), x IS NULL FROM x",
        "SELECT row_to_json(s), count(s.*) FROM sales.orders s GROUP BY s",
        "SELECT (SELECT x.* FROM (SELECT 1 AS a) x), (s.*), (s.*)::text FROM sales.orders s",
        "SELECT format('%s %10s %% %1$5s 2000%%', region, 'x'), format('%2$*1$L', -10, region) FROM orders",
        "SELECT jsonb_array_length(doc -> 'items'), coalesce(doc->'a'->'b', '[]') FROM orders",
        "SELECT format('%s of %s', VARIADIC tags) FROM orders",
        "SELECT region FROM orders GROUP BY region ORDER BY region USING >, max(cents) USING <",
        "SELECT @(cents::int - 100), repeat('-', 40), repeat('ab', 500) FROM orders",
        "SELECT 'a'::\"char\", region::name, json '[1]' FROM orders",
        'SELECT j.b, j."C" FROM orders o, jsonb_to_recordset(o.doc) AS j (a int, b numeric(10, 2), "C" text[])',
        "SELECT s.id, x.seen FROM sales.orders s, json_to_record('{}') x (seen timestamp with time zone)",
    ],
)
def test_what_people_write_is_permitted(sql: str) -> None:
    assert SCHEMA in ask(sql).sql_to_run or "FROM orders" not in sql


@pytest.mark.requirement("sql:postgres:second-grammar")
def test_a_second_reading_that_differs_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tree, "take", lambda *_: None)
    with pytest.raises(Refused) as caught:
        ask("SELECT id FROM orders")

    assert caught.value.rule == postgres_text.RULE == "sql/second-grammar"


@pytest.mark.requirement("sql:postgres:second-grammar")
@pytest.mark.parametrize(
    ("sql", "printed"),
    [
        ("SELECT 1", "SELECT 2"),
        ("SELECT 1", "SELECT 1 FOR SHARE"),
        ("SELECT 1", "SELECT xmlconcat('a')"),
        ("SELECT DISTINCT 1", "SELECT DISTINCT ON (xmlconcat('a')) 1"),
    ],
)
def test_what_is_printed_is_the_tree_that_was_proven(sql: str, printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(sql).sql_to_run == sql
    grammar = postgres_text._grammar()
    monkeypatch.setattr(postgres_text, "_grammar", lambda: grammar._replace(deparse=lambda _: printed))

    with pytest.raises(Refused) as caught:
        ask(sql)

    assert "cannot be printed" in caught.value.message


@pytest.mark.requirement("sql:postgres:second-grammar")
@pytest.mark.parametrize(
    ("sql", "construct"),
    [
        ("SELECT * FROM (SELECT 1) x, pg_sleep(1)", "pg_sleep"),
        ("SELECT id FROM orders FOR SHARE", "SelectStmt.locking_clause"),
        ("SELECT 1 INTO x", "SelectStmt.into_clause"),
        ("SELECT 'x'::regclass", "regclass"),
        ("SELECT 1 OPERATOR(public.+) 2", "public.+"),
        ("SELECT 1 @ 2", "@"),
        ("SELECT id FROM orders ORDER BY id USING OPERATOR(public.<)", "USING"),
        ("SELECT * FROM json_to_record('{}') AS x (a int COLLATE \"C\")", "ColumnDef.coll_clause"),
        ("SELECT public.lower('x')", "public.lower"),
        ("SELECT session_user", "SESSION_USER"),
        ("SELECT (o).secret FROM orders o", "String"),
        ("SELECT claim('x')", "claim"),
        ("WITH d AS (DELETE FROM orders) SELECT 1", "DeleteStmt"),
        ("WITH pg_class AS (SELECT 1) SELECT 1", "WITH"),
        ("SELECT * FROM vault", "RangeVar"),
        ("SELECT 'a' COLLATE \"de_DE\"", "COLLATE"),
        ("SELECT xmlforest('a' AS b)", "XmlExpr"),
    ],
)
def test_the_tree_of_the_servers_grammar_is_denied_by_default(sql: str, construct: str) -> None:
    grammar = postgres_text._grammar()  # pyright: ignore[reportPrivateUsage] - the parse alone, without the first reading
    tree = Tree({"public.orders": (SCHEMA, "public.orders")}, may_claim=False)
    if construct == "String":
        tree.take(grammar.parse("SELECT o.id FROM orders o"))
        construct = "A_Indirection"
        with pytest.raises(Refused):
            ask(sql)
        return
    with pytest.raises(Unknown) as caught:
        tree.take(grammar.parse(sql))

    assert caught.value.construct == construct


@pytest.mark.requirement("sql:postgres:functions")
def test_every_function_is_pg_catalogs_and_none_is_volatile_but_random(postgres: Server) -> None:
    by_grammar = {"claim", "coalesce", "greatest", "least", "nullif", "row", "grouping", "trim"} | {
        "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp",
    }  # fmt: skip
    with postgres.connect() as connection:
        rows = connection.execute(
            "SELECT proname, bool_or(provolatile = 'v'), bool_or(prosecdef), bool_or(proretset) FROM pg_proc"
            " WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY proname"
        ).fetchall()
    facts = {str(name): (volatile, definer, returns_set) for name, volatile, definer, returns_set in rows}
    functions = set(POSTGRES.functions)

    assert functions - set(facts) == by_grammar
    assert {name for name in functions & set(facts) if facts[name][0]} == {"random"}
    assert not {name for name in functions & set(facts) if facts[name][1]}
    assert {name for name in functions & set(facts) if facts[name][2]} | {"json_to_record", "jsonb_to_record"} == set(
        POSTGRES.table_functions
    ), "all but two make sets"


@pytest.mark.requirement("sql:postgres:row-filter")
def test_a_row_filter_is_proven_by_both_grammars() -> None:
    assert prove_filter("region = claim('region') AND secret IS NULL", ORDERS, "postgres") == ("region",)
    for wrong in (
        "count(*) > 1",
        "region",
        "EXISTS (SELECT 1)",
        "1 = 1) OR (2 = 2",
        "pg_sleep(1) IS NULL",
        "token = 'x'",
    ):
        with pytest.raises(Refused):
            prove_filter(wrong, ORDERS, "postgres")
