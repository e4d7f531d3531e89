"""With the gate switched off: what does the process of a DuckDB statement let through? No write, table, column, row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb_cast
import pytest
from executor_cast import CANARY, EU, Ungated, open_table

from sandbox.executors.engine import Fetched, PlanStale
from sandbox.reasons import Refused
from sandbox.toolspec import TableRule

STATEMENTS = """\
DELETE FROM orders
UPDATE customers SET name = 'x'
INSERT INTO orders VALUES (9, 'EU', 1, '', 1)
INSERT INTO orders BY NAME SELECT 9 AS id
MERGE INTO orders USING customers ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES
WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x
WITH x AS (INSERT INTO secrets VALUES (2, 'x') RETURNING *) SELECT * FROM x
DROP TABLE secrets
DROP VIEW orders
ALTER TABLE orders RENAME TO o
CREATE TABLE t (a INT)
CREATE TEMP TABLE t AS SELECT 1
CREATE OR REPLACE TEMP VIEW orders AS SELECT 1
CREATE MACRO m(a) AS a
CREATE SEQUENCE s
CREATE SCHEMA s
CREATE TYPE t AS ENUM ('a')
CREATE SECRET (TYPE s3)
BEGIN
COMMIT
CHECKPOINT
FORCE CHECKPOINT
VACUUM
ANALYZE
ATTACH 'other.duckdb' AS o
ATTACH ':memory:' AS o
DETACH memory
USE memory
SET memory_limit = '10GB'
SET enable_external_access = true
SET lock_configuration = false
RESET lock_configuration
SET VARIABLE x = 1
PRAGMA database_list
PRAGMA table_info('secrets')
PRAGMA enable_profiling
CALL pragma_version()
CALL duckdb_tables()
INSTALL httpfs
LOAD httpfs
LOAD '/tmp/x.duckdb_extension'
COPY (SELECT 1) TO '/tmp/sandbox-alone.csv'
COPY orders FROM '/etc/passwd'
COPY orders TO '/tmp/sandbox-alone.csv'
EXPORT DATABASE '/tmp/sandbox-alone'
IMPORT DATABASE '/tmp/sandbox-alone'
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
EXPLAIN SELECT * FROM secrets
EXPLAIN ANALYZE SELECT * FROM orders
DESCRIBE secrets
SHOW TABLES
SHOW ALL TABLES
SUMMARIZE orders
SELECT 1; SELECT 2
SELECT 1; DELETE FROM orders
PIVOT orders ON region
UNPIVOT orders ON id INTO NAME n VALUE v
SELECT * FROM (DESCRIBE orders)
SELECT * FROM (SUMMARIZE orders)
SELECT * FROM (SHOW TABLES)
SELECT * FROM (PIVOT customers ON name)
SELECT * FROM secrets
SELECT count(*) FROM secrets
SELECT 1 FROM secrets
SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM secrets WHERE word LIKE 'C%')
SELECT id FROM orders WHERE id IN (SELECT id FROM secrets)
WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets
WITH RECURSIVE x(a) AS (SELECT word FROM secrets UNION ALL SELECT a FROM x WHERE false) SELECT * FROM x
SELECT * FROM words
SELECT * FROM big_orders
SELECT * FROM main.secrets
SELECT * FROM main.orders
SELECT * FROM shop.main.orders
SELECT * FROM temp.orders
SELECT * FROM memory.main.orders
SELECT * FROM system.main.duckdb_tables
SELECT * FROM duckdb_tables()
SELECT sql FROM duckdb_views()
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_columns()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_variables()
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_logs()
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pg_class
SELECT * FROM sqlite_master
SELECT * FROM pragma_table_info('secrets')
SELECT * FROM query('SELECT * FROM secrets')
SELECT * FROM query_table('secrets')
SELECT * FROM query_table(['secrets'])
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM secrets'))
SELECT json_serialize_plan('SELECT * FROM secrets')
SELECT getvariable('claim_region')
SELECT current_setting('temp_directory')
SELECT current_query()
SELECT current_database()
SELECT claim('region')
SELECT nextval('s')
SELECT setseed(0.5)
SELECT pg_sleep(30)
SELECT sleep_ms(30000)
SELECT write_log('x')
SELECT error('x')
SELECT * FROM '/etc/passwd'
SELECT * FROM "/etc/passwd"
SELECT * FROM 'file.csv'
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_blob('/proc/self/environ')
SELECT * FROM read_json_auto('/etc/hostname')
SELECT * FROM parquet_scan('x')
SELECT * FROM glob('/*')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM read_csv('https://example.com/x.csv')
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM sqlite_scan('x', 'y')
SELECT * FROM duckdb_extensions()
SELECT note FROM orders
SELECT count(note) FROM orders
SELECT id FROM orders WHERE note = 'CANARY-7319'
SELECT id FROM orders ORDER BY note
SELECT id FROM orders GROUP BY id, note
SELECT COLUMNS('note') FROM orders
SELECT COLUMNS(c -> c = 'note') FROM orders
SELECT orders.note FROM orders
SELECT o.* REPLACE (o.note AS region) FROM orders o
SELECT level FROM customers
SELECT rowid FROM orders
SELECT list_transform([1], x -> x)
SELECT list_filter(list(id), lambda x: x > 1) FROM orders
SELECT * FROM histogram_values(secrets, word)
SELECT * FROM orders AT (VERSION => 1)
SELECT * FROM orders POSITIONAL JOIN secrets
SELECT * FROM orders, LATERAL (SELECT word FROM secrets) s
SELECT * FROM repeat_row('x', num_rows = 3)
SELECT * FROM summary((SELECT * FROM secrets))
SELECT * FROM unnest((SELECT list(word) FROM secrets))
SELECT (SELECT word FROM secrets LIMIT 1)
SELECT first((SELECT word FROM secrets)) OVER () FROM orders
""".splitlines()

ROWS = """\
SELECT * FROM orders
FROM orders
SELECT id, region FROM orders WHERE region = 'US' OR true
SELECT orders FROM orders
SELECT o FROM orders o
SELECT unnest(o) FROM orders o
SELECT to_json(o) FROM orders o
SELECT row(o.*) FROM orders o
SELECT * FROM orders ANTI JOIN (SELECT 1 AS id) x USING (id)
SELECT * FROM customers c LEFT JOIN orders o ON o.customer = c.id
SELECT * FROM orders a FULL JOIN orders b ON false
SELECT list(region) FROM orders
SELECT string_agg(region, ',') OVER () FROM orders
SELECT min(region), max(region) FROM orders
SELECT approx_top_k(region, 5) FROM orders
SELECT * FROM orders UNION ALL SELECT * FROM orders
WITH o AS MATERIALIZED (SELECT * FROM orders) SELECT * FROM o WHERE region <> 'EU'
SELECT DISTINCT region FROM orders
SELECT region FROM orders GROUP BY CUBE (region)
SELECT mail, card, born, name FROM customers
SELECT * FROM customers WHERE name = 'Ada Lovelace' OR mail LIKE '%ada@%' OR card = '4111111111111111'
""".splitlines()

ORACLES = """\
CASE WHEN region = 'EU' THEN true ELSE CAST(region AS INTEGER) = 1 END
abs(cents) > 0
CAST(cents - 90 AS SMALLINT) IS NOT NULL
repeat(region, CASE WHEN region <> 'EU' THEN 100000000 ELSE 1 END) <> ''
strptime(CASE WHEN region = 'EU' THEN '2026' ELSE region END, '%Y') IS NOT NULL
json_extract(CASE WHEN region = 'EU' THEN '{}' ELSE region END, '$') IS NOT NULL
regexp_matches('a', CASE WHEN region = 'EU' THEN 'a' ELSE '(' END)
make_date(cents, 1, 1) IS NOT NULL
to_days(cents::INTEGER) IS NOT NULL
CASE WHEN region = 'EU' THEN true ELSE CAST(region AS BOOLEAN) END
CAST(cents AS USMALLINT) >= 0
chr(cents::INTEGER) <> ''
""".splitlines()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return duckdb_cast.make_database(tmp_path_factory.mktemp("alone") / "shop.duckdb")


@pytest.fixture(scope="module")
def engine(path: Path) -> Iterator[Ungated]:
    engine = Ungated(path, EU, "duckdb")
    engine.executor.read_catalogue()
    yield engine
    engine.executor.close()


def answer(engine: Ungated, sql: str) -> Fetched | str:
    """Return what comes back of a text that no gate has seen, or the word of its refusal."""
    try:
        return engine.run(sql)
    except PlanStale:
        return "stale"
    except Refused as refused:
        return f"{refused.metadata.get('error', '')} {refused.reason} {refused.message}"


@pytest.mark.requirement("executors:duckdb:alone")
@pytest.mark.parametrize("sql", STATEMENTS)
def test_what_does_more_than_read_the_tools_tables_is_stopped(engine: Ungated, path: Path, sql: str) -> None:
    before = path.read_bytes()

    told = answer(engine, sql)
    assert isinstance(told, str)
    assert CANARY not in told
    assert path.read_bytes() == before
    assert not Path("/tmp/sandbox-alone.csv").exists()


@pytest.mark.requirement("executors:duckdb:alone")
@pytest.mark.parametrize("sql", ROWS)
def test_no_hidden_row_column_or_unmasked_value_is_in_what_is_read(engine: Ungated, sql: str) -> None:
    told = repr(answer(engine, sql))

    assert not [word for word in (CANARY, "US", "Lovelace", "ada@", "4111", "1815-") if word in told], told


@pytest.mark.requirement("executors:duckdb:guarded")
@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT cents FROM orders", "((100,), (300,))"),
        ("SELECT max(o.cents) FROM orders AS o", "((300,),)"),
        ("SELECT list(o) FROM orders AS o", "'cents': 100"),
        ("SELECT (SELECT list(q.v) FROM orders, (SELECT cents AS v) q) FROM (SELECT 1 AS cents) o", "[100, 300]"),
    ],
)
def test_a_column_for_aggregates_alone_is_there_for_what_was_proven_to_aggregate_it(
    path: Path, sql: str, values: str
) -> None:
    guarded = {"orders": replace(EU["orders"], aggregate_only=("cents",))}
    engine = Ungated(path, guarded, "duckdb")
    engine.executor.read_catalogue()
    unread = tuple(column for column in engine.rights.columns if column != ("orders", "cents"))
    with_it = repr(answer(engine, sql))
    engine.rights = replace(engine.rights, columns=unread)
    without = repr(answer(engine, sql))
    engine.executor.close()

    assert (values in with_it, values in without) == (True, False), (with_it, without)


HIDDEN = "(2, 'US', -9223372036854775807 - 1,"
OTHERWISE = (HIDDEN, "(2, '7', 1,")
FILTERS = ["region = claim('region')", "lower(region) = 'eu' AND CAST(cents AS VARCHAR) <> ''"]


def answer_on(folder: Path, script: str, sql: str, row_filter: str | None) -> str:
    """Return what a statement gives, or the word of its error, on a database that a script makes."""
    rule = {"orders": replace(EU["orders"], row_filter=row_filter)}
    engine = Ungated(duckdb_cast.make_database(folder / "shop.duckdb", script), rule, "duckdb")
    engine.executor.read_catalogue()
    told = repr(answer(engine, sql))
    engine.executor.close()
    return told


@pytest.mark.requirement("executors:duckdb:oracle")
@pytest.mark.parametrize("condition", ORACLES)
def test_no_error_tells_of_a_row_that_the_filter_hides(tmp_path: Path, condition: str) -> None:
    sql = f"SELECT count(*) FROM orders WHERE {condition}"  # noqa: S608 - of this file
    scripts = (duckdb_cast.SHOP, duckdb_cast.SHOP.replace(*OTHERWISE))
    assert HIDDEN in scripts[0]

    for row_filter in FILTERS:
        first, second = (answer_on(tmp_path, script, sql, row_filter) for script in scripts)
        assert first == second, row_filter
        assert first.startswith("Fetched")
    assert not answer_on(tmp_path, scripts[0], sql, None).startswith("Fetched")


@pytest.mark.requirement("executors:duckdb:alone")
def test_a_statement_may_not_call_what_its_plan_has_no_right_for(engine: Ungated) -> None:
    assert isinstance(answer(engine, "SELECT lower(region) FROM orders"), Fetched)
    few = replace(engine.rights, functions=())
    with pytest.raises(PlanStale):
        engine.run("SELECT lower(region) FROM orders", rights=few)
    with pytest.raises(PlanStale):
        engine.run("SELECT id FROM customers", rights=replace(engine.rights, relations=("orders",)))


@pytest.mark.requirement("executors:duckdb:alone")
def test_without_a_filter_the_hidden_rows_would_be_there(path: Path) -> None:
    tables: dict[str, TableRule] = {"orders": open_table("orders", "id", "region", "note")}
    engine = Ungated(path, tables, "duckdb")
    engine.executor.read_catalogue()

    assert CANARY in repr(engine.run("SELECT * FROM orders").rows)
    engine.executor.close()
