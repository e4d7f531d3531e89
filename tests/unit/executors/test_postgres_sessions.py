"""Does a session of PostgreSQL stay what it must be: read-only, in its state, stopped in time, never mistaken?"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from executor_cast import CANARY
from postgres_cast import PostgresShop, eventually, made, opened, proxied
from postgres_proxy import Proxy
from postgres_server import Server

from sandbox.executors.engine import Fetched, PlanStale
from sandbox.executors.postgres_claims import signed
from sandbox.executors.postgres_session import MAX_PREPARED, Session
from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
GRACE_S = 0.25


@pytest.fixture(scope="module")
def database(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    made(postgres, tmp_path_factory.mktemp("shop"), "sessions")
    return postgres


@pytest.fixture
def shop(database: Server, tmp_path: Path) -> Iterator[PostgresShop]:
    with opened(PostgresShop(database, tmp_path, "sessions")) as shop:
        yield shop


@pytest.fixture
def proxy(database: Server) -> Iterator[Proxy]:
    with proxied(database) as proxy:
        yield proxy


@pytest.fixture
def far_shop(database: Server, proxy: Proxy, tmp_path: Path) -> Iterator[PostgresShop]:
    with opened(PostgresShop(database, tmp_path, "sessions", host=str(proxy.folder))) as shop:
        yield shop


def until_running(shop: PostgresShop) -> None:
    assert eventually(lambda: any("RECURSIVE" in query for query in shop.running()), 5.0)


STATE = {
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "transaction_read_only": "on",
    "default_transaction_read_only": "on",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "client_encoding": "UTF8",
    "statement_timeout": "5500ms",
    "client_connection_check_interval": "250ms",
    "idle_session_timeout": "65s",
    "is_superuser": "off",
}


@pytest.mark.requirement("postgres:session:state")
def test_a_session_is_in_its_state(shop: PostgresShop) -> None:
    settings = ", ".join(f"current_setting('{name}')" for name in STATE)

    assert shop.query(f"SELECT {settings}") == [tuple(STATE.values())]
    assert shop.query("SELECT current_user::text, session_user::text") == [(shop.shape.login, shop.shape.login)]


@pytest.mark.requirement("postgres:session:state")
@pytest.mark.parametrize(
    ("told", "instead"),
    [
        (b"search_path=pg_catalog", b"search_path=public,abc"),
        (b"default_transaction_read_only=on", b"default_transaction_read_only=no"),
        (b"standard_conforming_strings=on", b"standard_conforming_strings=no"),
        (b"TimeZone=UTC", b"TimeZone=EET"),
    ],
)
def test_a_server_that_was_told_otherwise_is_not_used(
    far_shop: PostgresShop, proxy: Proxy, told: bytes, instead: bytes
) -> None:
    assert far_shop.query("SELECT 1") == [(1,)]
    far_shop.executor.forget()
    proxy.to_server = lambda sent: sent.replace(told, instead)

    assert far_shop.refusal("SELECT 1").reason is Reason.EXECUTOR_UNAVAILABLE


@pytest.mark.requirement("postgres:session:read-only")
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO public.written VALUES (1)",
        "INSERT INTO public.written VALUES (1) RETURNING x",
        "WITH w AS (INSERT INTO public.written VALUES (1) RETURNING x) SELECT x FROM w",
        "COMMIT",
        "BEGIN",
        "SET search_path = public",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "CREATE TABLE public.more (x int)",
        "SELECT 1 INTO public.more",
        "DISCARD ALL",
        "LISTEN x",
        "DO $$ BEGIN END $$",
        "PREPARE begin AS SELECT 1",
        "DECLARE c CURSOR FOR SELECT 1",
        "COPY public.written TO STDOUT",
    ],
)
def test_nothing_but_reading_runs_though_the_login_may_write(shop: PostgresShop, database: Server, sql: str) -> None:
    with database.connect("sessions") as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS public.written (x int)")
        owner.execute(f"GRANT ALL ON public.written TO {shop.shape.login}".encode())

    with pytest.raises(PlanStale):
        shop.run(sql)

    with database.connect("sessions") as owner:
        assert owner.execute("SELECT count(*) FROM public.written").fetchall() == [(0,)]
    assert shop.query("SELECT current_setting('search_path')") == [("pg_catalog",)]


@pytest.mark.requirement("postgres:session:read-only")
@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE public.orders", "SELECT 1; COMMIT; SELECT 2"]
)
def test_a_text_is_one_statement(shop: PostgresShop, sql: str) -> None:
    assert shop.refusal(sql).metadata == {"error": "syntax"}


@pytest.mark.requirement("postgres:session:read-only")
def test_what_a_statement_sets_is_gone_after_it(shop: PostgresShop) -> None:
    shop.query("SELECT set_config('search_path', 'public', false), set_config('statement_timeout', '0', false)")

    settings = "SELECT current_setting('search_path'), current_setting('statement_timeout')"
    assert shop.query(settings) == [("pg_catalog", "5500ms")]
    with pytest.raises(PlanStale):
        shop.run("SELECT set_config('transaction_read_only', 'off', true)")


@pytest.mark.requirement("postgres:stop:deadline")
@pytest.mark.parametrize(("seconds", "caller_s"), [(0.2, None), (30.0, 0.2)])
def test_an_endless_statement_ends_with_its_time(shop: PostgresShop, seconds: float, caller_s: float | None) -> None:
    shop.query("SELECT 1", max_seconds=seconds)
    begun = time.monotonic()
    cancellation = Cancellation(begun + caller_s if caller_s is not None else None)

    refused = shop.refusal(ENDLESS, max_seconds=seconds, cancellation=cancellation)

    assert (refused.reason, refused.rule) == (Reason.EXECUTION_TIMED_OUT, "limits/seconds")
    assert shop.running() == []
    assert 0.2 <= time.monotonic() - begun < 0.2 + GRACE_S


@pytest.mark.requirement("postgres:stop:deadline")
def test_the_server_stops_it_by_itself_where_we_do_not(shop: PostgresShop) -> None:
    assert shop.query("SELECT current_setting('statement_timeout')", max_seconds=0.2) == [("700ms",)]


@pytest.mark.requirement("postgres:stop:deadline")
def test_a_call_whose_time_is_over_does_not_begin(shop: PostgresShop) -> None:
    over = Cancellation(time.monotonic() - 1)

    assert shop.refusal("SELECT 1", cancellation=over).reason is Reason.EXECUTION_TIMED_OUT
    assert shop.sessions() == 0


@pytest.mark.requirement("postgres:stop:cancel")
def test_a_cancelled_call_stops_at_the_engine(shop: PostgresShop) -> None:
    cancellation, ended = Cancellation(), threading.Event()

    def call() -> None:
        assert shop.refusal(ENDLESS, cancellation=cancellation).reason is Reason.CALL_CANCELLED
        ended.set()

    thread = threading.Thread(target=call)
    thread.start()
    until_running(shop)
    begun = time.monotonic()
    cancellation.cancel()

    assert eventually(lambda: not shop.running(), GRACE_S)
    assert ended.wait(GRACE_S)
    assert time.monotonic() - begun < GRACE_S
    thread.join()


@pytest.mark.requirement("postgres:stop:cancel")
def test_a_call_cancelled_before_does_not_begin(shop: PostgresShop) -> None:
    cancellation = Cancellation()
    cancellation.cancel()

    assert shop.refusal("SELECT 1", cancellation=cancellation).reason is Reason.CALL_CANCELLED
    assert shop.sessions() == 0


@pytest.mark.requirement("postgres:stop:cancel")
def test_cancellations_at_any_moment_stop_nobody_else(shop: PostgresShop) -> None:
    """Two hundred calls over one session, each cancelled at another moment; every next one is whole."""
    counting = "SELECT count(*) FROM generate_series(1, 20000)"
    for number in range(200):
        cancellation = Cancellation()
        timer = threading.Timer(number * 0.00002, cancellation.cancel)
        timer.start()
        try:
            shop.run(counting, cancellation=cancellation)
        except Refused as refused:
            assert refused.reason is Reason.CALL_CANCELLED  # noqa: PT017 - either way is right
        assert shop.query("SELECT count(*) FROM generate_series(1, 2000)") == [(2000,)]
        timer.join()


@pytest.mark.requirement("postgres:stop:cancel")
def test_a_late_cancellation_stops_nobody_else(shop: PostgresShop) -> None:
    late = [Cancellation() for _ in range(50)]
    for cancellation in late:
        shop.run("SELECT 1", cancellation=cancellation)
    canceller = threading.Thread(target=lambda: [one.cancel() for one in late])
    canceller.start()

    assert shop.query("SELECT count(*) FROM generate_series(1, 300000)") == [(300_000,)]
    canceller.join()


@pytest.mark.requirement("postgres:session:kept")
def test_a_session_serves_on_after_errors_and_stops(shop: PostgresShop) -> None:
    for _ in range(3):
        assert shop.refusal("SELECT 1/0").reason is Reason.SQL_FAILED
        assert shop.refusal(ENDLESS, cancellation=Cancellation(time.monotonic() + 0.05)).reason is (
            Reason.EXECUTION_TIMED_OUT
        )
        assert shop.query("SELECT 1") == [(1,)]
    assert shop.sessions() == 1


@pytest.mark.requirement("postgres:session:kept")
def test_a_session_that_died_while_idle_is_opened_anew(shop: PostgresShop, database: Server) -> None:
    assert shop.query("SELECT 1") == [(1,)]
    with database.connect() as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (shop.shape.login,))
    assert eventually(lambda: shop.sessions() == 0, 5.0)

    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("postgres:session:kept")
def test_a_session_that_dies_while_it_runs_is_unavailable_and_never_asked_twice(
    shop: PostgresShop, database: Server
) -> None:
    refusals = []
    thread = threading.Thread(target=lambda: refusals.append(shop.refusal(ENDLESS)))
    thread.start()
    until_running(shop)
    with database.connect() as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (shop.shape.login,))
    thread.join(timeout=10)

    assert [refused.reason for refused in refusals] == [Reason.EXECUTOR_UNAVAILABLE]
    assert shop.sessions() == 0
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("postgres:session:kept")
def test_forgetting_closes_what_is_idle(shop: PostgresShop) -> None:
    shop.query("SELECT 1")
    shop.executor.forget()

    assert eventually(lambda: shop.sessions() == 0, 5.0)


@pytest.mark.requirement("postgres:session:statements")
def test_a_session_keeps_a_bounded_number_prepared(shop: PostgresShop, database: Server) -> None:
    with database.connect("sessions") as owner:
        owner.execute(f"GRANT EXECUTE ON FUNCTION pg_prepared_statement() TO {shop.shape.login}".encode())
    for number in range(MAX_PREPARED + 10):
        assert shop.query(f"SELECT {number}") == [(number,)]
    assert shop.query("SELECT 0") == [(0,)]

    ((kept,),) = shop.query("SELECT count(*) FROM pg_catalog.pg_prepared_statements")
    assert kept == MAX_PREPARED + 4


@pytest.mark.requirement("postgres:session:statements")
def test_a_view_made_anew_is_read_anew(shop: PostgresShop, database: Server) -> None:
    sql = "SELECT * FROM public.customers WHERE id = 1"
    assert shop.query(sql) == [(1, "Ada Lovelace", "1815-12-10")]
    view = f'{shop.shape.schema}."public.customers"'
    script = """DROP VIEW ?; CREATE VIEW ? AS SELECT id, name, id + 1 AS born FROM public.customers;
                ALTER VIEW ? OWNER TO sandbox_views; GRANT SELECT ON ? TO {login}"""
    with database.connect("sessions") as owner:
        owner.execute(script.replace("?", view).format(login=shop.shape.login).encode())
    try:
        assert shop.query(sql) == [(1, "Ada Lovelace", 2)]
    finally:
        shop.set_up()


@pytest.mark.requirement("postgres:claims:signed")
def test_claims_reach_the_views_and_nothing_else_does(shop: PostgresShop) -> None:
    assert shop.query("SELECT id FROM public.orders ORDER BY id", region="EU") == [(1,), (3,)]
    assert shop.query("SELECT id FROM public.orders", region="EU' OR '1'='1") == []
    with pytest.raises(PlanStale):
        shop.run("SELECT id FROM public.orders")


@pytest.mark.requirement("postgres:claims:signed")
def test_a_forged_or_replayed_claim_shows_no_row(shop: PostgresShop) -> None:
    with shop.server.connect("sessions") as owner:
        ((key,),) = owner.execute("SELECT key FROM sandbox.claims_key").fetchall()
    seen = "SELECT current_setting('sandbox.claims'), pg_backend_pid(), count(*) FROM public.orders"
    ((token, pid, count),) = shop.query(seen, region="EU")
    forged = {
        token,
        signed({"region": CANARY}, b"x" * 32, str(pid), "0").decode(),
        signed({"region": CANARY}, key, str(pid), "0").decode(),
        token.partition(".")[0],
        "",
        "eyJyZWdpb24iOiAiVVMifQ==" + token[token.index(".") :],
    }

    assert count == 2
    for setting in forged:
        forging = "SELECT set_config('sandbox.claims', $1, false) AS s OFFSET 0"
        sql = f"SELECT s, o.id FROM ({forging}) AS f, public.orders AS o"  # noqa: S608 - the attack itself
        with pytest.raises(PlanStale):
            shop.run(sql, parameters={"a": setting}, region="EU")


@pytest.mark.requirement("postgres:claims:signed")
def test_a_key_made_anew_is_asked_for_anew(shop: PostgresShop, database: Server) -> None:
    sql = "SELECT count(*) FROM public.orders"
    assert shop.query(sql, region="EU") == [(2,)]
    with database.connect("sessions") as owner:
        owner.execute("DELETE FROM sandbox.claims_key")
    shop.set_up()

    assert shop.query(sql, region="EU") == [(2,)]


@pytest.mark.requirement("postgres:claims:signed")
def test_a_key_that_another_call_has_asked_for_anew_is_tried_too(
    shop: PostgresShop, database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call signs with the old key; before it looks why it was not believed, another has fetched the new one."""
    sql, run = "SELECT count(*) FROM public.orders", Session.run
    assert shop.query(sql, region="EU") == [(2,)]
    with database.connect("sessions") as owner:
        owner.execute("DELETE FROM sandbox.claims_key")
    shop.set_up()
    with database.connect("sessions") as owner:
        ((new_key,),) = owner.execute("SELECT key FROM sandbox.claims_key").fetchall()

    def beside_another(*call: Any) -> Fetched:
        try:
            return run(*call)
        except PlanStale:
            shop.executor._claims_key = new_key
            raise

    monkeypatch.setattr(Session, "run", beside_another)
    assert shop.query(sql, region="EU") == [(2,)]


@pytest.mark.requirement("postgres:session:kept")
def test_a_session_of_an_earlier_catalogue_is_not_kept_whenever_that_is_forgotten(
    shop: PostgresShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = shop.executor._idle
    give_back = idle.give_back

    def forgotten_just_before(*session: Any, **more: Any) -> None:
        shop.executor.forget()
        give_back(*session, **more)

    monkeypatch.setattr(idle, "give_back", forgotten_just_before)
    assert shop.query("SELECT 1") == [(1,)]

    assert idle.taken((shop.shape.login, shop.plan("SELECT 1").max_seconds)) is None
    assert eventually(lambda: shop.sessions() == 0, 5.0)


@pytest.mark.requirement("postgres:session:places")
def test_calls_beyond_the_places_wait_within_their_time(
    database: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.executors.server.MAX_RUNNING", 2)
    shop = PostgresShop(database, tmp_path, "sessions")
    counting = "SELECT count(*) FROM generate_series(1, 200000)"
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: shop.query(counting), range(16))) == [[(200_000,)]] * 16
    assert shop.sessions() == 2

    stopping, impatient = Cancellation(), Cancellation()
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(shop.refusal, ENDLESS, cancellation=stopping) for _ in range(2)]
        until_running(shop)
        assert eventually(lambda: len(shop.running()) == 2, 5.0)
        assert shop.refusal("SELECT 1", max_seconds=0.1).reason is Reason.EXECUTION_TIMED_OUT
        threading.Timer(0.05, impatient.cancel).start()
        assert shop.refusal("SELECT 1", cancellation=impatient).reason is Reason.CALL_CANCELLED
        stopping.cancel()
        assert {one.result().reason for one in held} == {Reason.CALL_CANCELLED}
    assert shop.query("SELECT 1") == [(1,)]
    shop.executor.close()


@pytest.mark.requirement("postgres:session:kept")
def test_an_unreachable_server_is_unavailable(shop: PostgresShop, tmp_path: Path) -> None:
    away = PostgresShop(shop.server, tmp_path, "sessions", host="/nowhere/at/all")

    assert away.refusal("SELECT 1").reason is Reason.EXECUTOR_UNAVAILABLE
