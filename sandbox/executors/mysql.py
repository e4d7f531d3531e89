"""How is a MariaDB database asked? As its logins, on sessions that each serve one set of claims."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Final, final

from sandbox.executors.ending import Over
from sandbox.executors.engine import Confinement, Fetched
from sandbox.executors.grant_shape import GrantShape, grant_shape
from sandbox.executors.mysql_catalogue import read_mysql_catalogue
from sandbox.executors.mysql_claims import KEY_BYTES, canonical
from sandbox.executors.mysql_session import Session
from sandbox.executors.mysql_shape import Kinds, kinds_of, own_database, quoted_name
from sandbox.executors.mysql_talk import Failed, Talk, names_of, query
from sandbox.executors.mysql_trouble import SENTENCES
from sandbox.executors.mysql_wire import Wire
from sandbox.executors.server import Call, ServerExecutor
from sandbox.executors.server_trouble import Gone, TooMuch
from sandbox.leases import LoginLease, Secret, parse_mysql_dsn, read_dsn
from sandbox.sql import Catalogue, folded
from sandbox.stages import Cancellation

GRACE_S: Final = 0.5
"""How long the server may take to hear that it is to end a connection; then it is cut, and the server's own limit on
the statement's time ends it."""
KEY: Final = "claims_key"
"""The function that tells the claims' key to the login for claims."""


@final
class MysqlExecutor(ServerExecutor[Talk, Session]):
    """Runs plans on the MariaDB database of one connection."""

    sentences = SENTENCES
    no_function_codes = frozenset({"1044", "1049", "1305", "1370"})

    def _read_catalogue(self, seconds: float) -> Catalogue:
        dsn = read_dsn(self._dsn, self._name, parse_mysql_dsn, seconds)
        place = dsn.server.parameters
        password = "" if dsn.password is None else dsn.password.reveal()
        login = (dsn.user, password, place["database"])
        talk = Talk(place, login, time.monotonic() + seconds, Cancellation())
        with closing(talk.wire):
            return read_mysql_catalogue(talk)

    def _log_in(self, lent: LoginLease, seconds: float) -> Talk:
        return Talk(lent.server.parameters, _own_login(lent), time.monotonic() + seconds, Cancellation())

    def _look_at_views(self, talk: Talk, shape: GrantShape, confinement: Confinement) -> None:
        self._check_columns(shape, lambda _, view: _columns(talk, view))
        if not _are_so(talk, kinds_of(shape, confinement.views, ())):
            raise self._unfit("the tool's views do not stand for the tables that there are")

    def _run(self, call: Call, claims_key: bytes) -> Fetched:
        plan, confinement = call.plan, call.confinement
        shape, read = grant_shape(self._name, confinement.tables), map(folded, plan.rights.relations)
        kinds = kinds_of(shape, confinement.views, [shape.rules[name].table for name in read])
        # INVARIANT: a session serves one set of claims, so none that was signed for it could tell another's.
        with self._session((plan.login, canonical(plan.claims)), lambda: self._opened(call)) as session:
            return session.run(plan, kinds, claims_key, call.until, call.cancellation)

    def _opened(self, call: Call) -> Session:
        place, login = call.lent.server.parameters, _own_login(call.lent)
        talk = Talk(place, login, call.until, call.cancellation)
        return Session(self._name, talk, lambda number: _end_connection(place, login, number))

    def _ask_claims_key(self, call: Call, login: str, password: Secret) -> bytes:
        own = own_database(self._name)
        talk = Talk(call.lent.server.parameters, (login, password.reveal(), own), call.until, call.cancellation)
        with closing(talk.wire):
            ((told,),) = talk.ask(f"SELECT HEX({quoted_name(own)}.{KEY}())")
        key = bytes.fromhex(told or "")
        return key if len(key) == KEY_BYTES else b""


def _own_login(lent: LoginLease) -> tuple[str, str, str]:
    """Return user, password and database; a shape's database is called like its login."""
    return lent.login, lent.password.reveal(), lent.login


def _end_connection(place: Mapping[str, str], login: tuple[str, str, str], number: str) -> None:
    """Have the server end a connection of the same login; what it runs ends with it."""
    with suppress(Gone, Over, TooMuch):
        wire = Wire(place, login, time.monotonic() + GRACE_S, Cancellation())
        try:
            wire.send(query(f"KILL {int(number)}"))
            wire.packet()
        finally:
            wire.close()


def _columns(talk: Talk, view: str) -> tuple[str, ...]:
    """Return the columns of a view, and none of its rows."""
    return names_of(talk.describe(f"SELECT * FROM {quoted_name(view)}"))  # noqa: S608 - a quoted name


def _are_so(talk: Talk, kinds: Kinds) -> bool:
    """Whether the views stand for what the tool believes; not where the function that says so is gone."""
    try:
        ((found, *_),) = talk.ask(kinds.question)
    except Failed:
        return False
    return found == kinds.answer
