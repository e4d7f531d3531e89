"""Does the script do what it says, twice as once, and does its undo leave the database as it was?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from ledger_cast import (
    BYSTANDER,
    CLAIMS_LOGIN,
    CONNECTION,
    LEASE_KEY,
    LEDGER,
    OTHER_SHAPE,
    PROGRAMS,
    SHAPE,
    Ledger,
    ledger_on,
    told,
)

from sandbox.deployment import Misconfigured
from sandbox.doctor.quoting import commented, quoted_name, quoted_text
from sandbox.doctor.revokes import EXECUTABLE, KEPT, TAKEN_TOO
from sandbox.doctor.script import undo_script
from sandbox.executors.grant_shape import grant_shape
from sandbox.executors.masks import MASKS
from sandbox.leases.keys import login_password
from sandbox.leases.postgres_logins import scram_verifier
from sandbox.toolspec import MaskName, TableRule

_STATE = """
SELECT 'acl', kind || ' ' || name, a.grantor::regrole::text, a.grantee::regrole::text, a.privilege_type,
  a.is_grantable::text
FROM (
  SELECT 'function' AS kind, oid::regprocedure::text AS name, coalesce(proacl, acldefault('f', proowner)) AS acl
    FROM pg_proc
  UNION ALL SELECT 'relation', oid::regclass::text,
    coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) FROM pg_class
  UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, attacl FROM pg_attribute
  UNION ALL SELECT 'schema', nspname, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
  UNION ALL SELECT 'database', datname, coalesce(datacl, acldefault('d', datdba)) FROM pg_database
) AS o, aclexplode(acl) AS a
UNION ALL SELECT 'role', rolname, rolsuper::text, rolcanlogin::text, rolconnlimit::text, rolinherit::text FROM pg_roles
UNION ALL SELECT 'member', roleid::regrole::text, member::regrole::text, '', '', '' FROM pg_auth_members
UNION ALL SELECT 'setting', setrole::regrole::text, setconfig::text, '', '', '' FROM pg_db_role_setting
UNION ALL SELECT 'comment', objoid::text, description, '', '', '' FROM pg_shdescription
ORDER BY 1, 2, 3, 4, 5, 6
"""


@pytest.fixture(scope="module", params=[18, 15])
def bare(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger that is not set up."""
    if not (PROGRAMS[request.param] / "postgres").exists():
        pytest.skip("needs Debian's package `postgresql-15`")
    with ledger_on(request.param) as made:
        yield made


@pytest.fixture
def ledger(bare: Ledger) -> Iterator[Ledger]:
    """A ledger that is set up for two tools."""
    bare.run(bare.script())
    yield bare
    bare.undo()


def state(ledger: Ledger) -> list[tuple[object, ...]]:
    with ledger.owner() as connection:
        return connection.execute(_STATE.encode()).fetchall()


@pytest.mark.requirement("doctor:script:undo")
def test_undo_leaves_every_right_and_role_as_it_was(bare: Ledger) -> None:
    before = state(bare)
    bare.run(bare.script())
    assert state(bare) != before

    bare.undo()

    assert state(bare) == before


@pytest.mark.requirement("doctor:script:idempotent")
def test_a_second_run_changes_nothing_and_says_nothing(ledger: Ledger) -> None:
    key = ledger.claims_key()
    before = [row for row in state(ledger) if "pg_toast" not in str(row[1])]

    said: list[str] = []
    with ledger.owner() as connection:
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        connection.execute(ledger.script().encode())
    assert said == []

    assert [row for row in state(ledger) if "pg_toast" not in str(row[1])] == before
    assert ledger.claims_key() == key
    assert ledger.findings() == ()


@pytest.mark.requirement("doctor:script:no-secret")
def test_the_script_is_the_same_text_at_every_run_and_holds_no_password(bare: Ledger) -> None:
    script = bare.script()

    assert script == bare.script()
    for login in (SHAPE.login, OTHER_SHAPE.login, CLAIMS_LOGIN):
        assert login_password(LEASE_KEY, CONNECTION, login, "postgres").reveal() not in script
        assert scram_verifier(LEASE_KEY, CONNECTION, login) in script
    assert LEASE_KEY.hex() not in script


@pytest.mark.requirement("doctor:script:logins")
def test_the_passwords_that_the_service_derives_open_the_logins_and_no_other_does(ledger: Ledger) -> None:
    with ledger.login() as connection:
        assert connection.execute("SELECT current_user, current_setting('transaction_read_only')").fetchone() == (
            SHAPE.login,
            "on",
        )
    with pytest.raises(psycopg.OperationalError):
        ledger.server.connect(ledger.database, user=SHAPE.login, password="x" * 43)


@pytest.mark.requirement("doctor:script:views")
def test_a_view_shows_its_rule_s_columns_and_rows_and_nothing_else(ledger: Ledger) -> None:
    with ledger.login() as connection:
        connection.execute("BEGIN READ ONLY")
        told(connection, {"region": "EU"}, ledger.claims_key())
        cursor = connection.execute(f'SELECT * FROM {SHAPE.schema}."public.orders" ORDER BY id'.encode())
        assert [column.name for column in cursor.description or ()] == list(SHAPE.rules["public.orders"].columns)
        assert cursor.fetchall() == [
            (1, "EU", 100, "A.L.", "example.com"),
            (3, "EU", 300, "A.T.", "example.org"),
        ]
        cursor = connection.execute(f'SELECT * FROM {SHAPE.schema}."public.customers" ORDER BY id'.encode())
        assert cursor.fetchall() == [(1, "Ada", "o", "b"), (2, "Alan", "p", "c")]


@pytest.mark.requirement("doctor:script:bystanders")
def test_roles_that_were_there_keep_what_they_had_through_public(ledger: Ledger) -> None:
    with ledger.server.connect(ledger.database, user=BYSTANDER, password="stands") as connection:
        connection.execute("SELECT pg_advisory_lock(7), pg_advisory_unlock(7), lo_unlink(lo_create(0))")
        connection.execute("CREATE TEMPORARY TABLE mine (x integer)")
        assert connection.execute("SELECT count(*) > 0 FROM pg_stat_activity").fetchone() == (True,)


@pytest.mark.requirement("doctor:script:outdated")
def test_a_shape_that_no_tool_uses_any_more_goes_with_its_login(ledger: Ledger) -> None:
    ledger.run(ledger.script(SHAPE))

    with ledger.owner() as connection:
        assert connection.execute("SELECT to_regrole(%s), to_regnamespace(%s)", [OTHER_SHAPE.login] * 2).fetchone() == (
            None,
            None,
        )
    ledger.run(ledger.script())
    assert ledger.findings() == ()


@pytest.mark.requirement("doctor:script:one-connection")
def test_a_database_of_another_connection_is_left_alone(ledger: Ledger) -> None:
    other = Ledger(ledger.server, ledger.database, "other")

    with pytest.raises(psycopg.errors.RaiseException, match="connection ledger"), ledger.owner() as connection:
        connection.execute(other.script().encode())

    assert ledger.findings() == ()


@pytest.mark.requirement("doctor:script:two-databases")
def test_two_databases_of_one_server_are_two_connections_that_leave_each_other_alone(bare: Ledger) -> None:
    before = state(bare)
    bare.server.make_database("second", LEDGER)
    second = Ledger(bare.server, "second", "other")
    bare.run(bare.script())
    second.run(second.script())
    assert (bare.findings(), second.findings()) == ((), ())
    assert bare.claims_key() != second.claims_key()

    bare.undo()
    assert second.findings() == ()
    assert len(second.claims_key()) == 32

    second.undo()
    bare.run("DROP DATABASE second")
    assert state(bare) == before


@pytest.mark.requirement("doctor:script:one-connection")
def test_a_schema_sandbox_that_is_not_ours_is_left_alone(bare: Ledger) -> None:
    bare.run("CREATE SCHEMA sandbox")
    try:
        with pytest.raises(psycopg.errors.RaiseException, match="not ours"), bare.owner() as connection:
            connection.execute(bare.script().encode())
    finally:
        bare.run("DROP SCHEMA sandbox")


@pytest.mark.requirement("doctor:script:undo")
def test_undoing_what_was_never_done_says_so(bare: Ledger) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="not set up"), bare.owner() as connection:
        connection.execute(undo_script(CONNECTION).encode())


@pytest.mark.requirement("doctor:script:revokes")
def test_every_function_with_side_effects_that_a_login_may_call_is_on_the_written_list(ledger: Ledger) -> None:
    with ledger.owner() as connection:
        rows = connection.execute(
            "SELECT DISTINCT p.proname, p.provolatile FROM pg_proc AS p"
            " WHERE p.pronamespace = 'pg_catalog'::regnamespace AND has_function_privilege(%s, p.oid, 'EXECUTE')"
            " AND NOT 'internal'::regtype = ANY (p.proargtypes)"
            " AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype,"
            "   'language_handler'::regtype)",
            [SHAPE.login],
        ).fetchall()
        left = connection.execute(EXECUTABLE.encode()).fetchall()

    callable_now = {name for name, _ in rows}
    assert {name for name, volatility in rows if volatility == "v"} - KEPT.keys() == set()
    assert callable_now & TAKEN_TOO.keys() == set()
    assert left == []
    assert all(KEPT.values())
    assert all(TAKEN_TOO.values())


TEXTS = (
    None, "", " ", "Ada", "Ada Lovelace", "  ada \t lovelace\n",
    "\u00c9douard \u4e2d\u6587", "a\u2003b\u00a0c\u3000d", "\x1c\x1d x",
    "1234", "12345", "4111111111111111", "\u00e9\u4e2d\U0001f600ab", "1815-12-10", "1815", "18150", "1815/12", "x1815-",
    "1815-\n", "1815\n",
    "a@b", "@", "a@b@c", "a@", "no", "a\n@b\nc", "%_\\'\"", "\u0661\u0662\u0663\u0664-01",
)  # fmt: skip


@pytest.mark.parametrize("mask", list(MASKS))
@pytest.mark.requirement("doctor:script:masks")
def test_a_mask_shows_of_a_text_what_it_shows_on_sqlite(bare: Ledger, mask: MaskName) -> None:
    rule = TableRule(table="public.texts", columns=("id", "cell"), masks={"cell": mask})
    shape = grant_shape(CONNECTION, {"public.texts": rule})
    bare.run("CREATE TABLE public.texts (id integer, cell text)")
    try:
        with bare.owner() as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO public.texts VALUES (%s, %s)", list(enumerate(TEXTS)))
        bare.run(bare.script(shape))
        with bare.login(shape.login) as connection:
            rows = connection.execute(f'SELECT cell FROM {shape.schema}."public.texts" ORDER BY id'.encode()).fetchall()
        assert [cell for (cell,) in rows] == [MASKS[mask](text) for text in TEXTS]
    finally:
        bare.undo()
        bare.run("DROP TABLE public.texts")


@pytest.mark.requirement("doctor:script:masks")
def test_a_masked_value_is_not_written_as_the_session_would_like_it(bare: Ledger) -> None:
    rule = TableRule(table="public.days", columns=("day", "at"), masks={"day": "last4", "at": "year"})
    shape = grant_shape(CONNECTION, {"public.days": rule})
    bare.run("CREATE TABLE public.days (day date, at timestamptz);"
             "INSERT INTO public.days VALUES ('2024-02-03', '2023-12-31 23:30:00+00')")  # fmt: skip
    try:
        bare.run(bare.script(shape))
        with bare.login(shape.login) as connection:
            connection.execute("SET DateStyle = 'German'")
            connection.execute("SET TimeZone = 'Pacific/Kiritimati'")
            rows = connection.execute(f'SELECT * FROM {shape.schema}."public.days"'.encode()).fetchall()
        assert rows == [("******2-03", "2023")]
    finally:
        bare.undo()
        bare.run("DROP TABLE public.days")


@pytest.mark.requirement("doctor:script:quoting")
def test_names_and_texts_are_quoted_as_the_server_reads_them(bare: Ledger) -> None:
    odd = ["select", "a b", 'a"b', "a'b", "A.b", "\u00e9", "a\\b", "$sandbox$", "--", "a\nb", "%s"]
    with bare.owner() as connection:
        for name in odd:
            query = f"SELECT {quoted_text(name)} AS {quoted_name(name)}"
            cursor = connection.execute(query.encode())
            assert [column.name for column in cursor.description or ()] == [name]
            assert cursor.fetchall() == [(name,)]
    assert "\n" not in commented("x\nDROP TABLE y")
    assert "\u2028" not in commented("\u2028")
    with pytest.raises(ValueError, match="character 0"):
        quoted_name("a\0b")


@pytest.mark.requirement("doctor:script:views")
def test_a_rule_that_the_database_cannot_keep_makes_no_script(bare: Ledger) -> None:
    for rule in (
        TableRule(table="public.nothing", columns=("id",)),
        TableRule(table="public.orders", columns=("nothing",)),
    ):
        with pytest.raises(Misconfigured, match="nothing"):
            bare.script(grant_shape(CONNECTION, {rule.table: rule}))


@pytest.mark.requirement("doctor:script:not-superuser")
def test_the_owner_of_a_database_sets_it_up_and_is_told_what_only_a_superuser_can(bare: Ledger) -> None:
    bare.run("CREATE ROLE dba LOGIN CREATEROLE PASSWORD 'dba'; ALTER DATABASE ledger OWNER TO dba;"
             "ALTER TABLE public.orders OWNER TO dba; ALTER TABLE public.customers OWNER TO dba;"
             "ALTER TABLE sales.targets OWNER TO dba; GRANT USAGE ON SCHEMA sales TO dba;")  # fmt: skip
    try:
        notices: list[str] = []
        with bare.server.connect(bare.database, user="dba", password="dba") as connection:
            connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
            connection.execute(bare.script().encode())

        assert any("only a superuser can take them from PUBLIC" in notice for notice in notices)
        assert {finding.check for finding in bare.findings() if finding.level == "error"} == {"revoke-missing"}
        found = bare.findings(without_revokes=True)
        assert {finding.level for finding in found} == {"warning"}
        assert any("the gate alone" in finding.message for finding in found if finding.check == "revoke-missing")
        with bare.login(OTHER_SHAPE.login) as connection:
            query = f'SELECT goal FROM {OTHER_SHAPE.schema}."sales.targets"'
            assert connection.execute(query.encode()).fetchall() == [(987654321,)]

        with bare.server.connect(bare.database, user="dba", password="dba") as connection:
            connection.execute(undo_script(CONNECTION).encode())
        with bare.owner() as connection:
            left = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'sandbox%'").fetchall()
            assert (left, connection.execute("SELECT to_regnamespace('sandbox')").fetchall()) == ([], [(None,)])
    finally:
        with suppress(psycopg.errors.RaiseException):
            bare.undo()
        bare.run(
            "ALTER DATABASE ledger OWNER TO owner; REASSIGN OWNED BY dba TO owner; DROP OWNED BY dba; DROP ROLE dba"
        )


@pytest.mark.requirement("doctor:checks:not-set-up")
def test_a_database_that_was_never_set_up_is_one_finding(ledger: Ledger) -> None:
    """Roles that another database of the server needs do not make it look set up."""
    ledger.undo()
    ledger.run("CREATE ROLE sandbox_owner NOLOGIN")
    try:
        assert [(found.check, found.mend) for found in ledger.findings()] == [
            ("not-set-up", "sandbox doctor --setup-sql ledger")
        ]
        of_owner = ledger.findings(ledger.dsn("owner", ledger.server.password))
        assert [found.check for found in of_owner] == ["dsn-login", "not-set-up"]
        ledger.run("CREATE SCHEMA sandbox")
        assert len(ledger.findings()) > 100
    finally:
        ledger.run("DROP SCHEMA IF EXISTS sandbox; DROP ROLE sandbox_owner")
        ledger.run(ledger.script())
    assert ledger.findings() == ()
