"""Does the doctor find each fault that would let a login do more, or a tool see less, and does its remedy mend it?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from ledger_cast import (
    BYSTANDER,
    CLAIMS_LOGIN,
    CONNECTION,
    LEASE_KEY,
    LEDGER,
    OTHER_SHAPE,
    PROBE,
    SHAPE,
    Ledger,
    ledger_set_up,
)
from postgres_server import Server

from sandbox.doctor.check_canary import connect
from sandbox.doctor.findings import Undecided
from sandbox.doctor.functions import CLAIM
from sandbox.doctor.postgres import CHECKS, examine

LOGIN = SHAPE.login
AGAIN = "sandbox doctor --setup-sql ledger"
ORDERS = f'{SHAPE.schema}."public.orders"'
CUSTOMERS = f'{SHAPE.schema}."public.customers"'
SALES_TO_ALL = "GRANT USAGE ON SCHEMA sales TO PUBLIC"
OF_SECRETS = 'id, word AS name, word AS "order", word AS a$b'
COLUMNS = "id, region, cents, customer, mail"

PLAIN = f"CREATE FUNCTION {BYSTANDER}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
TAKEN = f"REVOKE ALL ON FUNCTION {BYSTANDER}.f()"
DEFINER = f"CREATE FUNCTION {BYSTANDER}.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"

FAULTS = {
    # More than the script gives: through PUBLIC,
    "table to public": ("GRANT SELECT ON public.orders TO PUBLIC", "reach-public"),
    "column to public": ("GRANT SELECT (note) ON public.orders TO PUBLIC", "reach-public"),
    "sequence to public": ("GRANT USAGE ON SEQUENCE public.numbers TO PUBLIC", "reach-public"),
    "temporary tables": ("GRANT TEMPORARY ON DATABASE ledger TO PUBLIC", "reach-public"),
    "create in public": ("GRANT CREATE ON SCHEMA public TO PUBLIC", "reach-public"),
    "parameter to public": ("GRANT SET ON PARAMETER log_statement TO PUBLIC", "reach-public"),
    "wrapper to public": (
        "CREATE FOREIGN DATA WRAPPER wrapper; GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO PUBLIC",
        "reach-public",
    ),
    "large object to public": ("SELECT lo_create(4242); GRANT SELECT ON LARGE OBJECT 4242 TO PUBLIC", "reach-public"),
    "missing revoke": ("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC", "revoke-missing"),
    "missing revoke, not volatile": (
        "GRANT EXECUTE ON FUNCTION pg_stat_get_activity(integer) TO PUBLIC",
        "revoke-missing",
    ),
    "definer function": (
        "CREATE FUNCTION public.leak() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT word FROM public.secrets'",
        "function-reach",
    ),
    "definer function in another schema": (
        "CREATE FUNCTION sales.leak() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; " + SALES_TO_ALL,
        "function-reach",
    ),
    "internal function": (
        "CREATE FUNCTION public.wait(float8) RETURNS void LANGUAGE internal AS 'pg_sleep'",
        "function-reach",
    ),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
        "default-rights",
    ),
    "default privileges of sequences": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO PUBLIC",
        "default-rights",
    ),
    "default privileges of schemas": ("ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO PUBLIC", "default-rights"),
    "default privileges of large objects": (
        f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON LARGE OBJECTS TO {LOGIN}",
        "default-rights",
    ),
    "key to public": ("GRANT EXECUTE ON FUNCTION sandbox.claims_key_bytes() TO PUBLIC", "right-extra"),
    "schema to public": ("GRANT USAGE ON SCHEMA sandbox TO PUBLIC", "right-extra"),
    # by name,
    "write to a login": (f"GRANT INSERT ON public.orders TO {LOGIN}", "reach"),
    "column to a login": (f"GRANT SELECT (note) ON public.orders TO {LOGIN}", "reach"),
    "passwords to a login": (f"GRANT SELECT ON pg_authid TO {LOGIN}", "reach"),
    "create to a login": (f"GRANT CREATE ON DATABASE ledger TO {LOGIN}", "reach"),
    "file function to a login": (f"GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {LOGIN}", "function-right"),
    "key to a login": (f"GRANT EXECUTE ON FUNCTION sandbox.claims_key_bytes() TO {LOGIN}", "right-extra"),
    "key table to a login": (f"GRANT SELECT ON sandbox.claims_key TO {LOGIN}", "right-extra"),
    "another's view to a login": (f'GRANT SELECT ON {OTHER_SHAPE.schema}."sales.targets" TO {LOGIN}', "right-extra"),
    "write to a view": (f"GRANT UPDATE ON {ORDERS} TO {LOGIN}", "right-extra"),
    "column to the views' owner": ("GRANT SELECT (note) ON public.orders TO sandbox_views", "column-extra"),
    "table to the views' owner": ("GRANT SELECT ON public.secrets TO sandbox_views", "column-extra"),
    "ownership": (f"ALTER TABLE public.secrets OWNER TO {LOGIN}", "ownership"),
    # by membership or attribute.
    "member of a role": (f"GRANT {BYSTANDER} TO {LOGIN}", "role-membership"),
    "member of a predefined role": (f"GRANT pg_read_all_data TO {LOGIN}", "role-membership"),
    "another is a member": (f"GRANT {LOGIN} TO {BYSTANDER}", "role-membership"),
    "another owns views": (f"GRANT sandbox_views TO {BYSTANDER}", "role-membership"),
    "superuser": (f"ALTER ROLE {LOGIN} SUPERUSER", "role-attribute"),
    "bypassrls": (f"ALTER ROLE {LOGIN} BYPASSRLS", "role-attribute"),
    "bypassrls of the owner": ("ALTER ROLE sandbox_views BYPASSRLS", "role-attribute"),
    "inherits": (f"ALTER ROLE {LOGIN} INHERIT", "role-attribute"),
    "the owner can log in": ("ALTER ROLE sandbox_owner LOGIN", "role-login"),
    "sessions without limit": (f"ALTER ROLE {LOGIN} CONNECTION LIMIT -1", "role-limit"),
    "setting gone": (f"ALTER ROLE {LOGIN} RESET default_transaction_read_only", "role-setting"),
    "setting changed": (f"ALTER ROLE {LOGIN} SET search_path = public", "role-setting"),
    "setting added": (f"ALTER ROLE {LOGIN} SET work_mem = '1GB'", "role-setting"),
    "setting in this database": (f"ALTER ROLE {LOGIN} IN DATABASE ledger SET search_path = public", "role-setting"),
    "file limit gone": (f"ALTER ROLE {LOGIN} RESET temp_file_limit", "role-setting"),
    # Not what the script made.
    "view without filter": (
        f"CREATE OR REPLACE VIEW {ORDERS} WITH (security_barrier) AS SELECT {COLUMNS} FROM public.orders",
        "view-changed",
    ),
    "view without barrier": (f"ALTER VIEW {ORDERS} RESET (security_barrier)", "view-changed"),
    "view of another owner": (f"ALTER VIEW {ORDERS} OWNER TO owner", "view-changed"),
    "view of another table": (
        f"CREATE OR REPLACE VIEW {CUSTOMERS} AS SELECT {OF_SECRETS} FROM public.secrets",
        "view-changed",
    ),
    "view with other columns": (f"ALTER VIEW {ORDERS} RENAME COLUMN cents TO amount", "view-changed"),
    "view added": (f"CREATE VIEW {SHAPE.schema}.more AS SELECT * FROM public.secrets", "view-extra"),
    "claim that believes": (
        f"{CLAIM.create().partition(' AS ')[0]} AS $$ BEGIN RETURN current_setting($1, true); END $$",
        "function-changed",
    ),
    "claim without search path": ("ALTER FUNCTION sandbox.claim(text) RESET search_path", "function-changed"),
    "claim of another owner": ("ALTER FUNCTION sandbox.claim(text) OWNER TO owner", "function-changed"),
    "key as its caller": ("ALTER FUNCTION sandbox.claims_key_bytes() SECURITY INVOKER", "function-changed"),
    "function added": ("CREATE FUNCTION sandbox.more() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function-extra"),
    "schema of another owner": ("ALTER SCHEMA sandbox OWNER TO owner", "schema-owner"),
    "schema without comment": ("COMMENT ON SCHEMA sandbox IS NULL", "schema-comment"),
    "schema left over": ("CREATE SCHEMA sandbox_0123456789ab AUTHORIZATION sandbox_views", "schema-outdated"),
    # Less than the tools need.
    "view gone": (f"DROP VIEW {ORDERS}", "view-missing"),
    "function gone": ("DROP VIEW sandbox.canary_view; DROP FUNCTION sandbox.as_text(anyelement)", "function-missing"),
    "schema gone": (f"DROP SCHEMA {SHAPE.schema} CASCADE", "schema-missing"),
    "view not readable": (f"REVOKE SELECT ON {ORDERS} FROM {LOGIN}", "right-missing"),
    "column not readable": ("REVOKE SELECT (cents) ON public.orders FROM sandbox_views", "column-missing"),
    "role gone": (f"DROP OWNED BY {LOGIN}; DROP ROLE {LOGIN}", "role-missing"),
    "no login": (f"ALTER ROLE {LOGIN} NOLOGIN", "role-login"),
    "password expires": (f"ALTER ROLE {LOGIN} VALID UNTIL '2020-01-01'", "role-expiry"),
    "another password": (f"ALTER ROLE {LOGIN} PASSWORD 'another'", "canary-login"),
    "key gone": ("DELETE FROM sandbox.claims_key", "canary-key"),
    "key changed behind the pads": ("UPDATE sandbox.claims_key SET key = '\\x00'", "canary-claims"),
    "canary gone": ("DELETE FROM sandbox.canary", "canary-claims"),
    "row security": ("ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY", "row-security"),
}

LEFT_OVER = (
    "DROP FOREIGN DATA WRAPPER IF EXISTS wrapper;"
    "DROP FUNCTION IF EXISTS public.leak(), sales.leak(), public.wait(float8);"
    "REVOKE USAGE ON SCHEMA sales FROM PUBLIC; ALTER TABLE public.orders DISABLE ROW LEVEL SECURITY;"
    "DROP POLICY IF EXISTS sandbox_reads ON public.orders; ALTER TABLE public.secrets OWNER TO owner;"
    "SELECT lo_unlink(oid) FROM pg_largeobject_metadata;"
)


@pytest.fixture(scope="module", params=[18, 15])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger that is set up; each test leaves it so."""
    with ledger_set_up(request.param) as made:
        yield made


@pytest.mark.requirement("doctor:checks:good")
def test_what_the_script_made_is_found_good_by_every_check(ledger: Ledger) -> None:
    assert ledger.findings() == ()
    assert len(CHECKS) == 19


@pytest.mark.requirement("doctor:checks:compiled")
def test_a_question_of_the_doctor_is_not_compiled(ledger: Ledger) -> None:
    with ledger.owner() as owner:
        owner.execute("ALTER DATABASE ledger SET jit = on")
    dsn = ledger.dsn()
    assert dsn.password is not None
    parameters = {**dsn.server.parameters, "user": dsn.user, "password": dsn.password.reveal()}
    try:
        with closing(connect(parameters)) as connection:
            assert connection.execute("SHOW jit").fetchall() == [("off",)]
    finally:
        ledger.run("ALTER DATABASE ledger RESET jit")


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("ledger", [18], indirect=True)
@pytest.mark.requirement("doctor:checks:faults")
def test_a_fault_is_found_named_and_mended_by_what_the_finding_says(ledger: Ledger, fault: str) -> None:
    statement, check = FAULTS[fault]
    ledger.run(statement)
    try:
        found = ledger.findings()
        assert check in {finding.check for finding in found}, found

        if any(finding.mend == AGAIN for finding in found):
            ledger.run(ledger.script())
            found = ledger.findings()
        with ledger.owner() as connection:
            for mend in dict.fromkeys(finding.mend for finding in found):
                connection.execute(mend.encode())
        assert ledger.findings() == ()
    except BaseException:
        ledger.run(ledger.script())
        raise
    finally:
        ledger.run(LEFT_OVER)


@pytest.mark.requirement("doctor:checks:neighbours")
@pytest.mark.parametrize(
    ("statement", "check"),
    [
        (f"CREATE TABLE {BYSTANDER}.own (x int); GRANT SELECT ON {BYSTANDER}.own TO PUBLIC", "reach-public"),
        (f"GRANT USAGE, CREATE ON SCHEMA {BYSTANDER} TO PUBLIC", "reach-public"),
        ("SELECT lo_create(4243); GRANT SELECT ON LARGE OBJECT 4243 TO PUBLIC", "reach-public"),
        (f"ALTER DEFAULT PRIVILEGES FOR ROLE {BYSTANDER} GRANT SELECT ON TABLES TO PUBLIC", "default-rights"),
        (
            f"GRANT USAGE ON SCHEMA {BYSTANDER} TO PUBLIC; {DEFINER}",
            "function-reach",
        ),
        (f"CREATE TABLE {BYSTANDER}.own (x int); GRANT SELECT ON {BYSTANDER}.own TO {LOGIN}", "reach"),
        (f"GRANT CREATE ON SCHEMA {BYSTANDER} TO {LOGIN}", "reach"),
        (f"CREATE TABLE {BYSTANDER}.own (x int); GRANT SELECT ON {BYSTANDER}.own TO sandbox_views", "column-extra"),
        (
            f"{PLAIN}; {TAKEN} FROM PUBLIC; GRANT EXECUTE ON FUNCTION {BYSTANDER}.f() TO {LOGIN}",
            "function-right",
        ),
        (
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {BYSTANDER} GRANT SELECT ON TABLES TO {LOGIN}",
            "default-rights",
        ),
    ],
)
def test_what_a_neighbour_grants_is_told_and_stops_no_tool(ledger: Ledger, statement: str, check: str) -> None:
    """The attack: an error would let any user of the database stop every tool with one GRANT on what is theirs."""
    ledger.run(f"CREATE SCHEMA {BYSTANDER} AUTHORIZATION {BYSTANDER}")
    try:
        ledger.run(f"SET ROLE {BYSTANDER}; {statement}; RESET ROLE")
        assert {(found.check, found.level) for found in ledger.findings()} == {(check, "warning")}
        if check == "reach-public" and "TABLE" in statement:
            ledger.run(f"GRANT SELECT (x) ON {BYSTANDER}.own TO sandbox_views")
            assert (check, "warning") in {(found.check, found.level) for found in ledger.findings()}
            ledger.run(f"{PROBE.format(f'{BYSTANDER}.own')}")
            assert (check, "error") in {(found.check, found.level) for found in ledger.findings()}
    finally:
        ledger.run(f"DROP VIEW IF EXISTS sales.probe; DROP OWNED BY {BYSTANDER} CASCADE")
    assert ledger.findings() == ()


@pytest.mark.requirement("doctor:checks:outdated")
def test_a_shape_that_no_tool_uses_any_more_is_a_warning_and_what_it_was_never_given_an_error(ledger: Ledger) -> None:
    def found() -> list[tuple[str, str]]:
        findings = examine(CONNECTION, ledger.dsn(), LEASE_KEY, [SHAPE], ledger.catalogue())
        return [(finding.check, finding.level) for finding in findings if finding.check != "other-database"]

    assert found() == [("schema-outdated", "warning")]
    outdated = OTHER_SHAPE.login
    for widened, check in {
        f"SELECT ON {ORDERS} TO {outdated}": "right-extra",
        f"EXECUTE ON FUNCTION sandbox.claims_key_bytes() TO {outdated}": "right-extra",
        f'INSERT ON {OTHER_SHAPE.schema}."sales.targets" TO {outdated}': "right-extra",
        f'SELECT ON {OTHER_SHAPE.schema}."sales.targets" TO {LOGIN}': "right-extra",
        "INSERT (goal) ON sales.targets TO sandbox_views": "column-extra",
        "SELECT ON public.secrets TO sandbox_views": "column-extra",
    }.items():
        ledger.run(f"GRANT {widened}")
        try:
            assert (check, "error") in found()
        finally:
            ledger.run(f"REVOKE {widened.replace(' TO ', ' FROM ')}")


@pytest.mark.requirement("doctor:checks:outdated")
def test_a_schema_called_like_a_shape_that_the_script_did_not_make_is_an_error(ledger: Ledger) -> None:
    ledger.run("CREATE SCHEMA sandbox_0123456789ab AUTHORIZATION owner")
    try:
        assert [(finding.check, finding.level) for finding in ledger.findings()] == [("schema-outdated", "error")]
    finally:
        ledger.run("DROP SCHEMA sandbox_0123456789ab")


@pytest.mark.requirement("doctor:checks:dsn-login")
def test_a_dsn_of_a_superuser_is_an_error_and_one_that_reads_tables_a_warning(ledger: Ledger) -> None:
    (found,) = ledger.findings(ledger.dsn("owner", ledger.server.password))
    assert (found.check, found.level) == ("dsn-login", "error")

    ledger.run("GRANT SELECT (id) ON public.secrets TO looks_only")
    (found,) = ledger.findings()
    assert (found.check, found.level) == ("dsn-login", "warning")
    ledger.run("REVOKE SELECT (id) ON public.secrets FROM looks_only")


@pytest.mark.requirement("doctor:checks:other-databases")
def test_other_databases_that_a_login_may_enter_are_told(ledger: Ledger) -> None:
    found = examine(CONNECTION, ledger.dsn(), LEASE_KEY, [SHAPE, OTHER_SHAPE], ledger.catalogue())

    assert {finding.check for finding in found} == {"other-database"}
    assert all(finding.level == "warning" for finding in found)
    assert any('"postgres"' in finding.message for finding in found)


@pytest.mark.requirement("doctor:checks:other-databases")
@pytest.mark.parametrize("login", [LOGIN, OTHER_SHAPE.login, CLAIMS_LOGIN])
def test_each_login_that_was_let_into_another_database_is_told_and_the_mend_mends(ledger: Ledger, login: str) -> None:
    def of_postgres() -> list[str]:
        found = examine(CONNECTION, ledger.dsn(), LEASE_KEY, ledger.shapes, ledger.catalogue())
        return [one.mend for one in found if one.check == "other-database" and '"postgres"' in one.message]

    (for_public,) = of_postgres()
    with ledger.owner() as connection:
        try:
            connection.execute(f"GRANT CONNECT ON DATABASE postgres TO {login}".encode())
            connection.execute(for_public.encode())
            (by_name,) = of_postgres()
            assert f"FROM {login};" in by_name
            connection.execute(by_name.encode())
            assert of_postgres() == []
        finally:
            connection.execute(f"REVOKE CONNECT ON DATABASE postgres FROM {login}".encode())
            connection.execute(b"GRANT CONNECT ON DATABASE postgres TO PUBLIC")


@pytest.mark.requirement("doctor:checks:undecided")
def test_a_database_that_lets_nobody_in_is_undecided_and_nothing_of_the_dsn_is_told(ledger: Ledger) -> None:
    with pytest.raises(Undecided) as raised:
        ledger.findings(ledger.dsn("looks_only", "wrong-secret"))

    assert "wrong-secret" not in str(raised.value)
    assert "looks_only" not in str(raised.value)


@pytest.mark.parametrize("login", [LOGIN, CLAIMS_LOGIN])
@pytest.mark.requirement("doctor:checks:undecided")
def test_a_login_that_has_all_its_sessions_is_undecided_and_what_is_wrong_beside_is_told(
    ledger: Ledger, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.run(f"ALTER ROLE {login} CONNECTION LIMIT 1")
    try:
        with ledger.login(login):
            assert [finding.check for finding in ledger.findings()] == ["role-limit"]

            monkeypatch.setattr("sandbox.doctor.check_roles.CONNECTION_LIMIT", 1)
            for other in {LOGIN, OTHER_SHAPE.login, CLAIMS_LOGIN} - {login}:
                ledger.run(f"ALTER ROLE {other} CONNECTION LIMIT 1")
            with pytest.raises(Undecided, match=f"let {login} in now"):
                ledger.findings()
    finally:
        ledger.run(ledger.script())


@pytest.mark.requirement("doctor:checks:replica")
def test_a_read_replica_is_found_as_good_as_its_primary(primary_and_standby: tuple[Server, Server]) -> None:
    primary, standby = primary_and_standby
    primary.make_database("ledger", LEDGER)
    ledger = Ledger(primary)
    ledger.run("CREATE ROLE looks_only LOGIN PASSWORD 'looks'")
    ledger.run(ledger.script())
    assert is_replayed(primary, standby)

    with standby.connect("ledger") as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    assert Ledger(standby).findings() == ()


def is_replayed(primary: Server, standby: Server) -> bool:
    """Ask until the replica has what the primary wrote, for as long as replication may take."""
    end = time.monotonic() + 30.0
    with primary.connect() as connection:
        ((written,),) = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchall()
    with standby.connect() as connection:
        while time.monotonic() < end:
            if connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written]).fetchone() == (True,):
                return True
    return False
