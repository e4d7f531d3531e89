"""Does the doctor find on MariaDB what lets a login do more, or a tool see less, and does its remedy mend it?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from executor_cast import open_table
from mariadb_server import Server
from mysql_cast import KEY, MysqlShop, made

from sandbox.doctor import mysql
from sandbox.doctor.findings import Finding, Undecided
from sandbox.doctor.mysql_script import mysql_undo_script
from sandbox.executors.grant_shape import GrantShape, grant_shape
from sandbox.executors.mysql_shape import own_database, views_owner
from sandbox.leases import parse_mysql_dsn
from sandbox.leases.keys import claims_login

NAME = "examined"


def findings(shop: MysqlShop, *shapes: GrantShape, dsn: str = "") -> tuple[Finding, ...]:
    url = dsn or shop.server.url(shop.database, user="looks_only", password="looks")
    catalogue = shop.executor.read_catalogue()
    return mysql.examine(shop.name, parse_mysql_dsn(url), KEY, shapes or [shop.shape], catalogue)


@pytest.fixture(scope="module")
def examined(mariadb: Server, tmp_path_factory: pytest.TempPathFactory) -> MysqlShop:
    return made(mariadb, tmp_path_factory.mktemp("shop"), NAME)


@pytest.fixture
def shop(examined: MysqlShop) -> Iterator[MysqlShop]:
    """A shop that is good again after each test."""
    yield examined
    made(examined.server, examined.folder, NAME)


@pytest.mark.requirement("mysql:doctor:good")
def test_what_the_script_made_is_good(examined: MysqlShop) -> None:
    assert findings(examined) == ()


@pytest.mark.requirement("mysql:doctor:good")
def test_a_read_replica_is_found_as_good_as_its_primary(shop: MysqlShop) -> None:
    shop.server.ask("SET GLOBAL read_only = 1")
    try:
        found = findings(shop)
        pattern = shop.shape.login.replace("_", "\\_")
        shop.server.ask(f"GRANT CREATE TEMPORARY TABLES ON `{pattern}`.* TO {shop.shape.login}")
        more = findings(shop)
    finally:
        shop.server.ask("SET GLOBAL read_only = 0")

    assert found == ()
    assert "canary-forbidden" in {finding.check for finding in more}


FAULTS = {
    "another table": ("GRANT SELECT ON examined.secrets TO {login}", "login-rights"),
    "a column": ("GRANT SELECT (word) ON examined.secrets TO {login}", "login-rights"),
    "everything": ("GRANT SELECT ON *.* TO {login}", "login-rights"),
    "files": ("GRANT FILE ON *.* TO {login}", "login-rights"),
    "processes": ("GRANT PROCESS ON *.* TO {login}", "login-rights"),
    "super": ("GRANT SUPER ON *.* TO {login}", "login-rights"),
    "writing": ("GRANT INSERT ON `{pattern}`.* TO {login}", "login-rights"),
    "passing on": ("GRANT SELECT ON `{pattern}`.* TO {login} WITH GRANT OPTION", "login-rights"),
    "a pattern of databases": ("GRANT SELECT ON `exam%`.* TO {login}", "login-rights"),
    "a role": ("CREATE OR REPLACE ROLE examining; GRANT examining TO {login}", "login-rights"),
    "a right of PUBLIC": ("GRANT SELECT ON examined.secrets TO PUBLIC", "login-rights"),
    "a database of anybody's": (
        "INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', 'examined', '', 'Y'); FLUSH PRIVILEGES",
        "login-reach",
    ),
    "no right": ("REVOKE SELECT ON `{pattern}`.* FROM {login}", "login-rights"),
    "another password": ("ALTER USER {login} IDENTIFIED BY 'another'", "login-shut"),
    "a locked login": ("ALTER USER {login} ACCOUNT LOCK", "login-shut"),
    "a missing claims login": ("DROP USER {claims}", "login-shut"),
    "more for the claims login": ("GRANT SELECT ON `{own}`.claims_key TO {claims}", "login-rights"),
    "a table beside the views": ("CREATE TABLE {login}.mine (x int)", "login-tables"),
    "a view beside the views": ("CREATE VIEW {login}.mine AS SELECT * FROM examined.secrets", "login-tables"),
    "more columns for the owner": ("GRANT SELECT (note) ON examined.orders TO {owner}@localhost", "owner-rights"),
    "a table for the owner": ("GRANT SELECT ON examined.secrets TO {owner}@localhost", "owner-rights"),
    "a database for the owner": ("GRANT SELECT ON examined.* TO {owner}@localhost", "owner-rights"),
    "everything for the owner": ("GRANT PROCESS ON *.* TO {owner}@localhost", "owner-rights"),
    "less for the owner": ("REVOKE SELECT (cents) ON examined.orders FROM {owner}@localhost", "owner-rights"),
    "a missing view": ("DROP VIEW {login}.orders", "view-missing"),
    "a replaced view": (
        "CREATE OR REPLACE DEFINER = {owner}@localhost VIEW {login}.orders AS {unfiltered}",
        "view-changed",
    ),
    "a view of another owner": (
        "CREATE OR REPLACE DEFINER = owner@localhost VIEW {login}.orders AS SELECT id FROM examined.orders",
        "view-owner",
    ),
    "a view with the reader's rights": (
        "ALTER DEFINER = {owner}@localhost SQL SECURITY INVOKER VIEW {login}.orders AS {unfiltered}",
        "view-owner",
    ),
    "another source": ("UPDATE `{own}`.noted SET source = 'x' WHERE name = 'orders'", "view-source"),
    "a canary without its filter": (
        "CREATE OR REPLACE DEFINER = {owner}@localhost VIEW {login}.sandbox_canary AS SELECT note FROM `{own}`.canary",
        "canary-claims",
    ),
    "a claim that says yes": (
        "CREATE OR REPLACE DEFINER = {owner}@localhost FUNCTION {login}.claim(name TEXT) RETURNS TEXT RETURN 'theirs'",
        "function",
    ),
    "a function beside the views": ("CREATE FUNCTION {login}.mine() RETURNS INT RETURN 1", "function"),
    "a missing function": ("DROP FUNCTION {login}.sandbox_kinds", "function"),
    "a lost key": ("DELETE FROM `{own}`.claims_key", "canary-key"),
    "a login that may write": ("GRANT CREATE TEMPORARY TABLES ON `{pattern}`.* TO {login}", "canary-forbidden"),
    "a login that may use files": ("GRANT FILE ON *.* TO {login}", "canary-forbidden"),
}


@pytest.mark.requirement("mysql:doctor:faults")
@pytest.mark.parametrize("fault", list(FAULTS))
def test_each_fault_is_found_and_the_script_mends_it(shop: MysqlShop, fault: str) -> None:
    statement, check = FAULTS[fault]
    login = shop.shape.login
    shop.server.ask(
        statement.format(
            login=login,
            unfiltered="SELECT id, region, cents, customer FROM examined.orders",
            pattern=login.replace("_", "\\_"),
            own=own_database(NAME),
            owner=views_owner(NAME),
            claims=claims_login(NAME),
        )
    )
    try:
        found = findings(shop)
        assert check in {finding.check for finding in found}
        assert all(finding.mend and finding.message for finding in found)
        assert "error" in {finding.level for finding in found}
    finally:
        shop.server.ask(
            "REVOKE ALL ON examined.secrets FROM PUBLIC; DELETE FROM mysql.db WHERE User = ''; FLUSH PRIVILEGES"
            if "PUBLIC" in statement
            else "DELETE FROM mysql.db WHERE User = ''; FLUSH PRIVILEGES"
        )
        shop.server.ask(f"DROP TABLE IF EXISTS {login}.mine")
        shop.server.ask(f"DROP VIEW IF EXISTS {login}.mine")
        shop.server.ask(f"DROP FUNCTION IF EXISTS {login}.mine")
    shop.set_up()
    assert findings(shop) == ()


@pytest.mark.requirement("mysql:doctor:faults")
def test_a_shape_that_no_tool_uses_any_more_is_a_warning(shop: MysqlShop) -> None:
    other = grant_shape(NAME, {"secrets": open_table("secrets", "id")})
    shop.set_up([shop.shape, other])
    assert findings(shop, shop.shape, other) == ()

    found = {(finding.check, finding.level) for finding in findings(shop)}
    assert found == {("outdated", "warning"), ("owner-rights", "warning")}


@pytest.mark.requirement("mysql:doctor:dsn-login")
@pytest.mark.parametrize(
    ("grant", "level"),
    [
        ("SELECT ON examined.*", "warning"),
        ("SELECT (id) ON examined.orders", "warning"),
        ("INSERT ON examined.orders", "error"),
        ("ALL ON *.*", "error"),
        ("SUPER ON *.*", "error"),
    ],
)
def test_a_dsn_that_may_do_more_than_look_is_told(shop: MysqlShop, grant: str, level: str) -> None:
    shop.server.ask(f"GRANT {grant} TO looks_only")

    assert level in {finding.level for finding in findings(shop) if finding.check == "dsn-login"}


@pytest.mark.requirement("mysql:doctor:undecided")
def test_a_database_without_any_set_up_is_one_finding(shop: MysqlShop) -> None:
    shop.server.run_script(mysql_undo_script(NAME))

    (found,) = findings(shop)
    assert (found.check, found.mend) == ("not-set-up", f"sandbox doctor --setup-sql {NAME}")


@pytest.mark.requirement("mysql:doctor:undecided")
@pytest.mark.parametrize(
    "change", [("looks_only", "somebody"), ("127.0.0.1:", "127.0.0.1:1"), ("/examined", "/nowhere")]
)
def test_a_server_that_lets_nobody_in_is_undecided_and_nothing_of_the_dsn_is_told(
    examined: MysqlShop, change: tuple[str, str]
) -> None:
    url = examined.server.url(NAME, user="looks_only", password="looks")
    broken = url.replace(*change) if ":1" not in change[1] else url.replace(f":{examined.server.port}/", ":1/")
    with pytest.raises(Undecided) as raised:
        findings(examined, dsn=broken)

    assert not [word for word in ("looks", "somebody", "127.0.0.1", "nowhere") if word in str(raised.value)]


@pytest.mark.requirement("mysql:doctor:undecided")
@pytest.mark.parametrize("version", ["8.4.0", "10.6.5-MariaDB", "11.x"])
def test_a_server_that_is_not_known_is_undecided(version: str) -> None:
    with pytest.raises(Undecided, match=r"MariaDB of 10\.11 or newer"):
        mysql._check_version(version)
    mysql._check_version("11.4.2-MariaDB-log")


@pytest.mark.requirement("mysql:doctor:undecided")
def test_a_login_that_has_all_its_sessions_is_undecided(shop: MysqlShop) -> None:
    shop.server.ask(f"ALTER USER {shop.shape.login} WITH MAX_USER_CONNECTIONS 1")
    holding = shop.server.connect(shop.shape.schema, user=shop.shape.login, password=shop.password)
    try:
        with pytest.raises(Undecided, match=f"let {shop.shape.login} in now"):
            findings(shop)
    finally:
        holding.close()
