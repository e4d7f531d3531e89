"""Does a MariaDB session run one reading statement in its state, within its time, and end with whoever it is for?"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from executor_cast import CANARY
from mariadb_server import Server
from mysql_cast import RULES, MysqlShop, made
from postgres_cast import eventually

from sandbox.executors import mysql, mysql_session, mysql_talk, server
from sandbox.executors.engine import Confinement, PlanStale
from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation, Truncation
from sandbox.toolspec import Digest

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
GRACE_S = 0.25


@pytest.fixture(scope="module")
def database(mariadb: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    made(mariadb, tmp_path_factory.mktemp("shop"), "sessions")
    return mariadb


@pytest.fixture
def shop(database: Server, tmp_path: Path) -> Iterator[MysqlShop]:
    shop = MysqlShop(database, tmp_path, "sessions")
    yield shop
    shop.executor.close()
    assert eventually(lambda: shop.sessions() == 0, 5)


STATE = {
    "@@sql_mode": mysql_talk.SQL_MODE,
    "@@time_zone": "+00:00",
    "@@character_set_client": "utf8mb4",
    "@@character_set_results": "utf8mb4",
    "@@sql_select_limit": 1001,
    "@@max_statement_time": 5.5,
    "@@in_transaction": 1,
    "@@tx_read_only": 0,
    "@@max_recursive_iterations": 2**32 - 1,
    "@@autocommit": 1,
    "@@max_session_mem_used": 256 * 1024 * 1024,
}


@pytest.mark.requirement("mysql:session:state")
@pytest.mark.parametrize(("setting", "value"), STATE.items())
def test_a_statement_meets_the_session_in_its_state(shop: MysqlShop, setting: str, value: object) -> None:
    assert shop.query(f"SELECT {setting}") == [(value,)]


@pytest.mark.requirement("mysql:session:state")
@pytest.mark.parametrize("sql", ["SELECT @a := 7", "SELECT get_lock('sandbox', 0)", "SELECT last_insert_id(99)"])
def test_what_a_statement_leaves_behind_is_gone_before_the_next(shop: MysqlShop, database: Server, sql: str) -> None:
    shop.query(sql)

    assert shop.query("SELECT @a, last_insert_id(), @sandbox_claims") == [(None, 0, None)]
    assert database.ask("SELECT is_free_lock('sandbox')") == [(1,)]
    assert shop.sessions() == 1


@pytest.mark.requirement("mysql:session:read-only")
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM customers",
        "INSERT INTO sessions.customers (id) VALUES (9)",
        "SELECT id FROM customers FOR UPDATE",
        "SELECT id INTO @a FROM customers WHERE id = 1",
        "SELECT id INTO OUTFILE '/tmp/sandbox-outfile' FROM customers",
        "CREATE TABLE made (x int)",
        "CREATE TEMPORARY TABLE made (x int)",
        "SET GLOBAL max_connections = 5",
        "SET @sandbox_claims = 'x'",
        "SET SESSION sql_mode = 'ANSI_QUOTES'",
        "COMMIT",
        "START TRANSACTION",
        "SET TRANSACTION READ WRITE",
        "DO sleep(9)",
        "CALL made()",
        "BEGIN NOT ATOMIC SELECT 1; END",
        "PREPARE x FROM 'SELECT 1'",
        "EXECUTE IMMEDIATE 'DELETE FROM sessions.customers'",
        "USE mysql",
        "KILL 1",
        "LOCK TABLES customers READ",
        "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE sessions.customers",
        "TRUNCATE TABLE sessions.customers",
        "FLUSH TABLES",
        "GRANT SELECT ON *.* TO mine",
        "XA START 'x'",
    ],
)
def test_nothing_but_reading_runs_though_the_login_may_write(shop: MysqlShop, database: Server, sql: str) -> None:
    database.ask(f"GRANT ALL ON *.* TO {shop.shape.login}@'%'")
    try:
        with pytest.raises((PlanStale, Refused)) as caught:
            shop.run(sql)
    finally:
        shop.set_up()

    assert isinstance(caught.value, PlanStale) or caught.value.reason is Reason.SQL_FAILED
    assert database.ask("SELECT count(*) FROM customers", "sessions") == [(3,)]
    assert shop.query("SELECT count(*) FROM customers") == [(3,)]


@pytest.mark.requirement("mysql:session:read-only")
@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; DELETE FROM customers", "SELECT ?", "SELECT 1\0"])
def test_a_text_is_one_statement_and_whole(shop: MysqlShop, sql: str) -> None:
    with pytest.raises((PlanStale, Refused)):
        shop.run(sql)
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("mysql:stop:deadline")
@pytest.mark.parametrize("sql", [ENDLESS, "SELECT sleep(30)", "SELECT benchmark(100000000000, md5('x'))"])
@pytest.mark.parametrize(("seconds", "caller_s"), [(0.1, None), (30.0, 0.1)])
def test_an_endless_statement_ends_with_its_time(
    shop: MysqlShop, sql: str, seconds: float, caller_s: float | None
) -> None:
    shop.query("SELECT 1")
    begun = time.monotonic()
    deadline = begun + caller_s if caller_s is not None else None
    refused = shop.refusal(sql, max_seconds=seconds, cancellation=Cancellation(deadline))
    took = time.monotonic() - begun

    assert (refused.reason, refused.rule) == (Reason.EXECUTION_TIMED_OUT, "limits/seconds")
    assert 0.1 <= took < 0.1 + GRACE_S
    assert eventually(lambda: shop.running() == [], GRACE_S)
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("mysql:stop:deadline")
def test_the_server_stops_it_by_itself_where_we_do_not(shop: MysqlShop, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[mysql_session.Session] = []
    close = mysql_session.Session.close
    monkeypatch.setattr(mysql, "_end_connection", lambda *_: None)
    monkeypatch.setattr(mysql_session.Session, "close", lambda session: left.append(session))  # noqa: PLW0108 - a method, which a builtin is not
    shop.refusal(ENDLESS, max_seconds=0.1)

    assert shop.running() != []
    assert eventually(lambda: shop.running() == [], 3)
    for session in left:
        close(session)


@pytest.mark.requirement("mysql:stop:deadline")
def test_a_call_whose_time_is_over_does_not_begin(shop: MysqlShop) -> None:
    refused = shop.refusal("SELECT 1", cancellation=Cancellation(time.monotonic() - 1))

    assert refused.reason is Reason.EXECUTION_TIMED_OUT
    assert shop.sessions() == 0


@pytest.mark.requirement("mysql:stop:cancel")
def test_a_cancelled_call_stops_at_the_engine(shop: MysqlShop) -> None:
    cancellation = Cancellation()
    threading.Timer(0.2, cancellation.cancel).start()
    begun = time.monotonic()

    refused = shop.refusal(ENDLESS, cancellation=cancellation)

    assert refused.reason is Reason.CALL_CANCELLED
    assert time.monotonic() - begun < 0.2 + GRACE_S
    assert eventually(lambda: shop.running() == [], GRACE_S)


@pytest.mark.requirement("mysql:stop:cancel")
def test_cancellations_at_any_moment_stop_nobody_else(shop: MysqlShop) -> None:
    counting = ENDLESS.replace("FROM n)", "FROM n WHERE i < 2000)")

    def ask(number: int) -> object:
        cancellation = Cancellation()
        if number % 2:
            threading.Timer(number * 0.0005, cancellation.cancel).start()
        try:
            return shop.query(counting, cancellation=cancellation)
        except Refused as refused:
            return refused.reason

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(40)))
    assert all(found[number] == [(2000,)] for number in range(0, 40, 2))
    assert {repr(one) for one in found} <= {"[(2000,)]", repr(Reason.CALL_CANCELLED)}


@pytest.mark.requirement("mysql:stop:cancel")
def test_a_late_cancellation_stops_nobody_else(shop: MysqlShop) -> None:
    late = [Cancellation() for _ in range(20)]
    for cancellation in late:
        shop.run("SELECT 1", cancellation=cancellation)
    canceller = threading.Thread(target=lambda: [one.cancel() for one in late])
    canceller.start()

    assert shop.query(ENDLESS.replace("FROM n)", "FROM n WHERE i < 20000)")) == [(20_000,)]
    canceller.join()


@pytest.mark.requirement("mysql:session:kept")
def test_a_session_serves_on_after_errors(shop: MysqlShop) -> None:
    for sql in ("SELECT (SELECT id FROM customers)", "SELECT nothing", "SELECT 1 FROM", "DO 1"):
        with pytest.raises((PlanStale, Refused)):
            shop.run(sql)
        assert shop.query("SELECT 1") == [(1,)]
    assert shop.sessions() == 1


@pytest.mark.requirement("mysql:session:kept")
def test_a_session_that_died_while_idle_is_opened_anew(shop: MysqlShop, database: Server) -> None:
    ((first,),) = shop.query("SELECT connection_id()")
    database.ask(f"KILL {first}")
    assert eventually(lambda: shop.sessions() == 0, 2)

    assert shop.query("SELECT connection_id()") != [(first,)]


@pytest.mark.requirement("mysql:session:kept")
def test_a_session_that_dies_while_it_runs_is_unavailable(shop: MysqlShop, database: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(shop.refusal, "SELECT sleep(20)", max_seconds=10)
        assert eventually(lambda: shop.running() != [], 5)
        login = shop.shape.login
        ((number,),) = database.ask(f"SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{login}'")
        database.ask(f"KILL {number}")

        assert asked.result(5).reason is Reason.EXECUTOR_UNAVAILABLE


ROWS_THEN = "SELECT IF(n = 150, {}, REPEAT('x', 60)) FROM ({}) numbers ORDER BY n"
NUMBERS = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 150) SELECT n FROM n"


@pytest.mark.requirement("mysql:session:kept")
def test_an_error_after_the_rows_that_were_asked_for_takes_none_of_them(shop: MysqlShop) -> None:
    ((session,),) = shop.query("SELECT connection_id()")
    several = "(SELECT name FROM customers WHERE customers.id <> n)"
    fetched = shop.run(ROWS_THEN.format(several, NUMBERS), max_bytes=1_000)

    assert (fetched.truncation, len(fetched.rows)) == (Truncation.BYTES, 17)
    assert shop.query("SELECT connection_id()") == [(session,)]


@pytest.mark.requirement("mysql:session:kept")
def test_a_text_that_is_none_after_the_rows_that_were_asked_for_ends_the_session(
    shop: MysqlShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(text: bytes) -> str:
        if text == b"bad":
            raise UnicodeDecodeError("utf-8", text, 0, 1, "as a server with another encoding sends")
        return text.decode()

    ((session,),) = shop.query("SELECT connection_id()")
    with monkeypatch.context() as patched:
        patched.setattr(mysql_session, "readers_of", lambda columns: [read for _ in columns])
        fetched = shop.run(ROWS_THEN.format("'bad'", NUMBERS), max_bytes=1_000)

    assert (fetched.truncation, len(fetched.rows)) == (Truncation.BYTES, 17)
    assert shop.query("SELECT connection_id()") != [(session,)]


@pytest.mark.requirement("mysql:session:state")
def test_a_state_that_the_server_does_not_take_is_told_to_operators(
    shop: MysqlShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sandbox.telemetry.events._often", {})
    monkeypatch.setattr(mysql_talk, "_STATE", {"sql_mode": "'NOTHING_KNOWN'"})
    refused = shop.refusal("SELECT 1")

    assert refused.reason is Reason.EXECUTOR_UNAVAILABLE
    (event,) = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "session not settled" in line]
    assert (event["kind"], event["causes"]) == ("sessions", "1231")


@pytest.mark.requirement("mysql:session:kept")
def test_a_session_serves_one_set_of_claims_alone(shop: MysqlShop) -> None:
    sql = "SELECT connection_id()"
    ((eu,),), ((us,),), ((none,),) = shop.query(sql, region="EU"), shop.query(sql, region="US"), shop.query(sql)

    assert len({eu, us, none}) == 3
    assert shop.query(sql, region="EU") == [(eu,)]
    assert shop.query(sql) == [(none,)]


@pytest.mark.requirement("mysql:session:kept")
def test_forgetting_closes_what_is_idle_and_no_more_is_kept_than_may_be(
    shop: MysqlShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        shop.query("SELECT 1", region=str(number))
    assert eventually(lambda: shop.sessions() <= server.MAX_IDLE, 2)
    shop.executor.forget()
    assert eventually(lambda: shop.sessions() == 0, 2)

    shop.query("SELECT 1")
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 120)
    shop.query("SELECT 1", region="EU")
    assert eventually(lambda: shop.sessions() == 1, 2)


@pytest.mark.requirement("mysql:session:changed")
@pytest.mark.parametrize(
    "change",
    [
        (
            "RENAME TABLE orders TO away;"
            "CREATE VIEW orders AS SELECT id, word AS region, 1 AS cents, 1 AS customer FROM secrets"
        ),
        "RENAME TABLE orders TO away",
        "ALTER TABLE orders DROP COLUMN customer",
        "ALTER TABLE orders RENAME COLUMN region TO land",
        "DROP VIEW {login}.orders",
        "DROP DATABASE {login}",
    ],
)
def test_a_changed_table_is_noticed_before_anything_is_read(mariadb: Server, tmp_path: Path, change: str) -> None:
    shop = made(mariadb, tmp_path, "sessions_changed")
    sql = "SELECT id FROM orders ORDER BY id"
    assert shop.query(sql, region=CANARY) == [(4,)]
    mariadb.ask(change.format(login=shop.shape.login), "sessions_changed")
    try:
        with pytest.raises((PlanStale, Refused)) as caught:
            shop.run(sql, region=CANARY)
    finally:
        shop.executor.close()

    assert isinstance(caught.value, PlanStale) or caught.value.reason is Reason.EXECUTOR_UNAVAILABLE


@pytest.mark.requirement("mysql:session:changed")
def test_a_view_that_tools_read_may_not_become_a_table(mariadb: Server, tmp_path: Path) -> None:
    shop = made(mariadb, tmp_path, "sessions_kinds")
    believing = Confinement(key=Digest("k"), tables=RULES, views=frozenset({"customers"}), max_bytes=1_000)
    with pytest.raises(PlanStale):
        shop.executor.run(shop.plan("SELECT id FROM customers"), believing, shop.lease(), Cancellation())
    shop.executor.close()


@pytest.mark.requirement("mysql:session:changed")
def test_while_a_statement_runs_its_tables_stay_what_they_are(mariadb: Server, tmp_path: Path) -> None:
    shop = made(mariadb, tmp_path, "sessions_locked")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(shop.query, "SELECT sleep(1), count(*) FROM customers", max_seconds=5)
        assert eventually(lambda: any("sleep" in text for text in shop.running()), 5)
        mariadb.ask("SET SESSION lock_wait_timeout = 5; RENAME TABLE customers TO away", "sessions_locked")

        assert asked.done()
        assert asked.result() == [(0, 3)]
    with pytest.raises(PlanStale):
        shop.run("SELECT count(*) FROM customers")
    shop.executor.close()


@pytest.mark.requirement("mysql:session:kept")
def test_an_unreachable_server_is_unavailable(shop: MysqlShop) -> None:
    dsn = shop.folder / "shop.dsn"
    dsn.write_text("mysql://looks_only:looks@127.0.0.1:1/sessions", "utf-8")
    dsn.chmod(0o600)
    shop.leases._servers.clear()

    refused = shop.refusal("SELECT 1")

    assert (refused.reason, refused.retry_after_s) == (Reason.EXECUTOR_UNAVAILABLE, 1.0)


@pytest.mark.requirement("mysql:claims:signed")
def test_claims_reach_the_views_and_nothing_else_does(shop: MysqlShop) -> None:
    assert shop.query("SELECT id FROM orders ORDER BY id", region="EU") == [(1,), (3,)]
    assert shop.query("SELECT id FROM orders", region="EU' OR '1'='1") == []
    assert shop.query("SELECT id FROM orders", other="EU") == []
    assert shop.query("SELECT claim('region'), claim('nothing')", region="Zoë ☃ 𝄞 \"\\ \n'") == [
        ("Zoë ☃ 𝄞 \"\\ \n'", None)
    ]
    with pytest.raises(PlanStale):
        shop.run("SELECT id FROM orders")


@pytest.mark.requirement("mysql:claims:signed")
def test_a_key_made_anew_is_asked_for_anew(shop: MysqlShop, database: Server) -> None:
    assert len(shop.query("SELECT id FROM orders", region="EU")) == 2
    database.ask(f"UPDATE {mysql.own_database(shop.name)}.claims_key SET inner_key = REPEAT('k', 64)")

    assert len(shop.query("SELECT id FROM orders", region="EU")) == 2
