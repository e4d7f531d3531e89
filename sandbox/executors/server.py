"""How do plans run on a server of databases, whichever its engine? On sessions of the login that a tool's shape names.

What a login may read is the database's own business: the set-up script that its administrator ran made the logins, and
the views that are all they can read. How its server is talked to is told by each engine's own file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, Protocol, TypeVar, final

from sandbox.executors import idle
from sandbox.executors.ending import CONNECT_S, Over, cancelled, end_of, timed_out
from sandbox.executors.engine import Confinement, Fetched, NotSetUp, PlanStale
from sandbox.executors.grant_shape import GrantShape, grant_shape
from sandbox.executors.places import Places
from sandbox.executors.server_trouble import Gone, ServerError, Trouble, unavailable
from sandbox.leases import LoginLease, Secret
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
"""Idle sessions kept for one connection, over all logins, claims and workers; each is a process or thread of the
server."""


class Wire(Protocol):
    """A connection that can be closed."""

    def close(self) -> None:
        """Hang up."""
        ...


class Talk(Protocol):
    """A connection of one login."""

    @property
    def wire(self) -> Wire:
        """What it goes over."""
        ...


class Session(idle.Session, Protocol):
    """A session of one login."""

    is_sound: bool
    """Whether it may run another plan."""


TalkOf = TypeVar("TalkOf", bound=Talk)
SessionOf = TypeVar("SessionOf", bound=Session)


@final
@dataclass(frozen=True, slots=True)
class Call:
    """A plan with what it may use: a lease, and time."""

    plan: SqlPlan
    confinement: Confinement
    lent: LoginLease
    until: float
    cancellation: Cancellation


class ServerExecutor(ABC, Generic[TalkOf, SessionOf]):
    """Runs plans on the database of one connection; an engine's own class says how it is asked."""

    sentences: ClassVar[Mapping[Trouble, str]]
    """What each trouble is called to operators."""
    no_function_codes: ClassVar[frozenset[str]]
    """Codes of the server's errors for a function that is not there, or not for whoever asks."""

    def __init__(self, connection: Connection, workers: int = 1) -> None:
        """Begin without sessions; so many processes share what the service may have of them."""
        self._engine = connection.engine
        if not isinstance(connection.target, ServerTarget):
            raise Fault(f"{self._engine} executor: a connection that is no server")
        self._name = connection.name
        self._dsn = connection.target.dsn
        self._idle: idle.IdleSessions[Hashable, SessionOf] = idle.IdleSessions(
            max(1, MAX_IDLE // workers), idle.MAX_IDLE_S
        )
        self._places = Places(max(1, MAX_RUNNING // workers))
        self._claims_key = b""

    @abstractmethod
    def _read_catalogue(self, seconds: float) -> Catalogue:
        """Read the database's tables as the dsn's login; raises `Gone`, `Over` or `ServerError`."""

    @abstractmethod
    def _log_in(self, lent: LoginLease, seconds: float) -> TalkOf:
        """Log in as a tool, for so many seconds; raises `Gone` or `Over`."""

    @abstractmethod
    def _look_at_views(self, talk: TalkOf, shape: GrantShape, confinement: Confinement) -> None:
        """Raise `Refused` unless the tool's views are what its rules say; `Gone` or `Over` if they cannot be asked."""

    @abstractmethod
    def _run(self, call: Call, claims_key: bytes) -> Fetched:
        """Run a plan on a session of its login; raises `Refused` or `PlanStale`."""

    @abstractmethod
    def _ask_claims_key(self, call: Call, login: str, password: Secret) -> bytes:
        """Ask for the key of the claims, nothing for one that is none; raises `Gone`, `Over` or `ServerError`."""

    def read_catalogue(self, seconds: float = CONNECT_S) -> Catalogue:
        """Read the database's tables as the dsn's login; raises `Refused` with `EXECUTOR_UNAVAILABLE`.

        With a delay where it is the server's affair, which may pass; without one where no dsn can be read.
        """
        try:
            return self._read_catalogue(seconds)
        except (Gone, Over, ServerError) as error:
            message = f"the database of connection {quoted(self._name)} cannot be asked now: {self._why(error)}"
            raise Refused(Reason.EXECUTOR_UNAVAILABLE, message, retry_after_s=1.0) from error

    def rehearse(self, confinement: Confinement, lease: Lease, seconds: float = CONNECT_S) -> None:
        """Log in once and look at each view that stands for a table of the tool."""
        lent = self._lent(lease)
        shape = grant_shape(self._name, confinement.tables)
        try:
            talk = self._log_in(lent, seconds)
        except (Gone, Over) as error:
            raise self._shut(error) from error
        try:
            with closing(talk.wire):
                self._look_at_views(talk, shape, confinement)
        except (Gone, Over) as error:
            raise unavailable() from error

    def run(self, plan: SqlPlan, confinement: Confinement, lease: Lease, cancellation: Cancellation) -> Fetched:
        """Run the plan on a session of its login; raises `Refused` or `PlanStale`."""
        lent, until = self._lent(lease), end_of(plan, cancellation)
        try:
            with self._places.hold(until, cancellation):
                return self._run_anew(Call(plan, confinement, lent, until, cancellation))
        except Over:
            raise (cancelled() if cancellation.is_cancelled else timed_out()) from None

    def forget(self) -> None:
        """Close idle sessions; those in use close when they are given back."""
        self._claims_key = b""
        self._idle.forget()

    def close(self) -> None:
        """Close everything, now or when it is given back."""
        self._idle.forget(for_good=True)

    @contextmanager
    def _session(
        self, key: Hashable, opened: Callable[[], SessionOf], *, is_fresh: bool = False
    ) -> Iterator[SessionOf]:
        """Lend a session that is kept for `key`, or one opened; give it back if it is sound."""
        epoch = self._idle.epoch
        session = None if is_fresh else self._idle.taken(key)
        if session is None:
            try:
                session = opened()
            except Gone as error:
                raise self._shut(error) from error
        try:
            yield session
        finally:
            self._idle.give_back(key, session, epoch if session.is_sound else None)

    def _check_columns(self, shape: GrantShape, columns_of: Callable[[str, str], tuple[str, ...]]) -> None:
        """Raise `Refused` unless each view, of a schema and a name, has the columns of its rule."""
        for name, (schema, relation) in shape.views.items():
            try:
                columns = columns_of(schema, relation)
            except ServerError:
                columns = ()
            if not columns:
                raise self._unfit(f"the view of {quoted(relation)} is gone, or the tool's login may not read it")
            if columns != shape.rules[name].columns:
                raise self._unfit(f"the view of {quoted(relation)} is not what the tool's rules say")

    def _run_anew(self, call: Call) -> Fetched:
        """Run the plan, and once more where only what this process remembers kept it from running."""
        claims_key = self._key_of_claims(call) if call.plan.claims else b""
        try:
            return self._run(call, claims_key)
        except PlanStale:
            new_key = self._key_after(claims_key, call) if call.plan.claims else b""
            if not new_key:
                raise
            return self._run(call, new_key)

    def _key_of_claims(self, call: Call) -> bytes:
        """Return the key that claims are signed with; asked for once."""
        if known := self._claims_key:
            return known
        password = call.lent.claims_password
        if password is None:
            raise Fault(f"{self._engine} executor: claims without a lease for them")
        try:
            key = self._ask_claims_key(call, claims_login(self._name), password)
        except Gone as error:
            raise self._shut(error) from error
        except ServerError as error:
            if error.code in self.no_function_codes:
                raise self._unfit("the database does not give the key of the claims") from error
            raise unavailable() from error
        if not key:
            raise unavailable()
        self._claims_key = key
        return key

    def _key_after(self, old: bytes, call: Call) -> bytes:
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
        warn_often("database not reached", self._name, causes=self._why(error))
        if isinstance(error, Over) or not error.was_refused:
            return unavailable()
        return self._unfit("the database does not let the tool's login in")

    def _unfit(self, what: str) -> NotSetUp:
        return NotSetUp(
            what, f"`sandbox doctor --setup-sql {self._name}` prints the script that its administrator runs"
        )

    def _why(self, error: Gone | Over | ServerError) -> str:
        """Return, for operators, why a server was not asked."""
        match error:
            case Gone(trouble=trouble):
                return self.sentences[trouble]
            case Over():
                return self.sentences["timed_out"]
            case _:
                return "it does not tell its catalogue"

    def _lent(self, lease: Lease) -> LoginLease:
        if not isinstance(lease, LoginLease):
            raise Fault(f"{self._engine} executor: a lease of another kind than a login's")
        return lease
