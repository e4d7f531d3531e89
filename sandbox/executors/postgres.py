"""How do plans run on a PostgreSQL database? On sessions of the login that their tool's grant shape names.

What a login may read is the database's own business: the set-up script that its administrator ran made the logins, and
the views that are all they can read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from sandbox.executors.ending import Over, cancelled, end_of, timed_out
from sandbox.executors.engine import Confinement, Fetched, PlanStale
from sandbox.executors.idle import IdleSessions
from sandbox.executors.places import Places
from sandbox.executors.postgres_catalogue import read_server_catalogue
from sandbox.executors.postgres_claims import KEY
from sandbox.executors.postgres_errors import unavailable
from sandbox.executors.postgres_session import Outdated, Session, TypeNames
from sandbox.executors.postgres_shape import grant_shape
from sandbox.executors.postgres_talk import CONNECT_S, MAX_IDLE_S, Failed, Talk, own_login
from sandbox.executors.postgres_trouble import SENTENCES
from sandbox.executors.postgres_wire import Gone
from sandbox.leases import LoginLease, read_dsn
from sandbox.leases.keys import claims_login
from sandbox.reasons import Fault, Reason, Refused, quoted
from sandbox.sql import Catalogue
from sandbox.stages import Cancellation, Lease, SqlPlan
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import Connection, ServerTarget

MAX_RUNNING: Final = 32
"""Statements that run on one database at once, over all workers; a call beyond waits, within its time. With what is
idle, that is no more than the 64 sessions that the set-up script lets a login have, with up to 32 workers."""
MAX_IDLE: Final = 24
"""Idle sessions kept for one connection, over all logins and workers; each is a process of the server."""

_GONE: Final = frozenset({"3F000", "42501", "42883"})
"""What a server says of a function that is not there, or not for whoever asks; not of one that is stopping."""

_Key = tuple[str, float]


@final
@dataclass(frozen=True, slots=True)
class _Call:
    """A plan with what it may use: a lease, and time."""

    plan: SqlPlan
    lent: LoginLease
    until: float
    cancellation: Cancellation


@final
class PostgresExecutor:
    """Runs plans on the database of one connection."""

    def __init__(self, connection: Connection, workers: int = 1) -> None:
        """Begin without sessions; so many processes share what the service may have of them."""
        if not isinstance(connection.target, ServerTarget):
            raise Fault("postgres executor: a connection that is no server")
        self._name = connection.name
        self._dsn = connection.target.dsn
        self._idle: IdleSessions[_Key, Session] = IdleSessions(max(1, MAX_IDLE // workers), MAX_IDLE_S)
        self._types: TypeNames = {}
        self._places = Places(max(1, MAX_RUNNING // workers))
        self._claims_key = b""

    def read_catalogue(self, seconds: float = CONNECT_S) -> Catalogue:
        """Read the database's tables as the dsn's login; raises `Refused` with `EXECUTOR_UNAVAILABLE`.

        With a delay where it is the server's affair, which may pass; without one where no dsn can be read.
        """
        dsn = read_dsn(self._dsn, self._name, seconds)
        password = {} if dsn.password is None else {"password": dsn.password.reveal()}
        try:
            talk = _talk({**dsn.server.parameters, "user": dsn.user, **password}, seconds)
            try:
                return read_server_catalogue(talk)
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
            talk = _talk(own_login(lent.server, lent.login, lent.password), seconds)
        except (Gone, Over) as error:
            raise self._shut(error) from error
        try:
            if talk.wire.is_superuser:
                raise self._unfit(f"login {quoted(lent.login)} is a superuser's, whom nothing confines")
            for name, (schema, relation) in shape.views.items():
                columns = _columns(talk, schema, relation)
                if not columns:
                    raise self._unfit(f"the view of {quoted(relation)} is gone, or the tool's login may not read it")
                if columns != shape.rules[name].columns:
                    raise self._unfit(f"the view of {quoted(relation)} is not what the tool's rules say")
        except (Gone, Over) as error:
            raise unavailable() from error
        finally:
            talk.wire.close()

    def run(self, plan: SqlPlan, confinement: Confinement, lease: Lease, cancellation: Cancellation) -> Fetched:  # noqa: ARG002 - the login confines
        """Run the plan on a session of its login; raises `Refused` or `PlanStale`."""
        lent, until = _lent(lease), end_of(plan, cancellation)
        try:
            with self._places.hold(until, cancellation):
                return self._run_anew(_Call(plan, lent, until, cancellation))
        except Over:
            raise (cancelled() if cancellation.is_cancelled else timed_out()) from None

    def forget(self) -> None:
        """Close idle sessions; those in use close when they are given back."""
        self._claims_key = b""
        self._types = {}
        self._idle.forget()

    def close(self) -> None:
        """Close everything, now or when it is given back."""
        self._idle.forget(for_good=True)

    def _run_anew(self, call: _Call) -> Fetched:
        """Run the plan, and once more where only what this process remembers kept it from running."""
        claims_key = self._key_of_claims(call) if call.plan.claims else b""
        try:
            return self._run_somewhere(call, claims_key)
        except PlanStale:
            new_key = self._key_after(claims_key, call) if call.plan.claims else b""
            if not new_key:
                raise
            return self._run_somewhere(call, new_key)

    def _run_somewhere(self, call: _Call, claims_key: bytes) -> Fetched:
        """Run the plan on an idle session, and on a fresh one where that one is of no use any more."""
        try:
            return self._run(call, claims_key, is_fresh=False)
        except Outdated:
            return self._run(call, claims_key, is_fresh=True)

    def _run(self, call: _Call, claims_key: bytes, *, is_fresh: bool) -> Fetched:
        plan, lent = call.plan, call.lent
        epoch, key = self._idle.epoch, (lent.login, plan.max_seconds)
        session = None if is_fresh else self._idle.taken(key)
        if session is None:
            parameters = own_login(lent.server, lent.login, lent.password)
            try:
                session = Session(Talk(parameters, plan.max_seconds, call.until, call.cancellation), self._types)
            except Gone as error:
                raise self._shut(error) from error
        try:
            return session.run(plan, claims_key, call.until, call.cancellation)
        finally:
            self._idle.give_back(key, session, epoch if session.is_sound else None)

    def _key_of_claims(self, call: _Call) -> bytes:
        """Return the key that claims are signed with; asked for once."""
        known, lent = self._claims_key, call.lent
        if known:
            return known
        if lent.claims_password is None:
            raise Fault("postgres executor: claims without a lease for them")
        parameters = own_login(lent.server, claims_login(self._name), lent.claims_password)
        try:
            talk = Talk(parameters, CONNECT_S, call.until, call.cancellation)
            try:
                ((key,),) = talk.ask(KEY)
            finally:
                talk.wire.close()
        except Gone as error:
            raise self._shut(error) from error
        except Failed as error:
            if error.state in _GONE:
                raise self._unfit("the database does not give the key of the claims") from error
            raise unavailable() from error
        if not isinstance(key, bytes) or len(key) < 32:
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


def _talk(parameters: Mapping[str, str], seconds: float) -> Talk:
    return Talk(parameters, seconds, time.monotonic() + seconds, Cancellation())


def _columns(talk: Talk, schema: str, relation: str) -> tuple[str, ...]:
    """Return the columns of a view; none if it cannot be read."""
    try:
        return talk.columns(f'"{schema}"."{relation}"')
    except Failed:
        return ()


def _lent(lease: Lease) -> LoginLease:
    if not isinstance(lease, LoginLease):
        raise Fault("postgres executor: a lease of another kind than a login's")
    return lease
