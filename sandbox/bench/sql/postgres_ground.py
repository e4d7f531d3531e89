"""The shop on PostgreSQL: three databases on a throw-away server, bare, set up for a tool, and of what may be seen.

Its logins are real ones: the doctor's own script makes them, and takes them back at the end.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sandbox.bench.sql.ground import DISAGREES, all_rights, filled, plan, proven_by, told_fetched
from sandbox.bench.sql.harm import BARE_S, BOUNDED_S, CANARY, Harm, Seen
from sandbox.bench.sql.postgres_owner import FINGERPRINT, Bare, answer_of
from sandbox.bench.sql.postgres_shop import MORE, NAMES
from sandbox.bench.sql.shop import MAX_BYTES, TABLES, Tables, permitted_shop, rules, whole_shop
from sandbox.deployment import Misconfigured
from sandbox.doctor.script import setup_script, undo_script
from sandbox.executors.engine import Confinement, Fetched, PlanStale
from sandbox.executors.grant_shape import GrantShape, grant_shape
from sandbox.executors.postgres import PostgresExecutor
from sandbox.executors.postgres_catalogue import read_server_catalogue
from sandbox.executors.postgres_claims import KEY
from sandbox.executors.postgres_session import Session
from sandbox.executors.postgres_talk import Talk, own_login
from sandbox.leases import LoginLease, Secret, Server
from sandbox.leases.keys import claims_login, login_password
from sandbox.reasons import Refused
from sandbox.sql import Catalogue, Proven
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import Cancellation, SqlPlan
from sandbox.toolspec import Connection, Digest, FileSecret, ServerTarget, SqlCeiling, SqlEngine

_SESSION_S: Final = 3600.0
_PATIENCE_S: Final = 30.0


@final
class PostgresGround:
    """The shop on PostgreSQL."""

    engine: SqlEngine = "postgres"

    def __init__(self, server: _Server, folder: Path) -> None:
        """Use the databases of `server`, which are there, and the scratch folder `folder`."""
        self._server = server
        self._scratch = folder
        self._put_right()
        self._rules = rules("public.", server.tables)
        self._shape: GrantShape = server.shape
        self._catalogue = server.catalogue
        connection = Connection(
            name=server.name,
            engine="postgres",
            target=ServerTarget(FileSecret("none is read")),
            ceiling=SqlCeiling(None),
            digest=Digest("0" * 64),
        )
        self._executor = PostgresExecutor(connection)
        self._confinement = Confinement(
            key=Digest("1" * 64), tables=self._rules, views=frozenset(), max_bytes=MAX_BYTES
        )
        self._lease = server.lease()
        self._claims_key = server.claims_key()
        self._watch = server.connect(server.tooled)
        self._bare = Bare(server.dsn(server.bare), server.make_bare, self._is_right)
        self._sessions: dict[str, Session] = {}

    def bare(self, text: str) -> Seen:
        """Run a text as a superuser in a database that was never set up for a tool."""
        seen = self._bare.run(text)
        self._put_right()
        return seen

    def permit(self, text: str) -> Proven:
        """Take a text through the gate; raises `Refused`."""
        return proven_by("postgres", text, self._catalogue, self._rules, self._shape.views)

    def permit_bare(self, text: str) -> str:
        """Take a text through the gate, tables standing for themselves; raises `Refused`."""
        return proven_by("postgres", text, self._catalogue, self._rules, {}).sql_to_run

    def confined(self, text: str) -> Seen:
        """Run a text as the tool's login, for whom its views are called like their tables."""
        proven = all_rights(text, self._rules, DIALECTS["postgres"].functions)
        made = plan("postgres", text, proven, BARE_S, self._shape.login)
        return self._seen(lambda: self._in_session("tool", made), BARE_S)

    def run(self, proven: Proven, text: str, seconds: float) -> Seen:
        """Run what the gate let through on the executor, as the tool's login."""
        return self._watched(lambda: self.ask(proven, text, seconds), seconds)

    def ask(self, proven: Proven, text: str, seconds: float) -> tuple[str, bool]:
        """Run what the gate let through, unwatched; returns rows or error, and whether it ended."""
        made = plan("postgres", text, proven, seconds, self._shape.login)
        return _answered(lambda: self._executor.run(made, self._confinement, self._lease, Cancellation()))

    def watched(self) -> str:
        """Return a digest of all that the tool's database keeps."""
        return answer_of(self._watch, FINGERPRINT)

    def owned(self, text: str) -> Seen:
        """Run a text as the owner of what the tool may show."""
        proven = all_rights(text, {}, ())
        made = plan("postgres", text, proven, _PATIENCE_S)
        return self._seen(lambda: self._in_session("owner", made), _PATIENCE_S)

    def fill(self, sql: str, guess: str) -> str:
        """Return an attack with its guess and its folder."""
        return filled(sql, guess, self._scratch)

    def close(self) -> None:
        """Hang up everywhere."""
        self._executor.close()
        self._bare.close()
        self._watch.close()
        for session in self._sessions.values():
            session.close()

    def _seen(self, run: Callable[[], Fetched], seconds: float) -> Seen:
        return self._watched(lambda: _answered(run), seconds)

    def _watched(self, ask: Callable[[], tuple[str, bool]], seconds: float) -> Seen:
        before, begun = self.watched(), time.monotonic()
        answer, is_answered = ask()
        harms = {Harm.SPENDS} if time.monotonic() - begun > seconds + BOUNDED_S else set[Harm]()
        if self.watched() != before or not self._is_right():
            harms.add(Harm.CHANGED)
            self._put_right()
        return Seen(answer, is_answered, frozenset(harms))

    def _in_session(self, whose: str, made: SqlPlan) -> Fetched:
        session = self._sessions.get(whose)
        if session is None or not session.is_sound:
            parameters, path = self._server.logins[whose]
            until = time.monotonic() + _PATIENCE_S
            talk = Talk(parameters, _SESSION_S, until, Cancellation())
            talk.ask(f"SET search_path = {path}".encode())
            session = self._sessions[whose] = Session(talk, {})
        key = self._claims_key if whose == "tool" else b""
        plan_here = made if key else _without_claims(made)
        return session.run(plan_here, key, time.monotonic() + made.max_seconds, Cancellation())

    def _is_right(self) -> bool:
        return {path.name: path.read_text("utf-8") for path in self._scratch.iterdir()} == {"theirs.txt": CANARY}

    def _put_right(self) -> None:
        if not self._is_right():
            for path in self._scratch.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            (self._scratch / "theirs.txt").write_text(CANARY, "utf-8")
            (self._scratch / "theirs.txt").chmod(0o644)


def _answered(run: Callable[[], Fetched]) -> tuple[str, bool]:
    try:
        return told_fetched(run()), True
    except Refused as refused:
        return f"{refused.reason} {refused.rule} {refused.message} {dict(refused.metadata)}", False
    except PlanStale as stale:
        return f"{DISAGREES} {stale}", False


def _without_claims(made: SqlPlan) -> SqlPlan:
    return SqlPlan(
        dialect=made.dialect,
        connection=made.connection,
        connection_digest=made.connection_digest,
        proposed_sql=made.proposed_sql,
        sql_to_run=made.sql_to_run,
        parameters={},
        claims={},
        rights=made.rights,
        omitted=(),
        is_fenced=False,
        max_seconds=made.max_seconds,
        max_rows=made.max_rows,
        max_bytes=made.max_bytes,
    )


@final
class _Server:
    """The databases and logins of one run."""

    def __init__(self, administrator: str, name: str, tables: Tables) -> None:
        self.tables = tables
        self._administrator = administrator
        self._parameters = {key: str(value) for key, value in conninfo_to_dict(administrator).items() if value}
        self._lease_key = secrets.token_bytes(32)
        self.name = name
        self.bare, self.tooled, self.owned = f"{name}_bare", f"{name}_tool", f"{name}_owner"
        self._template = f"{name}_shop"
        self.shape = grant_shape(name, rules("public.", tables))
        self.catalogue: Catalogue
        self.logins: Mapping[str, tuple[Mapping[str, str], str]] = {
            "tool": (own_login(self._at(self.tooled), self.shape.login, self._password()), f"{NAMES}, public"),
            "owner": ({**self._parameters, "dbname": self.owned}, "public"),
        }

    def dsn(self, database: str) -> str:
        return make_conninfo(self._administrator, dbname=database)

    def connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self.dsn(database), autocommit=True)

    def lease(self) -> LoginLease:
        return LoginLease(
            connection=self.name,
            server=self._at(self.tooled),
            login=self.shape.login,
            password=self._password(),
            claims_password=login_password(self._lease_key, self.name, claims_login(self.name), "postgres"),
            scope="bench",
            digest=b"",
        )

    def claims_key(self) -> bytes:
        password = login_password(self._lease_key, self.name, claims_login(self.name), "postgres")
        parameters = own_login(self._at(self.tooled), claims_login(self.name), password)
        talk = Talk(parameters, _PATIENCE_S, time.monotonic() + _PATIENCE_S, Cancellation())
        try:
            ((key,),) = talk.ask(KEY)
        finally:
            talk.wire.close()
        if not isinstance(key, bytes):
            raise Misconfigured("the server gives no key for claims")
        return key

    def make(self, stack: ExitStack) -> None:
        """Make the databases and logins; leaving `stack` takes them back."""
        for database in (self._template, self.owned):
            self._make_database(database)
            stack.callback(self._drop_database, database)
        _fill(self.connect(self._template), [*whole_shop(1, self.tables), MORE])
        _fill(self.connect(self.owned), permitted_shop(1, self.tables))
        self._make_database(self.tooled, self._template)
        stack.callback(self._drop_database, self.tooled)
        stack.callback(self.make_bare, is_last=True)
        self.make_bare()
        talk = Talk({**self._parameters, "dbname": self.tooled}, _PATIENCE_S, time.monotonic() + 30, Cancellation())
        try:
            self.catalogue = read_server_catalogue(talk)
        finally:
            talk.wire.close()
        script = setup_script(self.name, [self.shape], self._lease_key, self.catalogue)
        stack.callback(
            lambda: _fill(self.connect(self.tooled), [f"DROP SCHEMA IF EXISTS {NAMES} CASCADE", undo_script(self.name)])
        )
        _fill(self.connect(self.tooled), [script, *self._plain_names()])

    def make_bare(self, *, is_last: bool = False) -> None:
        """Make the bare database anew; or only take it back."""
        self._drop_database(self.bare)
        if not is_last:
            self._make_database(self.bare, self._template)

    def _plain_names(self) -> Iterator[str]:
        yield f"CREATE SCHEMA {NAMES}; GRANT USAGE ON SCHEMA {NAMES} TO {self.shape.login}"
        for table, (schema, view) in self.shape.views.items():
            plain = f"{NAMES}.{table.removeprefix('public.')}"
            yield f'CREATE VIEW {plain} WITH (security_invoker) AS SELECT * FROM {schema}."{view}"'  # noqa: S608 - our own names
            yield f"GRANT SELECT ON {plain} TO {self.shape.login}"

    def _make_database(self, name: str, template: str = "template0") -> None:
        with self.connect("postgres") as server:
            server.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())

    def _drop_database(self, name: str) -> None:
        with self.connect("postgres") as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def _at(self, database: str) -> Server:
        own = {"user", "password"}
        return Server({key: value for key, value in self._parameters.items() if key not in own} | {"dbname": database})

    def _password(self) -> Secret:
        return login_password(self._lease_key, self.name, self.shape.login, "postgres")


def _fill(connection: psycopg.Connection, statements: Iterable[str]) -> None:
    with connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def postgres_ground(administrator: str, tables: Tables = TABLES) -> Iterator[PostgresGround]:
    """Make the shop on the server that a superuser's dsn leads to, and take all of it back at the end.

    Raises `Misconfigured` for a dsn that cannot be used.
    """
    try:
        with psycopg.connect(administrator):
            server = _Server(administrator, f"bench_{secrets.token_hex(4)}", tables)
    except psycopg.Error as error:
        message = f"--postgres: {type(error).__name__}; a superuser's dsn, of a server to try things on, is accepted"
        raise Misconfigured(message) from error
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sandbox-bench-")))
        scratch = folder / "scratch"
        scratch.mkdir()
        folder.chmod(0o755)  # WHY: the server is another user, who reads and writes there
        scratch.chmod(0o777)
        server.make(stack)
        ground = PostgresGround(server, scratch)
        stack.callback(ground.close)
        yield ground
