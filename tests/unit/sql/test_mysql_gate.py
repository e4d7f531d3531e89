"""What does the gate make of MariaDB's SQL: what is permitted, what is refused and by which rule, which functions?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pymysql
import pytest
from mariadb_server import Server
from mysql_shop import CATALOGUE, ask

from sandbox.bench.sql.corpus import Case, read_corpus
from sandbox.reasons import Refused
from sandbox.sql import Catalogue, ColumnShape, TableShape, prove_filter
from sandbox.sql.dialects.mysql_functions import FUNCTIONS
from sandbox.sql.dialects.mysql_lexer import TIGHT
from sandbox.toolspec import Digest, TableRule

CORPUS: Final = read_corpus().of("mysql")
GATES: Final = [case for case in CORPUS.attacks if case.group not in ("row filters", "masks")]
"""The others are the engine's to stop."""
ONCE: Final = "WITH a AS (SELECT concat(name, name) AS s FROM customers), b AS (SELECT concat(s, s) AS s FROM a) "


@pytest.mark.requirement("sql:mysql:attacks")
@pytest.mark.parametrize("case", GATES, ids=lambda case: case.place)
def test_every_attack_of_the_corpus_is_refused_by_a_rule(case: Case) -> None:
    with pytest.raises(Refused) as caught:
        ask(case.sql)

    assert caught.value.rule.startswith("sql/")
    assert caught.value.rule != "sql/unproven"
    assert caught.value.line >= 1 <= caught.value.column


@pytest.mark.requirement("sql:mysql:permitted")
@pytest.mark.parametrize("case", CORPUS.honest, ids=lambda case: case.place)
def test_every_honest_statement_of_the_corpus_is_permitted(case: Case) -> None:
    assert ask(case.sql).sql_to_run


@pytest.mark.requirement("sql:mysql:attacks")
def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS.attacks) >= 110
    assert len(CORPUS.honest) >= 120


REFUSED: Final = {
    "sql/read-only": [
        *("HANDLER vault READ FIRST", "TABLE vault", "DESC vault", "HELP 'contents'", "SET a = 1"),
        *("XA START 'x'", "CHECK TABLE vault", "CHECKSUM TABLE vault", "USE mysql", "KILL QUERY 1", "SHUTDOWN"),
        *("SET STATEMENT max_statement_time = 0 FOR SELECT 1", "PURGE BINARY LOGS TO 'x'", "DO sleep(0)"),
        *("ANALYZE FORMAT=JSON SELECT id FROM orders", "EXPLAIN SELECT id FROM orders", "LOCK TABLES products READ"),
        *("FLUSH TABLES WITH READ LOCK", "BACKUP STAGE START", "START TRANSACTION", "GET DIAGNOSTICS x = NUMBER"),
        *("SELECT id FROM orders FOR UPDATE", "SELECT id FROM orders LOCK IN SHARE MODE", "SELECT 1 FOR SHARE"),
        *("SELECT id FROM customers PROCEDURE ANALYSE()", "WITH d AS (SELECT 1) DELETE FROM products"),
        *("SELECT id INTO OUTFILE 'x' FROM orders", "WITH x AS (SELECT 1) INSERT INTO orders SELECT 1"),
    ],
    "sql/tokens": [
        *("SELECT '/*! x */'", "SELECT 1 -- /*M! x */", "SELECT /*!99999 1 */ 2", "SELECT 1 --1", "SELECT 1 /* open"),
        *("SELECT @x", "SELECT @@version", "SELECT id := 1 FROM orders", "SELECT 1 || 2", "SELECT !1", r"SELECT \N"),
        *("SELECT {fn now()}", "SELECT ?", "SELECT $1", "SELECT _utf8mb4'x'", "SELECT _binary 'x'", "SELECT _x'y'"),
        *("SELECT N'x'", "SELECT n'x'", "SELECT x'4'", "SELECT b'2'", "SELECT 0xG", "SELECT 0XAB", "SELECT 1a"),
        *("SELECT 1e5x", "SELECT `a``b` FROM orders", "SELECT `` FROM orders"),
        *("SELECT `id ` FROM orders", f"SELECT {'a' * 65}", "SELECT 1 AS É", "SELECT 1 AS `\U00010400`"),
        *(
            "SELECT count (*) FROM orders",
            "SELECT now ()",
            "SELECT sum/**/(cents) FROM orders",
            "SELECT cast (1 AS CHAR)",
        ),
        *("SELECT DISTINCTROW id FROM orders", "SELECT HIGH_PRIORITY id FROM orders", "SELECT 'it", 'SELECT "it'),
        *("SELECT SQL_CALC_FOUND_ROWS id FROM orders", "SELECT a.id FROM orders a STRAIGHT_JOIN products b"),
        *(
            "SELECT id FROM orders USE INDEX (i)",
            "SELECT id FROM orders IGNORE INDEX (i)",
            "SELECT doc->'$.a' FROM events",
        ),
        *("SELECT INTERVAL '1 day' DAY + at FROM events", "SELECT 1::int", "SELECT # \n @a", "SELECT 1 ; @"),
        *("SELECT BINARY name FROM customers", "SELECT id, BINARY name FROM customers", "SELECT key FROM orders"),
        "SELECT SQL_NO_CACHE id FROM orders",
    ],
    "sql/functions": [
        "SELECT sformat('{:9}', 'x')",
        *(
            "SELECT sleep(1)",
            "SELECT benchmark(1, 2)",
            "SELECT load_file('x')",
            "SELECT get_lock('x', 1)",
            "SELECT user()",
        ),
        *(
            "SELECT database()",
            "SELECT version()",
            "SELECT connection_id()",
            "SELECT last_insert_id()",
            "SELECT schema()",
        ),
        *(
            "SELECT found_rows()",
            "SELECT row_count()",
            "SELECT uuid_short()",
            "SELECT name_const('a', 1)",
            "SELECT uuid()",
        ),
        *("SELECT extractvalue('<a/>', '/a')", "SELECT updatexml('<a/>', '/a', '')", "SELECT master_pos_wait('a', 1)"),
        *("SELECT des_encrypt('a')", "SELECT aes_decrypt('a', 'b')", "SELECT nextval(s)", "SELECT `now`()"),
        *(
            "SELECT lastval(s)",
            "SELECT setval(s, 1)",
            "SELECT claim('region')",
            "SELECT repeat('a', 9)",
            "SELECT uncompress('a')",
        ),
        *(
            "SELECT release_all_locks()",
            "SELECT sha1(sleep(1))",
            "SELECT st_astext(1)",
            "SELECT column_get('a', 'b' AS INT)",
        ),
        *("SELECT session_user()", "SELECT my_function(1)", "SELECT default(id) FROM orders", "SELECT password('x')"),
    ],
    "sql/qualified-names": [
        *("SELECT user FROM mysql.user", "SELECT * FROM information_schema.tables", "SELECT id FROM `shop`.orders"),
        "SELECT shop.orders.id FROM orders",
    ],
    "sql/tables": [
        *(
            "SELECT id FROM `information_schema`",
            "SELECT id FROM vault",
            "SELECT id FROM `dual`",
            "SELECT v.* FROM orders",
        ),
    ],
    "sql/columns": [
        "SELECT 1 FROM orders a, orders b JOIN products c ON a.id = c.id",
        "SELECT 1 FROM orders a, orders b JOIN products c ON EXISTS (SELECT 1 WHERE a.id = c.id)",
        *("SELECT ssn FROM customers", "SELECT CURRENT_USER", "SELECT id FROM orders o WHERE o.nosuch = 1"),
        *("SELECT group_concat(id ORDER BY ssn) FROM customers", "SELECT id FROM products LIMIT 1, cost"),
        *("SELECT timestampdiff(DAY, ssn, now()) FROM customers", "SELECT now() + INTERVAL ssn DAY FROM customers"),
        *(
            "SELECT id FROM customers WHERE MATCH (ssn) AGAINST ('x')",
            "SELECT convert(ssn USING utf8mb4) FROM customers",
        ),
        *("SELECT column1 FROM (VALUES (1)) v", "SELECT id FROM customers HAVING ssn = 1"),
    ],
    "sql/row-ids": ["SELECT _rowid FROM orders", "SELECT o.row_start FROM orders o"],
    "sql/name-case": [
        *("SELECT id FROM Orders", "SELECT O.id FROM orders o", "SELECT a.id FROM orders a, orders A"),
        *("WITH q AS (SELECT 1 AS x) SELECT x FROM Q", "SELECT ORDERS.id FROM orders", "SELECT O.* FROM orders o"),
    ],
    "sql/constructs": [
        "SELECT v.id FROM (SELECT id FROM orders) AS v, orders AS w (a)",
        "SELECT o.5 FROM orders o",
    ],
    "sql/searching": [
        *("ONCE SELECT locate(s, s) FROM b", "ONCE SELECT instr(s, s) FROM b", "ONCE SELECT s LIKE s FROM b"),
        *("ONCE SELECT position(s IN s) FROM b", "ONCE SELECT substring_index(s, s, 1) FROM b"),
        *("ONCE SELECT json_contains(s, s) FROM b", "ONCE SELECT json_search(s, 'all', s) FROM b"),
    ],
    "sql/growing": [
        *("ONCE SELECT replace(s, 'a', 'bb') FROM b", "ONCE SELECT regexp_replace(s, 'a', 'b') FROM b"),
        *(
            "SELECT replace(hex(name), 'a', 'b') FROM customers",
            "SELECT replace(group_concat(name), 'a', '') FROM customers",
        ),
        "SELECT replace(replace(name, 'a', 'bb'), 'b', '') FROM customers",
        *("ONCE SELECT s REGEXP 'a*b' FROM b", "ONCE SELECT NOT s RLIKE 'a*b' FROM b"),
        *("ONCE SELECT regexp_instr(s, 'a*b') FROM b", "ONCE SELECT regexp_substr(s, 'a*b') FROM b"),
        *("ONCE SELECT json_keys(s) FROM b", "ONCE SELECT json_normalize(s) FROM b"),
        *("ONCE SELECT json_equals(s, s) FROM b", "SELECT group_concat(name) REGEXP 'a' FROM customers"),
    ],
    "sql/cte-names": [
        "WITH orders AS (SELECT 1 AS id) SELECT * FROM (WITH x AS (SELECT id FROM orders) SELECT id FROM x) q",
        "WITH a AS (SELECT 1 AS n) SELECT (WITH x AS (SELECT n FROM a) SELECT max(n) FROM x)",
        "WITH a AS (SELECT 1 AS n), b AS (WITH x AS (SELECT n FROM a) SELECT n FROM x) SELECT n FROM b",
        "WITH RECURSIVE a AS (SELECT 1 AS n) SELECT (WITH x AS (SELECT n FROM (SELECT n FROM a) y) SELECT n FROM x)",
    ],
    "sql/rollup": ["SELECT DISTINCT id, count(*) FROM orders GROUP BY id WITH ROLLUP HAVING count(*) >= 5"],
    "sql/costly": ["SELECT lpad(name, id, 'x') FROM customers", "SELECT space(100000)", "SELECT rpad(name, 5000, 'x')"],
    "sql/casts": ["SELECT cast(1 AS point)", "SELECT convert(1, blob)"],
    "sql/collations": ["SELECT 'a' COLLATE utf8mb4_xyz_ci"],
    "sql/one-statement": ["SELECT 1; SELECT 2", "SELECT ';'; DELETE FROM orders"],
    "sql/grammar": [
        "SELECT 'a' 'b'",
        "SELECT \"a\" 'b'",
        "SELECT a.id FROM orders a FULL JOIN products b ON a.id = b.id",
    ],
    "sql/parse": [
        *(
            "SELECT NEXT VALUE FOR s",
            "SELECT id FROM orders FOR SYSTEM_TIME ALL",
            "SELECT id FROM orders LIMIT ROWS EXAMINED 5",
        ),
        *("VALUES (1, 2), (3, 4)", "SELECT sum(id) FILTER (WHERE id > 1) FROM orders"),
        *("SELECT id FROM orders ORDER BY id NULLS LAST", "SELECT name SOUNDS LIKE 'x' FROM customers"),
    ],
    "sql/node-kinds": ["SELECT id FROM orders PARTITION (p0)"],
    "sql/parameters": ["SELECT id FROM orders WHERE id = :id"],
    "sql/shared-columns": ["SELECT a.id FROM customers a NATURAL JOIN customers b"],
    "sql/string-names": ["SELECT o.'id' FROM orders o", 'SELECT "o".id FROM orders o'],
}
"""By the rule that refuses it; ONCE stands for queries that make a text longer."""


def refused() -> Iterator[tuple[str, str]]:
    for rule, statements in REFUSED.items():
        for sql in statements:
            yield rule, sql.replace("ONCE ", ONCE)


@pytest.mark.requirement("sql:mysql:refused")
@pytest.mark.parametrize(("rule", "sql"), list(refused()))
def test_the_rule_against_it_refuses(rule: str, sql: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(sql)

    assert (caught.value.rule, caught.value.message) == (rule, caught.value.message)


@pytest.mark.requirement("sql:mysql:kept")
def test_the_text_is_kept_but_for_comments_and_a_closing_semicolon() -> None:
    sql = "SELECT `id` /* key */ FROM orders -- all\nWHERE region = :r AND item = \"it''s\" # end\n;"
    proven = ask(sql, parameters=frozenset({"r"}))

    assert proven.sql_to_run == "SELECT `id`           FROM orders       \nWHERE region = :r AND item = \"it''s\""
    assert proven.parameters == ("r",)
    assert proven.rights.columns == (("orders", "id"), ("orders", "item"), ("orders", "region"))
    assert proven.rights.claims == ("region",)
    assert not proven.is_fenced


@pytest.mark.requirement("sql:mysql:kept")
def test_functions_behind_words_and_operators_are_told() -> None:
    sql = "SELECT trim(name), left(name, 1), group_concat(id), now() - INTERVAL 1 DAY, current_date FROM customers"

    assert ask(sql).rights.functions == ("current_date", "group_concat", "left", "now", "trim")


@pytest.mark.requirement("sql:mysql:row-filter")
def test_an_author_s_claim_names_it_in_plain_single_quotes() -> None:
    sql = "SELECT id FROM products WHERE name = claim('name')"
    assert ask(sql, may_claim=True).rights.claims == ("name",)
    for wrong in ('claim("name")', r"claim('na\me')", "claim(name)", "claim('a', 'b')"):
        with pytest.raises(Refused) as caught:
            ask(f"SELECT id FROM products WHERE name = {wrong}", may_claim=True)  # noqa: S608 - food for the gate
        assert caught.value.rule == "sql/claims"


@pytest.mark.requirement("sql:mysql:row-filter")
def test_a_row_filter_is_one_condition_over_its_table() -> None:
    orders = CATALOGUE.tables["orders"]
    assert prove_filter("region = claim('region') AND note IS NULL", orders, "mysql") == ("region",)
    for wrong in (
        *("count(*) > 1", "region", "EXISTS (SELECT 1)", "1 = 1) OR (2 = 2", "sleep(1) IS NULL", "token = 'x'"),
        *("region = 'a' || 1", "1 = 1 -- x", "group_concat(region) = 'x'", "region = @x", "cents > 1 XOR 1 = 1"),
    ):
        with pytest.raises(Refused):
            prove_filter(wrong, orders, "mysql")


ARGUMENTS: Final = (
    *("", "1", "1, 1", "1, 1, 1", "1, 1, 1, 1", "*", "'{}', '$.a'", "'1', INTERVAL 1 DAY", "'2020-01-01', 'YYYY'"),
    *("1) OVER (ORDER BY 1", ") OVER (ORDER BY 1", "1, 1) OVER (ORDER BY 1", "1) OVER (PARTITION BY 1"),
    *("0.5) WITHIN GROUP (ORDER BY x) OVER (PARTITION BY x", "1, 1) = (1, 1"),
)


def answers(cursor: pymysql.cursors.Cursor, call: str) -> bool:
    """Whether the server knows a call with any of the arguments."""
    for arguments in ARGUMENTS:
        try:
            cursor.execute(f"SELECT {call}({arguments}) FROM (SELECT 1 AS x) q")  # noqa: S608 - from the table
        except pymysql.Error:
            continue
        return True
    return False


@pytest.mark.requirement("sql:mysql:functions")
def test_every_function_is_the_server_s_and_those_that_bear_no_blank_are_known(mariadb: Server) -> None:
    mariadb.make_database("functions", "SELECT 1")
    with mariadb.connect("functions") as connection, connection.cursor() as cursor:
        known = {name for name in FUNCTIONS if answers(cursor, name)}
        tight = {name.upper() for name in known if not answers(cursor, f"{name} ")}

    assert set(FUNCTIONS) - known == {"claim"}
    assert tight == TIGHT & {name.upper() for name in FUNCTIONS}


LEAKS: Final = {
    "aliases have case": "SELECT (SELECT O.cents FROM (SELECT 1 AS cents) o) = 41700 FROM orders O WHERE id = 7",
    "a prefix that looks like a column": "SELECT BINARY cents = '41700' FROM orders WHERE id = 7",
    "letters of one case": (
        "SELECT (SELECT `\u212a` FROM (SELECT id FROM products LIMIT 1) p) = 41700"
        " FROM (SELECT cents AS k FROM orders WHERE id = 7) o"
    ),
}
"""What the server answers from a row that a reading in another way would not touch."""


@pytest.mark.requirement("sql:mysql:names")
@pytest.mark.parametrize("name", LEAKS)
def test_what_the_server_reads_in_another_way_is_refused(name: str, mariadb: Server) -> None:
    mariadb.make_database(
        "leaks",
        "CREATE TABLE orders (id INT, cents INT); INSERT INTO orders VALUES (7, 41700); CREATE TABLE products (id INT);"
        " INSERT INTO products VALUES (1)",
    )
    assert mariadb.ask(LEAKS[name], "leaks") == [(1,)]
    with pytest.raises(Refused):
        ask(LEAKS[name])


@pytest.mark.requirement("sql:mysql:names")
def test_values_has_no_names_so_that_one_means_a_column_further_out(mariadb: Server) -> None:
    sql = "SELECT (SELECT column1 FROM (VALUES (1)) v) FROM numbers"
    mariadb.make_database("numbers", "CREATE TABLE numbers (column1 INT); INSERT INTO numbers VALUES (41700)")
    assert mariadb.ask(sql, "numbers") == [(41700,)]
    shape = TableShape("numbers", (ColumnShape("column1", "int"),), "table", has_rowid=False)
    catalogue = Catalogue({"numbers": shape}, Digest(""))
    rule = TableRule(table="numbers", columns=("column1",), aggregate_only=("column1",))
    with pytest.raises(Refused) as caught:
        ask(sql, catalogue=catalogue, rules={"numbers": rule})

    assert caught.value.rule == "sql/aggregate-only"
