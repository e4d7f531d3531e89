"""What if the gate let everything through? A tool's login on MariaDB stops every write and shows nothing hidden.

Each statement runs as the tool's own login, without gate and without executor, by another client than the service's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import pymysql
import pytest
from executor_cast import CANARY, open_table
from mariadb_server import Server
from mysql_cast import KEY, RULES, SHOP, MysqlShop, made
from mysql_login_attacks import NOTHING_HIDDEN, ORACLES, REFUSED
from pymysql.connections import Connection

from sandbox.executors.grant_shape import grant_shape
from sandbox.executors.mysql_claims import signed
from sandbox.executors.mysql_shape import own_database, views_owner
from sandbox.leases.keys import claims_login, login_password
from sandbox.toolspec import TableRule
from sandbox.values import JsonObject

DATABASE = "attacked"
OTHER = {"targets": open_table("targets", "id")}
NO_RIGHT = {1044, 1045, 1142, 1143, 1227, 1345, 1347, 1370, 1698, 4166}
NO_SUCH_COLUMN = 1054
NO_SUCH_ROLE = 1959
HIDDEN_COLUMNS = ("note", "mail", "card", "level")


@pytest.fixture(scope="module")
def shop(mariadb: Server, tmp_path_factory: pytest.TempPathFactory) -> MysqlShop:
    more = f"CREATE TABLE targets (id int, word text); INSERT INTO targets VALUES (987654321, '{CANARY}');"
    shop = made(mariadb, tmp_path_factory.mktemp("shop"), DATABASE, SHOP + more)
    shop.set_up([shop.shape, grant_shape(DATABASE, OTHER)])
    return shop


@pytest.fixture(scope="module")
def key(shop: MysqlShop) -> bytes:
    return key_of(shop)


def key_of(shop: MysqlShop) -> bytes:
    login = claims_login(DATABASE)
    password = login_password(KEY, DATABASE, login, "mysql").reveal()
    with (
        closing(shop.server.connect(own_database(DATABASE), user=login, password=password)) as asking,
        asking.cursor() as cursor,
    ):
        cursor.execute("SELECT claims_key()")
        ((found,),) = cursor.fetchall()
    assert isinstance(found, bytes)
    return found


@pytest.fixture
def tool(shop: MysqlShop) -> Iterator[Connection]:
    with closing(shop.server.connect(shop.shape.schema, user=shop.shape.login, password=shop.password)) as connection:
        yield connection


def ask(tool: Connection, statement: str) -> str:
    with tool.cursor() as cursor:
        cursor.execute(statement)
        return repr(cursor.fetchall())


def token(tool: Connection, key: bytes, claims: JsonObject, *, age: int = 0) -> str:
    return signed(claims, key, str(tool.thread_id()), int(time.time()) - age)


def tell(tool: Connection, key: bytes, claims: JsonObject) -> None:
    ask(tool, f"SET @sandbox_claims = '{token(tool, key, claims)}'")


def named(shop: MysqlShop, statement: str) -> str:
    return statement.format(
        db=DATABASE,
        own=own_database(DATABASE),
        login=shop.shape.login,
        other=grant_shape(DATABASE, OTHER).schema,
    )


def accepted(statement: str) -> set[int]:
    """Return what MariaDB may say: a view has no hidden column, and a login no role."""
    if "{" not in statement and any(column in statement for column in HIDDEN_COLUMNS):
        return {NO_SUCH_COLUMN}
    return {NO_SUCH_ROLE} if statement.startswith("SET ROLE") else NO_RIGHT


def contents(shop: MysqlShop) -> list[object]:
    tables = ("orders", "customers", "secrets", "targets")
    return [shop.server.ask(f"SELECT * FROM {table} ORDER BY 1", DATABASE) for table in tables] + [
        shop.server.ask("SELECT User, Host FROM mysql.global_priv ORDER BY 1, 2"),
        shop.server.ask("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES ORDER BY 1, 2"),
    ]


@pytest.mark.requirement("mysql:alone:refused")
@pytest.mark.parametrize("kind", list(REFUSED))
def test_the_login_alone_stops_what_writes_reads_or_touches_more_than_its_views(
    shop: MysqlShop, tool: Connection, key: bytes, kind: str
) -> None:
    tell(tool, key, {"region": "EU"})
    before, wrong = contents(shop), []
    for statement in REFUSED[kind]:
        try:
            said = ask(tool, named(shop, statement))
        except pymysql.MySQLError as error:
            if error.args[0] not in accepted(statement) or CANARY in str(error):
                wrong.append(f"{statement}: {error}")
        else:
            wrong.append(f"{statement}: {said}")

    assert wrong == []
    assert contents(shop) == before


@pytest.mark.requirement("mysql:alone:refused")
def test_what_the_login_may_ask_shows_nothing_hidden(shop: MysqlShop, tool: Connection, key: bytes) -> None:
    answers = {}
    for statement in NOTHING_HIDDEN:
        tell(tool, key, {"region": "EU", "canary": "mine"})
        try:
            answers[statement] = ask(tool, named(shop, statement))
        except pymysql.MySQLError as error:
            answers[statement] = str(error)

    hidden = (CANARY, "987654321", "-9223372036854775808", "not be seen", "inner_key", "secrets", "region = ")
    leaks = [f"{statement}: {said}" for statement, said in answers.items() for word in hidden if word in said]
    assert leaks == []
    assert answers["SELECT * FROM sandbox_canary"] == "(('may be seen',),)"
    assert answers["SHOW DATABASES"] == f"(('information_schema',), ('{shop.shape.schema}',))"
    assert answers["SELECT load_file('/etc/passwd')"] == "((None,),)"


@pytest.mark.requirement("mysql:alone:rows")
@pytest.mark.parametrize("statement", ORACLES)
def test_a_condition_that_fails_on_hidden_rows_never_meets_one(
    shop: MysqlShop, tool: Connection, key: bytes, statement: str
) -> None:
    tell(tool, key, {"region": "EU"})
    with pytest.raises(pymysql.MySQLError):  # the hidden rows would make it fail
        shop.server.ask(statement, DATABASE)

    assert CANARY not in ask(tool, statement)


@pytest.mark.requirement("mysql:alone:rows")
def test_without_the_fence_a_condition_meets_hidden_rows(
    mariadb: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.doctor.mysql_views.FENCE", "")
    bare = made(mariadb, tmp_path, "attacked_bare")
    failed = []
    for statement in ORACLES:
        try:
            bare.run(statement, region="EU")
        except Exception as error:  # noqa: BLE001 - whatever it says of rows that it should not have met
            failed.append((statement, error))
    bare.executor.close()

    assert ORACLES[0] in [statement for statement, _ in failed]


@pytest.mark.requirement("mysql:alone:rows")
def test_without_the_fence_time_tells_of_a_hidden_row_and_with_it_none(
    mariadb: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "SELECT count(*) FROM orders WHERE IF(region = 'US', sleep(0.4), 0) = 0"

    def took(shop: MysqlShop) -> float:
        begun = time.monotonic()
        assert shop.query(slow, region="EU") == [(2,)]
        shop.executor.close()
        return time.monotonic() - begun

    fenced = took(made(mariadb, tmp_path, "attacked_slow"))
    monkeypatch.setattr("sandbox.doctor.mysql_views.FENCE", "")
    bare = took(made(mariadb, tmp_path, "attacked_slow"))

    assert fenced < 0.4 <= bare


@pytest.mark.requirement("mysql:alone:rows")
def test_a_masked_value_is_met_by_no_condition(mariadb: Server, tmp_path: Path) -> None:
    masks = {"name": "initials", "mail": "domain", "card": "last4", "born": "year", "level": "null"}
    columns = ("id", *masks)
    rules = {"customers": TableRule(table="customers", columns=columns, masks=MappingProxyType(masks))}  # type: ignore[arg-type] - masks by name
    shop = made(mariadb, tmp_path, "attacked_masks", rules=rules)
    found = {
        "SELECT id FROM customers WHERE name LIKE '%Lovelace%'": [],
        "SELECT id FROM customers WHERE card = '4111111111111111'": [],
        "SELECT id FROM customers WHERE level > 0": [],
        "SELECT id FROM customers ORDER BY id": [(1,), (2,), (3,)],
        "SELECT name, mail, card, born, level FROM customers ORDER BY id": [
            ("A.L.", "example.com", "************1111", "1815", None),
            ("A.T.", "example.org", "************0004", "1912", None),
            ("É.", None, "***", None, None),
        ],
    }
    answers = {sql: shop.query(sql) for sql in found}
    shop.executor.close()

    assert answers == found


@pytest.mark.requirement("mysql:claims:signed")
def test_a_claim_that_the_service_did_not_sign_is_an_error_never_null(tool: Connection, key: bytes) -> None:
    good = token(tool, key, {"region": "EU"})
    told, issued, signature = good.split(".")
    us = token(tool, b"\0" * 128, {"region": "US"})
    old, early = (token(tool, key, {"region": "US"}, age=age) for age in (300, -300))
    forged = [
        *("", "x", ".", "..", f"{told}.{issued}", f"{told}.{issued}.", f"{told}.{issued}.{'0' * 64}"),
        *(f"{good}.", f"{good}x", us, f"{us.split('.')[0]}.{issued}.{signature}", f" {good}", "é.1.é"),
        *(f"{told}.{int(issued) + 1}.{signature}", f"{told}.x.{signature}", old, early),
    ]
    for text in forged:
        ask(tool, f"SET @sandbox_claims = '{text}'")
        with pytest.raises(pymysql.MySQLError):
            ask(tool, "SELECT * FROM orders")
    ask(tool, "SET @sandbox_claims = NULL")
    with pytest.raises(pymysql.MySQLError):
        ask(tool, "SELECT * FROM orders")
    tell(tool, key, {"region": "EU"})
    assert ask(tool, "SELECT id FROM orders ORDER BY id") == "((1,), (3,))"


@pytest.mark.requirement("mysql:claims:signed")
def test_a_token_is_worth_nothing_on_another_connection(shop: MysqlShop, tool: Connection, key: bytes) -> None:
    replayed = token(tool, key, {"region": "US"})
    with closing(shop.server.connect(shop.shape.schema, user=shop.shape.login, password=shop.password)) as neighbour:
        ask(neighbour, f"SET @sandbox_claims = '{replayed}'")
        with pytest.raises(pymysql.MySQLError):
            ask(neighbour, "SELECT * FROM orders")


@pytest.mark.requirement("mysql:alone:refused")
def test_the_claims_login_gets_the_key_and_no_row(shop: MysqlShop) -> None:
    login = claims_login(DATABASE)
    password = login_password(KEY, DATABASE, login, "mysql").reveal()
    with closing(shop.server.connect(own_database(DATABASE), user=login, password=password)) as connection:
        for statement in (
            *("SELECT * FROM {db}.orders", "SELECT * FROM {login}.orders", "SELECT * FROM claims_key"),
            *("SELECT {login}.claim('region')", "SELECT * FROM canary", "CREATE TEMPORARY TABLE x (y int)"),
        ):
            with pytest.raises(pymysql.MySQLError):
                ask(connection, named(shop, statement))


@pytest.mark.requirement("mysql:alone:refused")
def test_nobody_logs_in_as_the_views_owner(shop: MysqlShop) -> None:
    for password in ("", "invalid"):
        with pytest.raises(pymysql.MySQLError):
            shop.server.connect(user=views_owner(DATABASE), password=password)


@pytest.mark.requirement("mysql:alone:refused")
def test_there_are_attacks_enough() -> None:
    assert sum(map(len, REFUSED.values())) > 110
    assert len(NOTHING_HIDDEN) + len(ORACLES) > 50
    assert RULES["orders"].row_filter
