"""Attack: SQL for PostgreSQL that writes, locks, reaches out, looks into the catalogue or reads what no rule shows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sandbox.reasons import Refused

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "sql"))

from postgres_shop import ask

ATTACKS = """
sql/one-statement: SELECT 1; DELETE FROM orders
sql/one-statement: COMMIT; DROP TABLE orders
sql/one-statement: SELECT 1; SET transaction_read_only = off
sql/read-only: DELETE FROM orders
sql/read-only: WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d
sql/read-only: WITH d AS (UPDATE orders SET cents = '0') SELECT 1
sql/read-only: WITH d AS MATERIALIZED (INSERT INTO orders VALUES (1)) SELECT 1
sql/read-only: SELECT id INTO stolen FROM orders
sql/read-only: SELECT id FROM orders FOR UPDATE
sql/read-only: SELECT id FROM orders FOR NO KEY UPDATE SKIP LOCKED
sql/read-only: SELECT id FROM orders FOR SHARE
sql/read-only: EXPLAIN ANALYZE SELECT 1
sql/read-only: COPY orders TO PROGRAM 'id'
sql/read-only: SET ROLE postgres
sql/read-only: LISTEN x
sql/read-only: CHECKPOINT
sql/read-only: DO $x$ BEGIN END $x$
sql/tables: TABLE vault
sql/tables: SELECT id FROM orders UNION TABLE vault
sql/columns: SELECT o.h FROM orders AS o(a, b, c, d, e, f, g, h)
sql/columns: SELECT (SELECT 1 FROM (SELECT 1 AS secret) a, sales.orders s JOIN sales.orders ON secret = '') FROM orders
sql/functions: SELECT pg_advisory_lock(1)
sql/functions: SELECT pg_try_advisory_xact_lock(1)
sql/functions: SELECT pg_read_file('/etc/passwd')
sql/functions: SELECT * FROM pg_ls_dir('/')
sql/functions: SELECT lo_import('/etc/passwd')
sql/functions: SELECT lo_creat(-1)
sql/functions: SELECT query_to_xml('select 1', true, true, '')
sql/functions: SELECT * FROM dblink('x', 'select 1') AS t(a int)
sql/functions: SELECT * FROM ts_stat('select token from vault')
sql/functions: SELECT ts_rewrite('a'::tsquery, 'select token from vault')
sql/functions: SELECT set_config('role', 'postgres', false)
sql/functions: SELECT current_setting('sandbox.claims')
sql/functions: SELECT nextval('orders_id_seq')
sql/functions: SELECT pg_notify('a', 'b')
sql/functions: SELECT pg_sleep(10)
sql/functions: SELECT count(*) FILTER (WHERE pg_sleep(1) IS NULL) FROM orders
sql/functions: SELECT has_table_privilege('vault', 'SELECT')
sql/functions: SELECT claim('region')
sql/costly: SELECT lpad(region, 1000000000) FROM orders
sql/backtracking: SELECT ARRAY[ARRAY[ARRAY[ARRAY[ARRAY[1]]]]] FROM orders
sql/backtracking: SELECT 1 FROM orders WHERE id = ANY (ARRAY[ARRAY[ARRAY[ARRAY[ARRAY[id]]]]])
sql/costly: SELECT length(format('%999999999s', region)) FROM orders
sql/costly: SELECT length(format('%1$-09999s', region)) FROM orders
sql/costly: SELECT length(format('%2$*1$s', 99999, region)) FROM orders
sql/costly: SELECT length(format('%2$*1$s', id, region)) FROM orders
sql/costly: SELECT length(format('%--*s', 9999, region)) FROM orders
sql/costly: SELECT length(format('%*s', 100000000, region)) FROM orders
sql/costly: SELECT length(format('%' || '99999999s', region)) FROM orders
sql/costly: SELECT repeat('x', 1000000000)
sql/costly: SELECT repeat('xy', 501)
sql/costly: SELECT repeat(region, 2) FROM orders
sql/costly: SELECT repeat(repeat('x', 1000), 1000)
sql/searching: SELECT length(translate('a', (SELECT string_agg(region, '') FROM orders), ''))
sql/searching: SELECT strpos(region, (SELECT string_agg(region, '') FROM orders)) FROM orders
sql/searching: SELECT position((SELECT string_agg(region, '') FROM orders) IN region) FROM orders
sql/searching: SELECT replace(region, lpad(region, 1000), '') FROM orders
sql/searching: SELECT (SELECT string_agg('a', '') FROM orders) LIKE '%' || (SELECT string_agg('a', '') FROM orders)
sql/searching: SELECT region NOT LIKE concat(region, region) FROM orders
sql/searching: SELECT region LIKE ANY (ARRAY[concat(region, region)]) FROM orders
sql/searching: WITH t AS (SELECT string_agg(region, '') AS v FROM orders) SELECT strpos(v, v) FROM t
sql/searching: SELECT split_part(x.v, x.v, 1) FROM (SELECT string_agg(region, '') AS v FROM orders) AS x
sql/searching: SELECT v ILIKE v FROM (SELECT string_agg(region, '') AS v FROM orders) AS x
sql/searching: SELECT string_to_array(v, v) FROM (SELECT string_agg(region, '') AS v FROM orders) AS x
sql/searching: SELECT (SELECT jsonb_agg(id) FROM orders) @> (SELECT jsonb_agg(id) FROM orders)
sql/searching: SELECT (SELECT jsonb_agg(id) FROM orders) <@ (SELECT jsonb_agg(id) FROM orders)
sql/searching: SELECT jsonb_contained((SELECT jsonb_agg(id) FROM orders), (SELECT jsonb_agg(id) FROM orders))
sql/searching: SELECT jsonb_exists_all((SELECT jsonb_agg(region) FROM orders), (SELECT array_agg(region) FROM orders))
sql/searching: SELECT (SELECT jsonb_agg(region) FROM orders) ?| (SELECT array_agg(region) FROM orders)
sql/searching: SELECT '{}'::jsonb - (SELECT array_agg(region) FROM orders)
sql/searching: SELECT j - a FROM (SELECT jsonb_agg(region) AS j, array_agg(region) AS a FROM orders) AS x
sql/searching: SELECT g.v LIKE g.v || '%' FROM orders AS o, LATERAL (SELECT string_agg(o.region, '') AS v) AS g
sql/casts: SELECT 'vault'::regclass
sql/casts: SELECT CAST('x' AS mytype)
sql/casts: SELECT 'x'::public.text
sql/parse: SELECT id FROM orders WHERE id OPERATOR(public.=) '1'
sql/tokens: SELECT id FROM orders WHERE id === '1'
sql/tokens: SELECT $$x$ $
sql/tokens: SELECT $1
sql/tokens: SELECT $a$ $A$
sql/tables: SELECT $a$ FROM orders $a$, token FROM vault
sql/tokens: SELECT U&'\\0061'
sql/tokens: SELECT 1 /* never closed
sql/tables: SELECT token FROM vault
sql/tables: SELECT "token" FROM "vault"
sql/tables: SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM vault)
sql/tables: SELECT relname FROM pg_class
sql/tables: SELECT * FROM pg_catalog.pg_authid
sql/tables: SELECT * FROM information_schema.tables
sql/tables: SELECT * FROM sandbox.claims_key
sql/tables: WITH a AS (SELECT * FROM pg_shadow), pg_shadow AS (SELECT 1) SELECT * FROM a
sql/tables: SELECT id FROM "Orders"
sql/columns: SELECT secret FROM orders
sql/columns: SELECT o.secret FROM orders o
sql/columns: SELECT id FROM orders ORDER BY secret
sql/columns: SELECT id FROM orders ORDER BY secret USING <
sql/columns: SELECT @secret FROM orders
sql/columns: SELECT format('%s', VARIADIC ARRAY[secret]) FROM orders
sql/columns: SELECT jsonb_array_length(secret -> 'a') FROM orders
sql/columns: SELECT coalesce(id -> secret) FROM orders
sql/columns: SELECT x.a FROM orders o, json_to_record(o.secret) AS x (a int)
sql/parse: SELECT id @ cents FROM orders
sql/functions: SELECT a FROM json_to_record('{}') AS x (a regclass)
sql/same-words: SELECT a FROM json_to_record('{}') AS x (a int, b mytype)
sql/columns: SELECT o.row_to_json FROM orders o
sql/columns: SELECT current_user
sql/columns: SELECT (SELECT o.to_jsonb FROM orders o) FROM (SELECT 1 AS to_jsonb) o
sql/whole-rows: SELECT o FROM orders o
sql/whole-rows: SELECT row_to_json(o) FROM orders o
sql/whole-rows: SELECT count(o.*) FROM orders o
sql/whole-rows: SELECT (SELECT row(o.*) FROM (SELECT 1) x) FROM orders o
sql/whole-rows: SELECT s.id FROM sales.orders s JOIN orders o ON o = o
sql/row-ids: SELECT ctid FROM orders
sql/row-ids: SELECT o.tableoid FROM orders o
sql/qualified-names: SELECT public.orders.id FROM orders
sql/functions: SELECT pg_catalog.pg_sleep(1)
sql/node-kinds: SELECT public.lower(region) FROM orders
sql/node-kinds: SELECT (o.doc).x FROM orders o
sql/constructs: SELECT id FROM ONLY orders
sql/collations: SELECT region COLLATE "de_DE" FROM orders
sql/parameters: SELECT id FROM orders WHERE id = :x
"""
CASES = [line.split(": ", 1) for line in ATTACKS.strip().splitlines()]


@pytest.mark.requirement("sql:postgres:attacks")
@pytest.mark.parametrize(("rule", "sql"), CASES, ids=[sql for _, sql in CASES])
def test_the_attack_is_refused_by_the_rule_against_it(rule: str, sql: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(sql)

    assert caught.value.rule == rule, caught.value.message
    assert caught.value.line == 1
    assert caught.value.metadata["construct"]
