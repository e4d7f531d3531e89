"""What if the gate let everything through? A tool's login on PostgreSQL stops every write and shows nothing hidden.

Each statement runs as the tool's own login, without gate and without executor, in a transaction that may write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from ledger_cast import CLAIMS_LOGIN, HIDDEN, PROGRAMS, Ledger, ledger_on, told
from login_attacks import NOTHING_HIDDEN, ORACLES, REFUSED, C, V


@pytest.fixture(scope="module", params=[18, 15])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if not (PROGRAMS[request.param] / "postgres").exists():
        pytest.skip("needs Debian's package `postgresql-15`")
    with ledger_on(request.param) as made:
        made.run(made.script())
        yield made


@pytest.fixture(scope="module")
def tool(ledger: Ledger) -> Iterator[psycopg.Connection]:
    """A session of the tool's login, its defaults undone."""
    with ledger.login() as connection:
        for setting in ("default_transaction_read_only = off", "statement_timeout = 10000", "lock_timeout = 1000"):
            connection.execute(f"SET {setting}".encode())
        yield connection


def answer(tool: psycopg.Connection, statement: str, key: bytes | None = None) -> str:
    """Return what the engine says: rows as text, or its error, which is raised on where it is none of a right."""
    tool.execute("BEGIN READ WRITE")
    try:
        if key is not None:
            told(tool, {"region": "EU"}, key)
        cursor = tool.execute(statement.encode())
        return repr(cursor.fetchall()) if cursor.description else cursor.statusmessage or ""
    finally:
        tool.execute("ROLLBACK")


def contents(ledger: Ledger) -> list[object]:
    with ledger.owner() as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()
            for table in (
                "public.orders",
                "public.customers",
                "public.secrets",
                "sales.targets",
                "pg_largeobject_metadata",
            )
        ]


_NO_RIGHT = "42501"
_NO_SUCH_THING = {
    f"SELECT note FROM {V}": "42703",
    f"SELECT card FROM {C}": "42703",
    f"SELECT born FROM {C}": "42703",
    f"SELECT * FROM {V} TABLESAMPLE SYSTEM (100)": "0A000",
}
"""A view has no such column and no sample; PostgreSQL 15 has no MERGE into views either."""


@pytest.mark.requirement("doctor:login:refused")
@pytest.mark.parametrize("kind", list(REFUSED))
def test_the_login_alone_stops_what_writes_reads_or_touches_more_than_its_views(
    ledger: Ledger, tool: psycopg.Connection, kind: str
) -> None:
    key, before, wrong = ledger.claims_key(), contents(ledger), []
    for statement in REFUSED[kind]:
        try:
            said = answer(tool, statement, key)
        except psycopg.Error as error:
            accepted = {_NO_SUCH_THING.get(statement, _NO_RIGHT)}
            if statement.startswith("MERGE") and ledger.server.version == 15:
                accepted = {"0A000"}
            if error.sqlstate not in accepted or HIDDEN in str(error):
                wrong.append(f"{statement}: {error.sqlstate} {error}")
        else:
            wrong.append(f"{statement}: {said}")

    assert wrong == []
    assert contents(ledger) == before


@pytest.mark.requirement("doctor:login:nothing-hidden")
def test_what_the_login_may_ask_shows_nothing_hidden(ledger: Ledger, tool: psycopg.Connection) -> None:
    key = ledger.claims_key()
    answers = {statement: answer(tool, statement, key) for statement in NOTHING_HIDDEN}

    leaks = [f"{statement}: {said}" for statement, said in answers.items() if HIDDEN in said or "SCRAM-SHA" in said]
    assert leaks == []
    assert "987654321" not in "".join(answers.values())
    assert not [
        statement for statement in NOTHING_HIDDEN if V in statement and re.search(r"'US'|\(2,|\(4,", answers[statement])
    ]
    assert answers["SELECT has_table_privilege('public.secrets', 'SELECT')"] == "[(False,)]"
    assert ledger.claims_key().hex() not in "".join(answers.values())


@pytest.mark.requirement("doctor:login:no-oracle")
@pytest.mark.parametrize("statement", ORACLES)
def test_a_condition_that_fails_on_hidden_rows_never_meets_one(
    ledger: Ledger, tool: psycopg.Connection, statement: str
) -> None:
    with ledger.owner() as connection:
        bare = statement.replace(V, "public.orders")
        with pytest.raises(psycopg.Error):  # the hidden rows would make it fail
            connection.execute(bare.encode())
    said = answer(tool, statement, ledger.claims_key())

    assert HIDDEN not in said


@pytest.mark.requirement("doctor:login:no-oracle")
def test_a_function_of_its_own_that_tells_what_it_sees_cannot_be_made(tool: psycopg.Connection) -> None:
    leaky = "CREATE FUNCTION pg_temp.tells(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN END $$"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        answer(tool, leaky)


def claimed_rows(tool: psycopg.Connection) -> int:
    return len(tool.execute(f"SELECT * FROM {V}".encode()).fetchall())


@pytest.mark.requirement("doctor:claims:forged")
@pytest.mark.parametrize(
    "token", ["", "x", ".", "e30=.", "eyJyZWdpb24iOiAiVVMifQ==." + "0" * 64, "EU", "e30=", "e30=.e30=.e30="]
)
def test_a_claim_that_the_service_did_not_sign_is_an_error_never_null(tool: psycopg.Connection, token: str) -> None:
    tool.execute("BEGIN")
    try:
        tool.execute("SELECT set_config('sandbox.claims', %s, true)", [token])
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no claims were told"):
            claimed_rows(tool)
    finally:
        tool.execute("ROLLBACK")


@pytest.mark.requirement("doctor:claims:forged")
def test_without_any_token_a_claim_is_an_error_and_with_one_an_absent_claim_is_null(
    ledger: Ledger, tool: psycopg.Connection
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no claims were told"):
        claimed_rows(tool)
    tool.execute("BEGIN")
    told(tool, {"other": "EU"}, ledger.claims_key())
    assert tool.execute("SELECT sandbox.claim('region') IS NULL, sandbox.claim('other')").fetchone() == (True, "EU")
    assert claimed_rows(tool) == 0
    tool.execute("ROLLBACK")


@pytest.mark.requirement("doctor:claims:replayed")
def test_a_token_is_worth_nothing_in_another_session_or_a_later_transaction(
    ledger: Ledger, tool: psycopg.Connection
) -> None:
    key = ledger.claims_key()
    tool.execute("BEGIN")
    token = told(tool, {"region": "EU"}, key)
    assert claimed_rows(tool) == 2
    with ledger.login() as neighbour:
        neighbour.execute("BEGIN")
        neighbour.execute("SELECT set_config('sandbox.claims', %s, true)", [token])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            claimed_rows(neighbour)
        neighbour.execute("ROLLBACK")
    tool.execute("COMMIT")

    tool.execute("BEGIN")
    tool.execute("SELECT set_config('sandbox.claims', %s, true)", [token])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        claimed_rows(tool)
    tool.execute("ROLLBACK")


@pytest.mark.requirement("doctor:claims:replayed")
def test_what_is_set_for_the_session_does_not_outlive_the_transaction_it_was_signed_for(
    ledger: Ledger, tool: psycopg.Connection
) -> None:
    tool.execute("BEGIN")
    token = told(tool, {"region": "EU"}, ledger.claims_key())
    tool.execute("SELECT set_config('sandbox.claims', %s, false)", [token])
    tool.execute("COMMIT")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        claimed_rows(tool)
    tool.execute("RESET sandbox.claims")


@pytest.mark.requirement("doctor:claims:search-path")
def test_the_caller_s_search_path_and_objects_do_not_reach_the_claims_function(
    ledger: Ledger, tool: psycopg.Connection
) -> None:
    ledger.run(
        "CREATE FUNCTION public.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT 'x'::bytea $$;"
        "CREATE FUNCTION public.split_part(text, text, int) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$"
    )
    try:
        tool.execute("BEGIN")
        tool.execute("SET LOCAL search_path = public, pg_catalog")
        tool.execute("SELECT pg_catalog.set_config('sandbox.claims', 'x.78', true)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            claimed_rows(tool)
        tool.execute("ROLLBACK")
    finally:
        ledger.run("DROP FUNCTION public.sha256(bytea), public.split_part(text, text, integer)")


@pytest.mark.requirement("doctor:login:neighbours")
def test_neighbours_of_the_same_login_do_not_see_or_stop_each_other(ledger: Ledger, tool: psycopg.Connection) -> None:
    with ledger.login() as neighbour:
        pid = neighbour.info.backend_pid
        for statement in (
            f"SELECT pg_stat_get_backend_activity(1), {pid}",
            f"SELECT * FROM pg_stat_get_activity({pid})",
            f"SELECT pg_terminate_backend({pid})",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                answer(tool, statement)
        assert neighbour.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.requirement("doctor:login:refused")
@pytest.mark.parametrize("statement", ["CREATE DATABASE mine", "ALTER SYSTEM SET log_statement = 'none'"])
def test_what_runs_outside_transactions_alone_is_refused_too(tool: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tool.execute(statement.encode())


@pytest.mark.requirement("doctor:login:refused")
def test_a_login_cannot_pass_on_what_it_may_read(ledger: Ledger, tool: psycopg.Connection) -> None:
    tool.execute(f"GRANT SELECT ON {V} TO PUBLIC".encode())  # a warning: no privileges were granted

    assert ledger.findings() == ()


@pytest.mark.requirement("doctor:login:refused")
def test_the_claims_login_gets_the_key_and_nothing_else(ledger: Ledger) -> None:
    with ledger.login(CLAIMS_LOGIN) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in (
            "SELECT * FROM public.orders", f"SELECT * FROM {C}", "SELECT * FROM sandbox.claims_key",
            "SELECT * FROM sandbox.canary_view", "SELECT sandbox.claim('region')", "CREATE TEMPORARY TABLE x (y int)",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        assert len(ledger.claims_key()) == 32


@pytest.mark.requirement("doctor:login:refused")
def test_there_are_attacks_enough() -> None:
    assert sum(map(len, REFUSED.values())) + len(NOTHING_HIDDEN) + len(ORACLES) > 180
