"""The shop on MariaDB: three databases on a throw-away server, bare, set up for a tool, and of what may be seen.

Its logins are real ones: the doctor's own script makes them, and takes them back at the end.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final
from urllib.parse import urlsplit

from sandbox.bench.sql.ground import (
    CONNECTION_DIGEST,
    DISAGREES,
    all_rights,
    filled,
    plan,
    proven_by,
    told,
    told_fetched,
)
from sandbox.bench.sql.harm import BARE_S, BOUNDED_S, CANARY, Harm, Seen
from sandbox.bench.sql.mysql_owner import MORE, Bare, Client, fingerprint, statements
from sandbox.bench.sql.shop import MAX_BYTES, MAX_ROWS, SHOWN_VIEW, TABLES, Tables, permitted_shop, rules, whole_shop
from sandbox.deployment import Misconfigured
from sandbox.doctor.mysql_script import mysql_setup_script, mysql_undo_script
from sandbox.executors.ending import Over
from sandbox.executors.engine import Confinement, PlanStale
from sandbox.executors.grant_shape import grant_shape
from sandbox.executors.mysql import MysqlExecutor
from sandbox.executors.mysql_catalogue import read_mysql_catalogue
from sandbox.executors.mysql_cells import readers_of
from sandbox.executors.mysql_talk import Failed, Talk, names_of, query, state
from sandbox.executors.server_trouble import Gone
from sandbox.leases import LoginLease, Server, parse_mysql_dsn
from sandbox.leases.keys import claims_login, login_password
from sandbox.reasons import Refused
from sandbox.sql import Catalogue, Proven
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import Cancellation
from sandbox.toolspec import Connection, Digest, FileSecret, ServerTarget, SqlCeiling, SqlEngine

_PATIENCE_S: Final = 30.0
_THEIRS: Final = "theirs.txt"
_TYPES: Final = (
    (" jsonb", " json"),
    (" at timestamp", " at datetime"),
    (" region text", " region text COLLATE utf8mb4_bin"),  # or a tenant `eu` would be the tenant `EU`
)
"""What MariaDB calls otherwise than PostgreSQL."""


@final
class MysqlGround:
    """The shop on MariaDB."""

    engine: SqlEngine = "mysql"

    def __init__(self, server: ShopServer, folder: Path) -> None:
        """Use the databases of `server`, which are there, and the scratch folder `folder`."""
        self._server = server
        self._scratch = folder
        self._put_right()
        self._rules = rules("", server.tables)
        connection = Connection(
            name=server.name,
            engine="mysql",
            target=ServerTarget(FileSecret("none is read")),
            ceiling=SqlCeiling(None),
            digest=CONNECTION_DIGEST,
        )
        self._executor = MysqlExecutor(connection)
        self._confinement = Confinement(
            key=Digest("1" * 64), tables=self._rules, views=frozenset({SHOWN_VIEW}), max_bytes=MAX_BYTES
        )
        self._lease = server.lease()
        self._watch = server.connect("information_schema")
        self._bare = Bare(server.connect, server.bare, server.make_bare, self._is_right)
        self._owner = server.talk(server.owned)
        self._kept = self.watched()

    def bare(self, text: str) -> Seen:
        """Run a text as an administrator in a database that was never set up for a tool."""
        seen = self._bare.run(text)
        self._put_right()
        return seen

    def permit(self, text: str) -> Proven:
        """Take a text through the gate; raises `Refused`."""
        return proven_by("mysql", text, self._server.catalogue, self._rules, {})

    def permit_bare(self, text: str) -> str:
        """Take a text through the gate, and return what may run; raises `Refused`."""
        return self.permit(text).sql_to_run

    def confined(self, text: str) -> Seen:
        """Run a text as the tool's login, whose views are called like their tables."""
        return self.run(all_rights(text, self._rules, DIALECTS["mysql"].functions), text, BARE_S)

    def run(self, proven: Proven, text: str, seconds: float) -> Seen:
        """Run what the gate let through on the executor, as the tool's login."""
        begun = time.monotonic()
        answer, is_answered = self.ask(proven, text, seconds)
        harms = {Harm.SPENDS} if time.monotonic() - begun > seconds + BOUNDED_S else set[Harm]()
        kept, self._kept = self._kept, self.watched()
        if self._kept != kept or not self._is_right():
            harms.add(Harm.CHANGED)
            self._put_right()
        return Seen(answer, is_answered, frozenset(harms))

    def ask(self, proven: Proven, text: str, seconds: float) -> tuple[str, bool]:
        """Run what the gate let through, unwatched; returns rows or error, and whether it ended."""
        made = plan("mysql", text, proven, seconds, self._server.shape.login)
        try:
            return told_fetched(self._executor.run(made, self._confinement, self._lease, Cancellation())), True
        except Refused as refused:
            return f"{refused.reason} {refused.rule} {refused.message} {dict(refused.metadata)}", False
        except PlanStale as stale:
            return f"{DISAGREES} {stale}", False

    def forget(self) -> None:
        """Hang up where the tool's login talks; the next text is asked in another session."""
        self._executor.forget()

    def watched(self) -> str:
        """Return all that the tool's database keeps."""
        return fingerprint(self._watch, self._server.tooled)

    def owned(self, text: str) -> Seen:
        """Run a text as the owner of what the tool may show."""
        talk = self._owner
        commands = state(_PATIENCE_S, MAX_ROWS)
        talk.wire.bound(time.monotonic() + _PATIENCE_S, Cancellation())
        talk.wire.send(*commands, query(text))
        for _ in commands:
            talk.done()
        try:
            columns = talk.begin_rows()
            readers, rows = readers_of(columns), list[list[object]]()
            while (row := talk.row(len(columns), MAX_BYTES)) is not None:
                rows.append([None if cell is None else read(cell) for read, cell in zip(readers, row, strict=True)])
        except Failed as failed:
            return Seen(f"error {failed.number}", is_answered=False, harms=frozenset())
        return Seen(told(names_of(columns), rows), is_answered=bool(columns), harms=frozenset())

    def fill(self, sql: str, guess: str) -> str:
        """Return an attack with its guess and its folder."""
        return filled(sql, guess, self._scratch)

    def close(self) -> None:
        """Hang up everywhere."""
        self._executor.close()
        self._bare.close()
        self._watch.close()
        self._owner.wire.close()

    def _is_right(self) -> bool:
        found = {path.name: path.read_bytes() if path.is_file() else b"" for path in self._scratch.iterdir()}
        return found == {_THEIRS: CANARY.encode()}

    def _put_right(self) -> None:
        if not self._is_right():
            for path in self._scratch.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            (self._scratch / _THEIRS).write_text(CANARY, "utf-8")
            (self._scratch / _THEIRS).chmod(0o644)


@final
class ShopServer:
    """A server, and the databases and logins of one run on it."""

    def __init__(self, administrator: str, tables: Tables = TABLES) -> None:
        """Use the server that an administrator's dsn leads to; raises `Misconfigured` for one that cannot be used."""
        try:
            dsn = parse_mysql_dsn(urlsplit(administrator)._replace(path="/information_schema").geturl())
            self._place = dsn.server.parameters
            self._login = (dsn.user, "" if dsn.password is None else dsn.password.reveal())
            self.connect("information_schema").close()
        except (ValueError, Gone, Over) as error:
            kind = type(error).__name__
            message = f"--mysql: {kind}; an administrator's dsn, of a server to try things on, is accepted"
            raise Misconfigured(message) from error
        name = f"bench_{secrets.token_hex(4)}"
        self._lease_key = secrets.token_bytes(32)
        self.tables = tables
        self.name = name
        self.bare, self.tooled, self.owned = f"{name}_bare", f"{name}_tool", f"{name}_owner"
        self.shape = grant_shape(name, rules("", tables))
        self.catalogue: Catalogue

    def connect(self, database: str) -> Client:
        """Log in as the administrator."""
        return Client(self._place, (*self._login, database))

    def talk(self, database: str) -> Talk:
        """Log in as the administrator, as executors talk."""
        return Talk(self._place, (*self._login, database), time.monotonic() + _PATIENCE_S, Cancellation())

    def lease(self) -> LoginLease:
        """Return the lease of the tool's login."""
        return LoginLease(
            connection=self.name,
            server=Server({**self._place, "database": self.tooled}),
            login=self.shape.login,
            password=login_password(self._lease_key, self.name, self.shape.login, "mysql"),
            claims_password=login_password(self._lease_key, self.name, claims_login(self.name), "mysql"),
            scope="bench",
            digest=b"",
        )

    def make(self, stack: ExitStack) -> None:
        """Make the databases and logins; leaving `stack` takes them back."""
        for database in (self.bare, self.tooled, self.owned):
            stack.callback(self.drop, database)
        self.make_bare()
        self._make_database(self.tooled, [*whole_shop(1, self.tables), *MORE])
        self._make_database(self.owned, permitted_shop(1, self.tables))
        talk = self.talk(self.tooled)
        try:
            self.catalogue = read_mysql_catalogue(talk)
        finally:
            talk.wire.close()
        stack.callback(self._run, mysql_undo_script(self.name))
        self._run(mysql_setup_script(self.name, self.tooled, [self.shape], self._lease_key, self.catalogue))

    def make_bare(self) -> None:
        """Make the bare database anew."""
        self._make_database(self.bare, [*whole_shop(1, self.tables), *MORE])

    def drop(self, database: str) -> None:
        """Drop a database of this run."""
        self._run(f"DROP DATABASE IF EXISTS {database}")

    def _make_database(self, name: str, texts: Iterable[str]) -> None:
        script = ";\n".join(texts)
        for theirs, ours in _TYPES:
            script = script.replace(theirs, ours)
        anew = f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4; USE {name};"
        self._run(f"{anew}\n{script}")

    def _run(self, script: str) -> None:
        with closing(self.connect("information_schema")) as client:
            for text in statements(script):
                client.done(text)


@contextmanager
def mysql_ground(administrator: str, tables: Tables = TABLES) -> Iterator[MysqlGround]:
    """Make the shop on the server that an administrator's dsn leads to, and take all of it back at the end.

    Raises `Misconfigured` for a dsn that cannot be used.
    """
    server = ShopServer(administrator, tables)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sandbox-bench-")))
        scratch = folder / "scratch"
        scratch.mkdir()
        folder.chmod(0o755)  # WHY: the server is another user, who reads and writes there
        scratch.chmod(0o777)
        server.make(stack)
        ground = MysqlGround(server, scratch)
        stack.callback(ground.close)
        yield ground
