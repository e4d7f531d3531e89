"""How do plans run on a MariaDB database? On sessions of the login that their tool's grant shape names.

What a login may read is the database's own business: the set-up script that its administrator ran made the logins, and
the views that are all they can read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from sandbox.executors.ending import Over, cancelled, end_of, timed_out
from sandbox.executors.engine import Confinement, Fetched, PlanStale
from sandbox.executors.idle import IdleSessions
from sandbox.executors.mysql_catalogue import read_mysql_catalogue
from sandbox.executors.mysql_claims import KEY_BYTES, canonical
from sandbox.executors.mysql_errors import unavailable
from sandbox.executors.mysql_session import Session
from sandbox.executors.mysql_shape import Kinds, kinds_of, own_database, quoted_name, view_names
from sandbox.executors.mysql_talk import CONNECT_S, MAX_IDLE_S, Failed, Talk, names_of, query
from sandbox.executors.mysql_trouble import SENTENCES
from sandbox.executors.mysql_wire import Gone, TooMuch, Wire
from sandbox.executors.places import Places
from sandbox.executors.postgres_shape import GrantShape, grant_shape
from sandbox.leases import LoginLease, parse_mysql_dsn, read_dsn
from sandbox.leases.keys import claims_login
from sandbox.reasons import Fault, Reason, Refused, quoted
from sandbox.sql import Catalogue, folded
from sandbox.stages import Cancellation, Lease, SqlPlan
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import Connection, ServerTarget

MAX_RUNNING: Final = 32
"""Statements that run on one database at once, over all workers; a call beyond waits, within its time."""
MAX_IDLE: Final = 24
"""Idle sessions kept for one connection, over all logins, claims and workers; each is a thread of the server."""
GRACE_S: Final = 0.5
"""How long the server may take to hear that it is to end a connection; then it is cut, and the server's own limit on
the statement's time ends it."""
KEY: Final = "claims_key"
"""The function that tells the claims' key to the login for claims."""

_GONE: Final = frozenset({1044, 1049, 1305, 1370})
"""What a server says of a function that is not there, or not for whoever asks."""

_Key = tuple[str, bytes]


@final
@dataclass(frozen=True, slots=True)
class _Call:
    """A plan with what it may use: a lease, and time."""

    plan: SqlPlan
    shape: GrantShape
    views: frozenset[str]
    lent: LoginLease
    until: float
    cancellation: Cancellation


@final
class MysqlExecutor:
    """Runs plans on the database of one connection."""

    def __init__(self, connection: Connection, workers: int = 1) -> None:
        """Begin without sessions; so many processes share what the service may have of them."""
        if not isinstance(connection.target, ServerTarget):
            raise Fault("mysql executor: a connection that is no server")
        self._name = connection.name
        self._dsn = connection.target.dsn
        self._idle: IdleSessions[_Key, Session] = IdleSessions(max(1, MAX_IDLE // workers), MAX_IDLE_S)
        self._places = Places(max(1, MAX_RUNNING // workers))
        self._claims_key = b""

    def read_catalogue(self, seconds: float = CONNECT_S) -> Catalogue:
        """Read the database's tables as the dsn's login; raises `Refused` with `EXECUTOR_UNAVAILABLE`.

        With a delay where it is the server's affair, which may pass; without one where no dsn can be read.
        """
        dsn = read_dsn(self._dsn, self._name, seconds, parse_mysql_dsn)
        place = dsn.server.parameters
        password = "" if dsn.password is None else dsn.password.reveal()
        try:
            talk = _talk(place, (dsn.user, password, place["database"]), seconds)
            try:
                return read_mysql_catalogue(talk)
            finally:
                talk.wire.close()
        except (Gone, Over, Failed) as error:
            message = f"the database of connection {quoted(self._name)} cannot be asked now: {_why(error)}"
            raise Refused(Reason.EXECUTOR_UNAVAILABLE, message, retry_after_s=1.0) from error

    def rehearse(self, confinement: Confinement, lease: Lease, seconds: float = CONNECT_S) -> None:
        """Log in once and look at each view that stands for a table of the tool."""
        lent = _lent(lease)
        shape = grant_shape(self._name, confinement.tables)
        try:
            talk = _talk(lent.server.parameters, _own_login(lent, shape), seconds)
        except (Gone, Over) as error:
            raise self._shut(error) from error
        try:
            for name, view in view_names(shape).items():
                columns = _columns(talk, view)
                if not columns:
                    raise self._unfit(f"the view of {quoted(view)} is gone, or the tool's login may not read it")
                if columns != shape.rules[name].columns:
                    raise self._unfit(f"the view of {quoted(view)} is not what the tool's rules say")
            if not _are_so(talk, kinds_of(shape, confinement.views, ())):
                raise self._unfit("the tool's views do not stand for the tables that there are")
        except (Gone, Over) as error:
            raise unavailable() from error
        finally:
            talk.wire.close()

    def run(self, plan: SqlPlan, confinement: Confinement, lease: Lease, cancellation: Cancellation) -> Fetched:
        """Run the plan on a session of its login; raises `Refused` or `PlanStale`."""
        lent, until = _lent(lease), end_of(plan, cancellation)
        shape = grant_shape(self._name, confinement.tables)
        try:
            with self._places.hold(until, cancellation):
                return self._run_anew(_Call(plan, shape, confinement.views, lent, until, cancellation))
        except Over:
            raise (cancelled() if cancellation.is_cancelled else timed_out()) from None

    def forget(self) -> None:
        """Close idle sessions; those in use close when they are given back."""
        self._claims_key = b""
        self._idle.forget()

    def close(self) -> None:
        """Close everything, now or when it is given back."""
        self._idle.forget(for_good=True)

    def _run_anew(self, call: _Call) -> Fetched:
        """Run the plan, and once more where only what this process remembers kept it from running."""
        claims_key = self._key_of_claims(call) if call.plan.claims else b""
        try:
            return self._run(call, claims_key)
        except PlanStale:
            new_key = self._key_after(claims_key, call) if call.plan.claims else b""
            if not new_key:
                raise
            return self._run(call, new_key)

    def _run(self, call: _Call, claims_key: bytes) -> Fetched:
        plan = call.plan
        # INVARIANT: a session serves one set of claims, so none that was signed for it could tell another's.
        epoch, key = self._idle.epoch, (plan.login, canonical(plan.claims))
        session = self._idle.taken(key) or self._session(call)
        rules, read = call.shape.rules, map(folded, plan.rights.relations)
        kinds = kinds_of(call.shape, call.views, [rules[name].table for name in read])
        try:
            return session.run(plan, kinds, claims_key, call.until, call.cancellation)
        finally:
            self._idle.give_back(key, session, epoch if session.is_sound else None)

    def _session(self, call: _Call) -> Session:
        place, login = call.lent.server.parameters, _own_login(call.lent, call.shape)
        try:
            talk = Talk(place, login, call.until, call.cancellation)
        except Gone as error:
            raise self._shut(error) from error
        return Session(self._name, talk, lambda number: _end_connection(place, login, number))

    def _key_of_claims(self, call: _Call) -> bytes:
        """Return the key that claims are signed with; asked for once."""
        known, lent = self._claims_key, call.lent
        if known:
            return known
        if lent.claims_password is None:
            raise Fault("mysql executor: claims without a lease for them")
        own = own_database(self._name)
        login = (claims_login(self._name), lent.claims_password.reveal(), own)
        try:
            talk = Talk(lent.server.parameters, login, call.until, call.cancellation)
            try:
                ((told,),) = talk.ask(f"SELECT HEX({quoted_name(own)}.{KEY}())")
            finally:
                talk.wire.close()
        except Gone as error:
            raise self._shut(error) from error
        except Failed as error:
            if error.number in _GONE:
                raise self._unfit("the database does not give the key of the claims") from error
            raise unavailable() from error
        key = bytes.fromhex(told or "")
        if len(key) != KEY_BYTES:
            raise unavailable()
        self._claims_key = key
        return key

    def _key_after(self, old: bytes, call: _Call) -> bytes:
        """Return the database's key if it is another by now than `old`, which was not believed; else nothing."""
        if self._claims_key == old:  # another call may have asked for the new one already
            self._claims_key = b""
        try:
            key = self._key_of_claims(call)
        except (Refused, Over):
            return b""
        return b"" if key == old else key

    def _shut(self, error: Gone | Over) -> Refused:
        """Return the refusal for a login that was not let in; operators are told more."""
        warn_often("database not reached", self._name, causes=_why(error))
        if isinstance(error, Over) or not error.was_refused:
            return unavailable()
        return self._unfit("the database does not let the tool's login in")

    def _unfit(self, what: str) -> Refused:
        setup = f"`sandbox doctor --setup-sql {self._name}` prints the script that its administrator runs"
        return Refused(Reason.EXECUTOR_UNAVAILABLE, f"{what}; {setup}")


def _why(error: Gone | Over | Failed) -> str:
    """Return, for operators, why a server was not asked."""
    match error:
        case Gone(trouble=trouble):
            return SENTENCES[trouble]
        case Over():
            return SENTENCES["timed_out"]
        case _:
            return "it does not tell its catalogue"


def _talk(place: Mapping[str, str], login: tuple[str, str, str], seconds: float) -> Talk:
    return Talk(place, login, time.monotonic() + seconds, Cancellation())


def _own_login(lent: LoginLease, shape: GrantShape) -> tuple[str, str, str]:
    return lent.login, lent.password.reveal(), shape.schema


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
    """Return the columns of a view, and none of its rows; none if it cannot be read."""
    try:
        return names_of(talk.describe(f"SELECT * FROM {quoted_name(view)}"))  # noqa: S608 - a quoted name
    except Failed:
        return ()


def _are_so(talk: Talk, kinds: Kinds) -> bool:
    """Whether the views stand for what the tool believes; not where the function that says so is gone."""
    try:
        ((found, *_),) = talk.ask(kinds.question)
    except Failed:
        return False
    return found == kinds.answer


def _lent(lease: Lease) -> LoginLease:
    if not isinstance(lease, LoginLease):
        raise Fault("mysql executor: a lease of another kind than a login's")
    return lease
