"""Does the script for MariaDB make what tools need and nothing else, again and again, and can it be taken back?"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import pymysql
import pytest
from executor_cast import open_table
from mariadb_server import Server
from mysql_cast import KEY, MysqlShop, made

from sandbox.deployment import Misconfigured
from sandbox.doctor.mysql_script import mysql_setup_script, mysql_undo_script
from sandbox.executors.grant_shape import grant_shape
from sandbox.executors.mysql_shape import own_database
from sandbox.leases.keys import claims_login, login_password
from sandbox.toolspec import TableRule

EVERYTHING = (
    "SELECT User, Host, Priv FROM mysql.global_priv ORDER BY 1, 2",
    "SELECT Host, Db, User FROM mysql.db ORDER BY 1, 2, 3",
    "SELECT Host, Db, User, Table_name, Column_name, Column_priv FROM mysql.columns_priv ORDER BY 1, 2, 3, 4, 5",
    "SELECT Db, User, Routine_name, Proc_priv FROM mysql.procs_priv ORDER BY 1, 2, 3",
    "SELECT db, name, definer, security_type, body FROM mysql.proc ORDER BY 1, 2",
    "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, DEFINER FROM information_schema.VIEWS ORDER BY 1, 2",
    "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES ORDER BY 1, 2",
    "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1",
)


def everything(server: Server) -> list[object]:
    """Return all that the script could have made or changed; when a password was set is no part of it."""
    found = [server.ask(query) for query in EVERYTHING]
    found[0] = [(*row[:2], str(row[2]).partition('"password_last_changed"')[0]) for row in found[0]]
    return found


@pytest.fixture
def shop(mariadb: Server, tmp_path: Path) -> MysqlShop:
    return made(mariadb, tmp_path, "scripted")


@pytest.mark.requirement("mysql:script:idempotent")
def test_a_second_run_changes_nothing_and_says_nothing(shop: MysqlShop) -> None:
    before, key = everything(shop.server), shop.server.ask(f"SELECT * FROM {own_database('scripted')}.claims_key")
    done = shop.server.run_script(shop.script())

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert everything(shop.server) == before
    assert shop.server.ask(f"SELECT * FROM {own_database('scripted')}.claims_key") == key


@pytest.mark.requirement("mysql:script:idempotent")
def test_undo_leaves_nothing_and_can_be_run_again(mariadb: Server, tmp_path: Path) -> None:
    shop = made(mariadb, tmp_path, "unscripted")
    undo = mysql_undo_script("unscripted")
    assert mariadb.run_script(undo).returncode == 0
    before = everything(mariadb)
    shop.set_up([shop.shape, grant_shape("unscripted", {"secrets": open_table("secrets", "id")})])
    assert everything(mariadb) != before

    for _ in range(2):
        done = mariadb.run_script(undo)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert everything(mariadb) == before


@pytest.mark.requirement("mysql:script:idempotent")
def test_the_script_is_the_same_text_at_every_run_and_holds_no_password(shop: MysqlShop) -> None:
    script = shop.script()

    assert script == shop.script()
    for login in (shop.shape.login, claims_login("scripted")):
        assert login in script
        assert login_password(KEY, "scripted", login, "mysql").reveal() not in script


@pytest.mark.requirement("mysql:script:idempotent")
def test_what_no_catalogue_has_is_refused(shop: MysqlShop) -> None:
    catalogue = shop.executor.read_catalogue()
    for rules in ({"nothing": open_table("nothing", "id")}, {"orders": open_table("orders", "nothing")}):
        with pytest.raises(Misconfigured, match="nothing"):
            mysql_setup_script("scripted", "scripted", [grant_shape("scripted", rules)], KEY, catalogue)


@pytest.mark.requirement("mysql:script:outdated")
def test_a_shape_that_no_tool_uses_any_more_goes_with_its_login(shop: MysqlShop) -> None:
    other = grant_shape("scripted", {"secrets": open_table("secrets", "id")})
    shop.set_up([shop.shape, other])
    password = login_password(KEY, "scripted", other.login, "mysql").reveal()
    shop.server.connect(other.schema, user=other.login, password=password).close()
    neighbour = made(shop.server, shop.folder / "neighbour", "scripted_too")
    shop.set_up([shop.shape])

    with pytest.raises(pymysql.MySQLError):
        shop.server.connect(user=other.login, password=password)
    assert shop.server.ask(f"SHOW DATABASES LIKE '{other.schema}'") == []
    neighbour.executor.rehearse(neighbour.confinement, neighbour.lease())  # another connection's is no affair of it


@pytest.mark.requirement("mysql:script:views")
def test_underscores_of_a_database_s_name_let_nobody_into_another(shop: MysqlShop) -> None:
    lookalike = shop.shape.schema.replace("_", "x")
    shop.server.ask(f"CREATE OR REPLACE DATABASE `{lookalike}`; CREATE TABLE `{lookalike}`.t (x int)")
    try:
        with (
            closing(shop.server.connect(user=shop.shape.login, password=shop.password)) as tool,
            tool.cursor() as cursor,
            pytest.raises(pymysql.MySQLError),
        ):
            cursor.execute(f"SELECT * FROM `{lookalike}`.t")
    finally:
        shop.server.ask(f"DROP DATABASE `{lookalike}`")


HARD = """
CREATE TABLE `Hard` (
  id int, tag varchar(20) CHARACTER SET latin1, owner varchar(20) COLLATE utf8mb4_unicode_ci, big bigint, raw blob,
  `select` int
);
INSERT INTO `Hard` VALUES (1, 'it''s', 'Zo\u00eb', 9007199254740993, x'c3a940782e6f7267', 7),
  (2, 'a\\\\b', 'other', 9007199254740992, x'ff', 8);
"""


@pytest.mark.requirement("mysql:script:views")
@pytest.mark.parametrize(
    ("row_filter", "claims", "found"),
    [
        ("owner = claim('who')", {"who": "Zo\u00eb"}, [1]),
        ("tag = claim('who')", {"who": "it's"}, [1]),
        ("tag = 'it''s'", {"x": 1}, [1]),
        ("tag = 'it\\'s'", {"x": 1}, [1]),
        ("tag = 'a\\\\b' AND `select` = 8", {"x": 1}, [2]),
        ("big = claim('n')", {"n": 9007199254740993}, [1]),
        ("big IN (claim('n'), 5)", {"n": 9007199254740992}, [2]),
        ("id < 2 OR id = claim('n')", {"n": 2}, [1, 2]),
        ("FALSE", {"x": 1}, []),
    ],
)
def test_a_view_shows_the_rows_of_its_filter(
    mariadb: Server, tmp_path: Path, row_filter: str, claims: dict[str, object], found: list[int]
) -> None:
    rules = {"hard": TableRule(table="Hard", columns=("id", "select"), row_filter=row_filter)}
    shop = made(mariadb, tmp_path, "scripted_hard", HARD, rules=rules)
    rows = shop.query("SELECT id, `select` FROM Hard ORDER BY id", **claims)
    shop.executor.close()

    assert rows == [(number, number + 6) for number in found]


@pytest.mark.requirement("mysql:script:views")
def test_masks_take_what_is_no_text(mariadb: Server, tmp_path: Path) -> None:
    masks = MappingProxyType({"raw": "domain", "big": "last4", "owner": "initials"})
    rules = {"hard": TableRule(table="Hard", columns=("id", "raw", "big", "owner"), masks=masks)}  # type: ignore[arg-type] - masks by name
    shop = made(mariadb, tmp_path, "scripted_masks", HARD, rules=rules)
    rows = shop.query("SELECT * FROM Hard WHERE id = 1")
    shop.executor.close()

    assert rows == [(1, "x.org", "************0993", "Z.")]
