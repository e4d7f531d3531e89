"""Does MariaDB show what plans ask for, in the right types, within their bounds, and nothing else?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_cast import CANARY, open_table
from mariadb_server import Server
from mysql_cast import MysqlShop, made

from sandbox.executors.engine import PlanStale
from sandbox.executors.mysql_errors import told
from sandbox.executors.mysql_literals import literal
from sandbox.reasons import Reason, Refused
from sandbox.stages import Truncation

MANY = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT {} FROM n"


@pytest.fixture(scope="module")
def database(mariadb: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    made(mariadb, tmp_path_factory.mktemp("shop"), "executor")
    return mariadb


@pytest.fixture
def shop(database: Server, tmp_path: Path) -> Iterator[MysqlShop]:
    shop = MysqlShop(database, tmp_path, "executor")
    yield shop
    shop.executor.close()


VALUES = {
    "1": ("integer", "int", 1),
    "9223372036854775807": ("integer", "bigint", 2**63 - 1),
    "-9223372036854775808": ("integer", "bigint", -(2**63)),
    "18446744073709551615": ("integer", "bigint unsigned", 2**64 - 1),
    "CAST(-1 AS UNSIGNED)": ("integer", "bigint unsigned", 2**64 - 1),
    "1.50": ("text", "decimal(3,2)", "1.50"),
    "CAST('123456789012345678901234567890.10' AS DECIMAL(40,2))": (
        *("text", "decimal(40,2)"),
        "123456789012345678901234567890.10",
    ),
    "0.1e0": ("real", "double", 0.1),
    "1e308": ("real", "double", 1e308),
    "TRUE": ("integer", "int", 1),
    "'Zoë ☃ 𝄞'": ("text", "varchar(7)", "Zoë ☃ 𝄞"),
    '"x"': ("text", "varchar(1)", "x"),
    "'it\\'s'": ("text", "varchar(4)", "it's"),
    "''": ("text", "varchar(0)", ""),
    "X'00ff'": ("blob", "varbinary(2)", b"\x00\xff"),
    "CAST('ab' AS BINARY(3))": ("blob", "varbinary(3)", b"ab\0"),
    "DATE '2026-02-28'": ("text", "date", "2026-02-28"),
    "CAST('-12:30:00.5' AS TIME(1))": ("text", "time", "-12:30:00.5"),
    "TIMESTAMP '2026-02-28 12:30:00.5'": ("text", "datetime", "2026-02-28 12:30:00.5"),
    "JSON_OBJECT('a', 1)": ("text", "varchar(18)", '{"a": 1}'),
    "POINT(1, 2)": ("blob", "geometry", bytes.fromhex("000000000101000000000000000000f03f0000000000000040")),
    "NULL": ("null", "null", None),
    "CAST(NULL AS SIGNED)": ("integer", "int", None),
    "1 || 0": ("integer", "int", 1),
}


@pytest.mark.requirement("mysql:results:values")
@pytest.mark.parametrize(("written", "expected"), VALUES.items())
def test_a_cell_comes_back_as_it_is(shop: MysqlShop, written: str, expected: tuple[str, str, object]) -> None:
    fetched = shop.run(f"SELECT {written} AS v")

    ((cell,),) = fetched.rows
    assert (fetched.columns[0].type, fetched.columns[0].declared_type, cell) == expected
    assert type(cell) is type(expected[2])


TYPES = """
CREATE TABLE kinds (
  a tinyint unsigned, b bit(9), c enum('glad', 'sad'), d set('x', 'y'), e year, f date, g datetime(3), h timestamp NULL,
  i json, j mediumtext, k longblob, l varchar(9) CHARACTER SET latin1, m float, n bigint unsigned, o char(5)
);
SET SESSION sql_mode = '';
INSERT INTO kinds VALUES (255, b'101', 'sad', 'x,y', 2026, '0000-00-00', '2026-00-10 00:00:00', '2026-02-28 12:30:00',
  '{"a": null}', 'm', x'ff', 'Zo\u00eb', 0.1, 18446744073709551615, 'ab');
"""


@pytest.mark.requirement("mysql:results:values")
def test_columns_of_every_type_come_back_typed(mariadb: Server, tmp_path: Path) -> None:
    rules = {"kinds": open_table("kinds", *"abcdefghijklmno")}
    shop = made(mariadb, tmp_path, "executor_kinds", TYPES, rules=rules)
    fetched = shop.run("SELECT * FROM kinds")
    shop.executor.close()

    found = [(column.type, column.declared_type) for column in fetched.columns]
    assert found == [
        ("integer", "tinyint unsigned"),
        ("integer", "bit(9)"),
        ("text", "enum"),
        ("text", "set"),
        ("integer", "year"),
        ("text", "date"),
        ("text", "datetime"),
        ("text", "timestamp"),
        ("text", "text"),
        ("text", "text"),
        ("blob", "blob"),
        ("text", "varchar(9)"),
        ("real", "float"),
        ("integer", "bigint unsigned"),
        ("text", "char(5)"),
    ]
    assert fetched.rows == (
        (
            *(255, 5, "sad", "x,y", 2026, "0000-00-00", "2026-00-10 00:00:00.000", "2026-02-28 12:30:00"),
            *('{"a": null}', "m", b"\xff", "Zoë", 0.1, 2**64 - 1, "ab"),
        ),
    )


@pytest.mark.requirement("mysql:results:values")
def test_columns_of_no_rows_are_typed_and_may_share_a_name(shop: MysqlShop) -> None:
    fetched = shop.run("SELECT 1.5e0 AS a, 1 AS a FROM customers WHERE FALSE")

    assert [(column.name, column.type) for column in fetched.columns] == [("a", "real"), ("a", "integer")]
    assert fetched.rows == ()


@pytest.mark.requirement("mysql:results:values")
@pytest.mark.parametrize(
    "value",
    [0, -(2**63), 2**63 - 1, 1.5, -1e-300, True, None, "", "x' OR '1'='1", "a\\' \0 ☃ 𝄞", b"", b"\0'\\"],
    ids=repr,
)
def test_a_bound_value_is_the_same_to_the_engine(shop: MysqlShop, value: str | float | bytes | None) -> None:
    ((found,),) = shop.query(f"SELECT {literal('a', value)}")

    assert found == value


@pytest.mark.requirement("mysql:results:values")
@pytest.mark.parametrize("value", ["\ud800", float("nan"), float("inf")])
def test_a_value_that_has_no_literal_is_refused(value: str | float) -> None:
    with pytest.raises(Refused) as caught:
        literal("a", value)

    assert caught.value.reason is Reason.ARGUMENT_INVALID


@pytest.mark.requirement("mysql:results:bounds")
@pytest.mark.parametrize(("max_rows", "cut"), [(1, Truncation.ROWS), (2, Truncation.ROWS), (3, Truncation.NONE)])
@pytest.mark.parametrize("limit", ["", " LIMIT 3"])
def test_rows_beyond_the_limit_are_not_taken(shop: MysqlShop, max_rows: int, cut: Truncation, limit: str) -> None:
    fetched = shop.run(f"SELECT id FROM customers ORDER BY id{limit}", max_rows=max_rows)

    assert [row[0] for row in fetched.rows] == [1, 2, 3][:max_rows]
    assert fetched.truncation is cut
    assert shop.sessions() == 1


@pytest.mark.requirement("mysql:results:bounds")
def test_a_large_result_is_cut_at_rows_and_bytes_and_the_tool_serves_on(shop: MysqlShop) -> None:
    for _ in range(3):
        by_rows = shop.run(MANY.format("i") + " LIMIT 20000", max_rows=10)
        by_bytes = shop.run(MANY.format("repeat('x', 1000)"), max_bytes=10_000, max_rows=20_000)
        assert (len(by_rows.rows), by_rows.truncation) == (10, Truncation.ROWS)
        assert (len(by_bytes.rows), by_bytes.truncation) == (11, Truncation.BYTES)
    assert shop.running() == []
    assert shop.sessions() <= 1


@pytest.mark.requirement("mysql:results:bounds")
def test_a_row_far_beyond_the_limit_is_never_held(shop: MysqlShop) -> None:
    large = "repeat('x', CASE id WHEN 1 THEN 1 ELSE 9000000 END)"
    refused = shop.refusal("SELECT repeat('x', 10000000)", max_bytes=10_000)
    cut = shop.run(f"SELECT id, {large} FROM customers ORDER BY id")

    assert refused.reason is Reason.RESULT_TOO_LARGE
    assert (cut.rows, cut.truncation) == (((1, "x"),), Truncation.BYTES)
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("mysql:results:bounds")
def test_headings_are_bounded_before_anything_runs(shop: MysqlShop) -> None:
    columns = ", ".join(f"1 AS {'c' * 60}{number}" for number in range(100))

    refused = shop.refusal(f"SELECT {columns}, (SELECT id FROM customers)", max_bytes=1_000)

    assert refused.reason is Reason.RESULT_TOO_LARGE


@pytest.mark.requirement("mysql:results:bounds")
@pytest.mark.parametrize(
    "sql",
    ["SELECT length(group_concat(i)) FROM n", "SELECT count(*) FROM n"],
)
def test_no_limit_of_the_engine_s_own_cuts_a_value_unsaid(shop: MysqlShop, sql: str) -> None:
    ((found,),) = shop.query(MANY.format("i").replace("SELECT i FROM n", sql))

    assert found == (sum(len(str(i)) + 1 for i in range(1, 20_001)) - 1 if "concat" in sql else 20_000)


ERRORS = {
    "SELECT 9223372036854775807 + 1": "overflow",
    "SELECT exp(1000)": "overflow",
    "SELECT (SELECT id FROM customers)": "cardinality",
    "SELECT c.id FROM customers AS c, customers AS d WHERE id = 1": "ambiguous_column",
    "SELECT 1 UNION SELECT 1, 2": "column_count",
    "SELECT 'x' REGEXP '('": "pattern",
    "SELECT sum(count(*)) FROM customers": "misplaced_function",
    "SELECT id FROM customers WHERE count(*) > 1": "misplaced_function",
    "SELECT rank() OVER () FROM customers WHERE rank() OVER () > 1": "misplaced_function",
    "SELECT 'x' COLLATE nothing_ci": "collation",
    "SELECT * FROM (SELECT 1 AS a, 2 AS a) AS d": "duplicate_column",
    "SELECT * FROM customers, customers": "duplicate_alias",
    "SELECT (1, 2) = 1": "type",
    "SELECT lower(1, 2)": "arguments",
    "SELECT 1 FROM": "syntax",
    "SELECT extractvalue('<a/>', '~~')": "value",
    "SELECT convert('x' USING nothing)": "character_set",
    "WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a": "circular_reference",
}


@pytest.mark.requirement("mysql:errors:class")
@pytest.mark.parametrize(("sql", "word"), ERRORS.items())
def test_an_error_is_a_fixed_word(shop: MysqlShop, sql: str, word: str) -> None:
    refused = shop.refusal(sql, region="EU")

    assert (refused.reason, refused.rule, refused.metadata) == (Reason.SQL_FAILED, "sql/failed", {"error": word})
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("mysql:errors:class")
@pytest.mark.parametrize(
    ("number", "reason", "word"),
    [
        (1290, Reason.SQL_FAILED, "out_of_memory"),
        (1969, Reason.EXECUTION_TIMED_OUT, None),
        (1205, Reason.EXECUTOR_UNAVAILABLE, None),
        (1317, Reason.EXECUTOR_UNAVAILABLE, None),
        (65535, Reason.SQL_FAILED, "other"),
    ],
)
def test_errors_that_a_test_cannot_have_at_will_are_told_by_their_numbers(
    number: int, reason: Reason, word: str | None
) -> None:
    refused = told(number)

    assert isinstance(refused, Refused)
    assert (refused.reason, refused.metadata.get("error")) == (reason, word)


@pytest.mark.requirement("mysql:errors:class")
def test_no_word_of_the_engine_is_told(shop: MysqlShop) -> None:
    """What the engine says quotes the row that it met: here one that the caller may see, so that the view lets it."""
    refused = shop.refusal("SELECT extractvalue('<a/>', concat('~', region)) FROM orders", region=CANARY)

    assert CANARY not in repr(refused) + refused.message + str(refused.metadata) + repr(refused.__cause__)
    assert refused.__suppress_context__


@pytest.mark.requirement("mysql:errors:stale")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM secrets",
        "SELECT nothing FROM customers",
        "SELECT mail FROM customers",
        "SELECT * FROM executor.customers",
        "SELECT * FROM nowhere.at_all",
        "SELECT * FROM mysql.user",
        "SELECT nothing_there(1)",
        "SELECT executor.claim('region')",
    ],
)
def test_what_the_engine_does_not_have_for_the_login_is_stale(shop: MysqlShop, sql: str) -> None:
    with pytest.raises(PlanStale):
        shop.run(sql)
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("mysql:catalogue:names")
def test_the_catalogue_names_what_can_be_named_without_backticks(mariadb: Server, tmp_path: Path) -> None:
    shop = made(
        mariadb,
        tmp_path,
        "executor_names",
        """
        CREATE TABLE orders (id int, `two words` int, cents decimal(10,2), `naïve` int, Id2 int unsigned, `a``b` int);
        CREATE TABLE `Odd Name` (x int); CREATE TABLE `a.b` (x int); CREATE TABLE Twice (x int);
        CREATE TABLE twice (x int); CREATE TABLE Mixed (x int); CREATE SEQUENCE numbers;
        CREATE VIEW seen AS SELECT id FROM orders; CREATE TABLE old (x int) WITH SYSTEM VERSIONING;
        """,
        rules={},
    )
    catalogue = shop.executor.read_catalogue()

    kinds = {name: (shape.name, shape.kind) for name, shape in catalogue.tables.items()}
    assert kinds == {
        "orders": ("orders", "table"),
        "mixed": ("Mixed", "table"),
        "seen": ("seen", "view"),
        "old": ("old", "table"),
    }
    orders = catalogue.tables["orders"]
    assert [(column.name, column.declared_type) for column in orders.columns] == [
        ("id", "int(11)"),
        ("cents", "decimal(10,2)"),
        ("Id2", "int(10) unsigned"),
    ]


@pytest.mark.requirement("mysql:catalogue:names")
@pytest.mark.parametrize(
    ("change", "is_seen"),
    [
        ("ALTER TABLE t ADD COLUMN b int", True),
        ("ALTER TABLE t RENAME COLUMN a TO b", True),
        ("ALTER TABLE t MODIFY COLUMN a bigint", True),
        ("DROP TABLE t; CREATE VIEW t AS SELECT 1 AS a", True),
        ("CREATE TABLE u (a int)", True),
        ("INSERT INTO t VALUES (1); ANALYZE TABLE t; CREATE INDEX i ON t (a)", False),
    ],
)
def test_the_fingerprint_changes_with_the_catalogue(
    mariadb: Server,
    tmp_path: Path,
    change: str,
    is_seen: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    shop = made(mariadb, tmp_path, "executor_print", "CREATE TABLE t (a int)", rules={})
    before = shop.executor.read_catalogue().fingerprint
    mariadb.ask(change, "executor_print")

    assert (shop.executor.read_catalogue().fingerprint != before) is is_seen


@pytest.mark.requirement("mysql:load:rehearsed")
def test_what_is_set_up_is_rehearsed(shop: MysqlShop) -> None:
    shop.executor.rehearse(shop.confinement, shop.lease())

    assert shop.sessions() == 0


@pytest.mark.requirement("mysql:load:rehearsed")
@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("ALTER USER {login} IDENTIFIED BY 'another'", "let the tool's login in"),
        ("ALTER USER {login} ACCOUNT LOCK", "let the tool's login in"),
        ("REVOKE SELECT, EXECUTE ON `{pattern}`.* FROM {login}", "let the tool's login in"),
        ("DROP VIEW {login}.orders", "view of `orders` is gone"),
        ("RENAME TABLE executor_load.orders TO executor_load.away", "view of `orders` is gone"),
        ("CREATE OR REPLACE VIEW {login}.customers AS SELECT 1 AS id", "view of `customers` is not what"),
        ("DROP FUNCTION {login}.sandbox_kinds", "do not stand for"),
        (
            (
                "RENAME TABLE executor_load.orders TO executor_load.away;"
                "CREATE VIEW executor_load.orders AS SELECT * FROM executor_load.away"
            ),
            "do not stand for",
        ),
    ],
)
def test_a_set_up_that_is_not_the_tools_stops_the_load(mariadb: Server, tmp_path: Path, change: str, word: str) -> None:
    shop = made(mariadb, tmp_path, "executor_load")
    login = shop.shape.login
    mariadb.ask(change.format(login=login, pattern=login.replace("_", "\\_")))
    try:
        with pytest.raises(Refused, match=r"sandbox doctor --setup-sql executor_load") as caught:
            shop.executor.rehearse(shop.confinement, shop.lease())
    finally:
        made(mariadb, tmp_path, "executor_load")  # accounts are the whole server's

    assert caught.value.reason is Reason.EXECUTOR_UNAVAILABLE
    assert word in caught.value.message
