"""Does a login really see what its rights say? Tried as each login, on the sandbox's own canary and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Final, LiteralString, final

import psycopg
from psycopg.conninfo import make_conninfo

from sandbox.doctor.findings import Finding
from sandbox.doctor.inspection import Inspection
from sandbox.executors.postgres_claims import KEY, SET, WHERE_AND_WHEN, signed
from sandbox.executors.postgres_talk import own_login
from sandbox.executors.postgres_trouble import trouble_of
from sandbox.executors.server_trouble import Trouble
from sandbox.leases.keys import login_password

_FORBIDDEN: Final[tuple[tuple[LiteralString, str], ...]] = (
    ("SELECT * FROM sandbox.canary", "read a table that it may not"),
    ("SELECT * FROM sandbox.claims_key", "read the key of the claims"),
    ("INSERT INTO sandbox.canary VALUES ('mine', 'written')", "write"),
    ("UPDATE sandbox.canary_view SET note = 'written'", "write through a view"),
    ("CREATE TEMPORARY TABLE sandbox_canary (x integer)", "make a temporary table"),
    ("SELECT sandbox.claims_key_bytes()", "ask for the key of the claims"),
)
"""Statement, and what a login that got away with it could do. Each runs in a transaction that is rolled back."""
_SECONDS: Final = 10
_NO_RIGHT: Final = "42501"
_READ_ONLY: Final = "25006"
"""What a read replica says before it looks at rights."""


@final
class CannotConnect(Exception):
    """A login was not let in, or the server not reached; says which login, and nothing of the dsn."""

    def __init__(self, login: str, trouble: Trouble) -> None:
        """Say which login, and what kept it out."""
        super().__init__(login)
        self.trouble: Trouble = trouble


@final
class NotNow(Exception):
    """A login may be let in later: the server is full, starts or stops, or the login has all its sessions."""


def connect(parameters: Mapping[str, str]) -> psycopg.Connection:
    """Connect with libpq's parameters, with a pinned session; raises `CannotConnect`."""
    told = {"passfile": "/dev/null", "connect_timeout": str(_SECONDS)}
    try:
        connection = psycopg.connect(make_conninfo(**{**parameters, **told}), autocommit=True)
        connection.execute("SET search_path = pg_catalog")
        connection.execute("SET quote_all_identifiers = off")
        # WHY: questions about the catalogue look costly to the planner: Debian's 15 compiled for 1.4 s what runs 0.1 s.
        connection.execute("SET jit = off")
        connection.execute("SET statement_timeout = '30s'")
    except psycopg.Error as error:
        raise CannotConnect(parameters["user"], trouble_of(str(error))) from error
    return connection


def check_canary(look: Inspection) -> Iterator[Finding]:
    """Find logins that are not let in, see too much or too little of the canary, or get away with what is forbidden."""
    key = None
    if look.claims_login in look.present:
        try:
            with closing(_as(look, look.claims_login)) as session:
                key = _key(session)
        except CannotConnect:
            yield _not_let_in(look, look.claims_login)
        if key is None:
            yield Finding("canary-key", f"{look.claims_login} is not given the key of the claims", look.run_again)
    for login in look.tool_logins:
        if login not in look.present:
            continue
        try:
            with closing(_as(look, login)) as session:
                yield from _tried(look, session, login)
                if key is not None:
                    yield from _claimed(look, session, login, key)
        except CannotConnect:
            yield _not_let_in(look, login)


def _as(look: Inspection, login: str) -> psycopg.Connection:
    parameters = own_login(look.server, login, login_password(look.lease_key, look.connection, login, "postgres"))
    try:
        return connect(parameters)
    except CannotConnect as error:
        if error.trouble == "busy":
            raise NotNow(login) from error
        raise


def _not_let_in(look: Inspection, login: str) -> Finding:
    why = "its password is another, or pg_hba.conf has no line for it that asks by SCRAM"
    message = f"the server does not let {login} in: {why}"
    return Finding("canary-login", message, look.run_again)


def _key(session: psycopg.Connection) -> bytes | None:
    try:
        row = session.execute(KEY).fetchone()
    except psycopg.Error:
        return None
    return row[0] if row is not None and isinstance(row[0], bytes) else None


def _tried(look: Inspection, session: psycopg.Connection, login: str) -> Iterator[Finding]:
    refusals = {_NO_RIGHT, _READ_ONLY} if look.is_standby else {_NO_RIGHT}
    for statement, what in _FORBIDDEN:
        if _outcome(session, statement, may_write=not look.is_standby) not in refusals:
            yield Finding(
                "canary-forbidden", f"{login} is not kept by its rights from what would {what}", look.run_again
            )


def _outcome(session: psycopg.Connection, statement: LiteralString, *, may_write: bool) -> str:
    """Return the SQLSTATE that a statement ends with, in a transaction that is rolled back."""
    session.execute("BEGIN READ WRITE" if may_write else "BEGIN READ ONLY")
    try:
        session.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate or ""
    finally:
        session.execute("ROLLBACK")
    return "00000"


def _claimed(look: Inspection, session: psycopg.Connection, login: str, key: bytes) -> Iterator[Finding]:
    said = [
        ("of the caller's own rows", _seen(session, key, "mine"), [("may be seen",)]),
        ("without a claim of that name", _seen(session, key, None), []),
        ("with a forged claim", _seen(session, b"forged", "theirs"), _NO_RIGHT),
        ("without claims", _outcome(session, "SELECT * FROM sandbox.canary_view", may_write=False), _NO_RIGHT),
    ]
    for what, found, wanted in said:
        if found != wanted:
            message = f"{login} does not see of the canary what it should, asked {what}: row filters do not hold"
            yield Finding("canary-claims", message, look.run_again)


def _seen(session: psycopg.Connection, key: bytes, tenant: str | None) -> object:
    session.execute("BEGIN READ ONLY")
    try:
        row = session.execute(WHERE_AND_WHEN).fetchone() or ("", "")
        token = signed({} if tenant is None else {"canary": tenant}, key, str(row[0]), str(row[1]))
        session.execute(SET.replace(b"$1", b"%s"), [token.decode("ascii")])
        return session.execute("SELECT * FROM sandbox.canary_view").fetchall()
    except psycopg.Error as error:
        return error.sqlstate
    finally:
        session.execute("ROLLBACK")
