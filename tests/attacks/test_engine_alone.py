"""With the gate switched off: what does the engine alone let through? No write, no other table, column or row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from executor_cast import CANARY, EU, Ungated, change, make_database, open_table

from sandbox.executors.engine import PlanStale
from sandbox.executors.sqlite_session import Session
from sandbox.reasons import Reason, Refused
from sandbox.stages import Rights
from sandbox.toolspec import Digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "shop.db")


@pytest.fixture
def engine(path: Path) -> Iterator[Ungated]:
    engine = Ungated(path, EU)
    yield engine
    engine.executor.close()


def stopped(engine: Ungated, sql: str, **more: bool) -> bool:
    """Whether the engine stops a text, or lets nothing be seen that no tool may show."""
    try:
        fetched = engine.run(sql, **more)
    except PlanStale:
        return True
    except Refused as refused:
        return CANARY not in refused.message
    assert CANARY not in repr(fetched), fetched.rows
    return False


WRITES = [
    "DELETE FROM orders",
    "DELETE FROM main.orders",
    "UPDATE customers SET name = 'x'",
    "INSERT INTO orders VALUES (9, 'EU', 1, '', 1)",
    "INSERT INTO orders SELECT * FROM orders RETURNING id",
    "REPLACE INTO secrets VALUES (1, 'x')",
    "WITH x AS (SELECT 1) DELETE FROM secrets",
    "DROP TABLE secrets",
    "DROP VIEW orders",
    "DROP VIEW temp.orders",
    "ALTER TABLE orders RENAME TO o",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE TEMP TRIGGER t INSTEAD OF INSERT ON orders BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE temp.v USING fts5(a)",
    "CREATE INDEX i ON orders (id)",
    "REINDEX",
    "ANALYZE",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ATTACH 'other.db' AS o",
    "ATTACH ':memory:' AS o",
    "DETACH main",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA database_list",
    "PRAGMA table_info(secrets)",
    "PRAGMA temp_store_directory = '/'",
    "SELECT load_extension('x')",
    "SELECT writefile('x', 'y')",
    "SELECT readfile('/etc/passwd')",
    "SELECT edit('x')",
    "SELECT sqlite_log(1, 'x')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT 1; DELETE FROM orders",
    "SELECT 1; SELECT 2",
    "EXPLAIN SELECT id FROM orders",
    "EXPLAIN QUERY PLAN SELECT id FROM orders",
]


@pytest.mark.requirement("executors:alone:writes")
@pytest.mark.parametrize("sql", WRITES)
def test_a_text_that_does_more_than_read_is_stopped(engine: Ungated, path: Path, sql: str) -> None:
    before = path.read_bytes()

    assert stopped(engine, sql)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert engine.run("SELECT count(*) FROM orders").rows == ((2,),)


TABLES = [
    "SELECT word FROM secrets",
    "SELECT count(*) FROM secrets",
    "SELECT 1 FROM secrets",
    "SELECT 1 FROM orders, secrets",
    "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM secrets WHERE word LIKE 'C%')",
    "SELECT id FROM orders WHERE id IN secrets",
    "SELECT id FROM orders WHERE id IN (SELECT id FROM secrets)",
    "SELECT word FROM words",
    "SELECT count(*) FROM words",
    "SELECT note FROM main.orders",
    "SELECT count(*) FROM main.orders",
    "SELECT id FROM main.orders",
    "SELECT cents FROM big_orders",
    "WITH words AS (SELECT word FROM secrets) SELECT * FROM words",
    "WITH orders AS (SELECT note FROM main.orders) SELECT * FROM orders",
    "WITH x AS (SELECT * FROM secrets) SELECT count(*) FROM x",
    "SELECT * FROM sqlite_master",
    "SELECT count(*) FROM sqlite_master",
    "SELECT sql FROM sqlite_schema",
    "SELECT sql FROM sqlite_temp_master",
    "SELECT sql FROM temp.sqlite_schema",
    "SELECT name FROM main.sqlite_schema",
    "SELECT * FROM sqlite_stat1",
    "SELECT name FROM pragma_table_list",
    "SELECT count(*) FROM pragma_table_list",
    "SELECT name FROM pragma_database_list",
    "SELECT file FROM pragma_database_list()",
    "SELECT * FROM pragma_table_info('secrets')",
    "SELECT * FROM dbstat",
    "SELECT count(*) FROM dbstat",
    "SELECT * FROM bytecode('SELECT 1')",
]


@pytest.mark.requirement("executors:alone:tables")
@pytest.mark.parametrize("sql", TABLES)
def test_no_other_table_is_read_or_counted(engine: Ungated, sql: str) -> None:
    assert stopped(engine, sql)


COLUMNS = [
    "SELECT note FROM orders",
    "SELECT orders.note FROM orders",
    "SELECT id FROM orders WHERE note LIKE 'C%'",
    "SELECT id FROM orders ORDER BY note",
    "SELECT count(*) FROM orders GROUP BY note",
    "SELECT id FROM orders JOIN (SELECT 'x' AS note) USING (note)",
    "SELECT rowid FROM orders",
    "SELECT _rowid_ FROM orders",
    "SELECT oid FROM customers",
    "SELECT level FROM customers",
    "SELECT orders FROM orders",
    "SELECT temp.orders.note FROM temp.orders",
]


@pytest.mark.requirement("executors:alone:columns")
@pytest.mark.parametrize("sql", COLUMNS)
def test_no_hidden_column_is_read_in_any_use(engine: Ungated, sql: str) -> None:
    assert stopped(engine, sql)


@pytest.mark.requirement("executors:alone:columns")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM orders",
        "SELECT orders.* FROM orders",
        "SELECT * FROM orders NATURAL JOIN (SELECT 'x' AS note)",
        'SELECT "note" FROM orders',
    ],
)
def test_a_star_or_a_shared_name_meets_only_what_is_shown(engine: Ungated, sql: str) -> None:
    assert not stopped(engine, sql)


@pytest.mark.requirement("executors:alone:columns")
def test_a_natural_join_is_no_oracle_on_a_hidden_column(engine: Ungated) -> None:
    """A join on a hidden column would keep rows for the right guess only."""
    sql = "SELECT count(*) FROM orders NATURAL JOIN (SELECT '?' AS note)"
    right, wrong = (engine.run(sql.replace("?", guess)).rows for guess in (CANARY, "wrong"))

    assert right == wrong


ROWS = [
    "SELECT * FROM orders",
    "SELECT * FROM orders WHERE 1 OR region = 'US'",
    "SELECT * FROM orders o LEFT JOIN orders p ON 1",
    "SELECT max(region), min(region) FROM orders",
    "SELECT group_concat(region) FROM orders",
    "SELECT region, sum(cents) OVER () FROM orders",
    "SELECT * FROM orders UNION ALL SELECT * FROM orders",
    "SELECT * FROM temp.orders",
    "WITH o AS (SELECT * FROM orders) SELECT * FROM o, o AS p",
    "SELECT (SELECT max(region) FROM orders) FROM customers",
]


@pytest.mark.requirement("executors:alone:rows")
@pytest.mark.parametrize("is_fenced", [False, True])
@pytest.mark.parametrize("sql", ROWS)
def test_no_hidden_row_is_seen(engine: Ungated, sql: str, is_fenced: bool) -> None:  # noqa: FBT001 - a parameter
    assert not stopped(engine, sql, is_fenced=is_fenced)
    assert "US" not in repr(engine.run(sql, is_fenced=is_fenced).rows)


@pytest.mark.requirement("executors:alone:rows")
@pytest.mark.parametrize("is_fenced", [False, True])
def test_counts_see_the_caller_s_rows_only(engine: Ungated, is_fenced: bool) -> None:  # noqa: FBT001 - a parameter
    assert engine.run("SELECT count(*) FROM orders", is_fenced=is_fenced).rows == ((2,),)
    assert engine.run("SELECT count(*) FROM orders", is_fenced=is_fenced, region="US").rows == ((1,),)


ERROR_ORACLES = [
    "SELECT id FROM orders WHERE abs(cents) > 0",
    "SELECT id FROM orders WHERE cents < 0 AND abs(cents) = 1",
    "SELECT id FROM orders WHERE cents < 0 AND json(cents || '{') IS NULL",
    "SELECT o.id FROM orders o JOIN customers c ON abs(o.cents) > c.id",
    "SELECT id FROM orders WHERE id IN (SELECT abs(cents) FROM orders)",
    "SELECT CASE WHEN cents < 0 THEN abs(cents) END FROM orders",
    "SELECT sum(abs(cents)) FROM orders GROUP BY abs(cents)",
    "SELECT id FROM orders ORDER BY abs(cents)",
]


@pytest.fixture
def indexed(path: Path) -> Iterator[Ungated]:
    """An engine that finds an index for the caller's predicate and none for the filter, and begins with the former."""
    change(path, "DROP INDEX orders_by_region; CREATE INDEX orders_by_cents ON orders (cents)")
    engine = Ungated(path, EU)
    yield engine
    engine.executor.close()


@pytest.mark.requirement("executors:alone:fence")
@pytest.mark.parametrize("sql", ERROR_ORACLES)
def test_behind_the_fence_a_hidden_row_cannot_raise(indexed: Ungated, sql: str) -> None:
    """The smallest integer stands in a hidden row: `abs` of it overflows, if it is ever asked."""
    assert CANARY not in repr(indexed.run(sql, is_fenced=True))


@pytest.mark.requirement("executors:alone:fence")
def test_without_the_fence_it_would(indexed: Ungated) -> None:
    """Keeps the test above honest: this is what the fence is for."""
    with pytest.raises(Refused) as caught:
        indexed.run(ERROR_ORACLES[1])

    assert caught.value.metadata["error"] == "overflow"
    assert indexed.run(ERROR_ORACLES[1], is_fenced=True).rows == ()


MASKED = {
    "SELECT name, mail, card, born FROM customers WHERE id = 1": [("A.L.", "example.com", "*" * 12 + "1111", "1815")],
    "SELECT id FROM customers WHERE name LIKE 'Ada%'": [],
    "SELECT id FROM customers WHERE card = '4111111111111111'": [],
    "SELECT id FROM customers WHERE name = 'A.L.'": [(1,)],
    "SELECT min(mail), max(card) FROM customers": [("example.com", "*" * 12 + "1111")],
    "SELECT name, count(*) FROM customers GROUP BY name ORDER BY name": [("A.L.", 1), ("A.T.", 1), ("É.", 1)],
    "SELECT id FROM customers ORDER BY born DESC, id": [(2,), (1,), (3,)],
    "SELECT length(card), upper(name), born || 'x' FROM customers WHERE id = 1": [(16, "A.L.", "1815x")],
    "SELECT a.id FROM customers a JOIN customers b ON a.mail = b.mail WHERE a.id = 1": [(1,)],
    "SELECT sum(card) FROM customers": [(0.0,)],
}


@pytest.mark.requirement("executors:alone:masks")
@pytest.mark.parametrize(("sql", "rows"), MASKED.items())
def test_a_masked_column_is_its_mask_in_every_use(engine: Ungated, sql: str, rows: list[object]) -> None:
    found = list(engine.run(sql).rows)

    assert sorted(found, key=repr) == sorted(rows, key=repr)  # type: ignore[arg-type] - rows of any cells
    if "ORDER" in sql:
        assert found == rows


@pytest.mark.requirement("executors:alone:claims")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT claim('region')",
        "SELECT claim('other') FROM orders",
        "SELECT id FROM orders WHERE claim('region') = 'EU'",
        "WITH inner_x AS (SELECT claim('region')) SELECT * FROM inner_x",
    ],
)
def test_a_statement_cannot_ask_for_claims(engine: Ungated, sql: str) -> None:
    assert stopped(engine, sql)


VIEW_RULES = {"big_orders": open_table("big_orders", "id", "cents")}


@pytest.mark.requirement("executors:alone:views")
def test_a_view_of_the_file_can_be_a_table_of_the_tool(path: Path) -> None:
    engine = Ungated(path, VIEW_RULES)

    assert engine.run("SELECT id FROM big_orders WHERE id < 3").rows == ((1,), (2,))
    assert engine.run("SELECT count(*) FROM big_orders").rows == ((4,),)
    engine.executor.close()


@pytest.mark.requirement("executors:alone:views")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT region FROM big_orders",
        "SELECT note FROM orders",
        "SELECT id FROM orders",
        "SELECT count(*) FROM orders",
        "SELECT 1 FROM orders",
        "WITH big_orders AS (SELECT note FROM orders) SELECT * FROM big_orders",
        "WITH big_orders AS (SELECT note FROM main.orders) SELECT * FROM big_orders",
        "SELECT * FROM (WITH big_orders AS (SELECT region FROM orders) SELECT * FROM big_orders)",
    ],
)
def test_what_a_view_reads_is_not_lent_to_the_statement(path: Path, sql: str) -> None:
    engine = Ungated(path, VIEW_RULES)

    assert stopped(engine, sql)
    engine.executor.close()


@pytest.mark.requirement("executors:alone:confirm")
@pytest.mark.parametrize(
    ("sql", "rights"),
    [
        ("SELECT id FROM orders", Rights(relations=(), columns=(), functions=(), claims=())),
        ("SELECT id FROM orders", Rights(relations=("customers",), columns=(), functions=(), claims=())),
        (
            "SELECT id, cents FROM orders",
            Rights(relations=("orders",), columns=(("orders", "id"),), functions=(), claims=()),
        ),
        (
            "SELECT id FROM orders WHERE cents > 1",
            Rights(relations=("orders",), columns=(("orders", "id"),), functions=(), claims=()),
        ),
        (
            "SELECT upper(id) FROM orders",
            Rights(relations=("orders",), columns=(("orders", "id"),), functions=("lower",), claims=()),
        ),
        ("SELECT count(*) FROM customers", Rights(relations=("orders",), columns=(), functions=("count",), claims=())),
        ("SELECT value FROM json_each('[1]')", Rights(relations=(), columns=(), functions=("json_tree",), claims=())),
    ],
)
def test_a_statement_that_touches_more_than_its_plan_is_not_run(engine: Ungated, sql: str, rights: Rights) -> None:
    with pytest.raises(PlanStale):
        engine.run(sql, rights=rights)


@pytest.mark.requirement("executors:alone:confirm")
def test_the_same_text_with_fewer_rights_is_not_run_from_the_cache_of_another_tool(path: Path) -> None:
    """A session belongs to one tool, because what it has prepared is not authorized again."""
    wide = Ungated(path, EU)
    wide.run("SELECT cents FROM orders")
    narrow = {"orders": open_table("orders", "id", row_filter="region = claim('region')")}
    wide.confinement = replace(wide.confinement, key=Digest("n" * 64), tables=narrow)

    with pytest.raises(PlanStale):
        wide.run("SELECT cents FROM orders")
    wide.executor.close()


@pytest.mark.requirement("executors:alone:resources")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT printf('%.*c', 1000000000, 'x')",
        "SELECT hex(printf('%.*c', 200000, 'x'))",
        "SELECT replace(printf('%.*c', 100000, 'x'), 'x', 'xxxx')",
        "SELECT group_concat(printf('%.*c', 100000, 'x')) FROM customers",
    ],
)
def test_no_value_grows_beyond_its_limit(engine: Ungated, sql: str) -> None:
    with pytest.raises(Refused) as caught:
        engine.run(sql)

    assert caught.value.reason is Reason.SQL_FAILED
    assert caught.value.metadata["error"] == "too_large"


@pytest.mark.requirement("executors:alone:writes")
@pytest.mark.parametrize("schema", ["main", "temp", "file"])
def test_with_authorizer_and_trace_gone_too_nothing_is_written_anywhere(path: Path, schema: str) -> None:
    """The file is open for reading alone; memory and temporary tables are kept by `query_only`."""
    engine = Ungated(path, EU)
    session = Session(str(path), engine.confinement, is_fenced=False)
    connection = session._connection
    connection.exec_trace = connection.authorizer = None

    with pytest.raises(apsw.ReadOnlyError):
        connection.execute(f"CREATE TABLE {session._schema if schema == 'file' else schema}.written (a)")
    session.close()
    engine.executor.close()
