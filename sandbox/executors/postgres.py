"""How is a PostgreSQL database asked? As its logins, on sessions that keep their statements prepared."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final, final

from sandbox.executors.ending import CONNECT_S
from sandbox.executors.engine import Confinement, Fetched
from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.postgres_catalogue import read_server_catalogue
from sandbox.executors.postgres_claims import KEY
from sandbox.executors.postgres_session import Outdated, Session, TypeNames
from sandbox.executors.postgres_talk import Talk, own_login
from sandbox.executors.postgres_trouble import SENTENCES
from sandbox.executors.server import Call, ServerExecutor
from sandbox.leases import LoginLease, Secret, parse_postgres_dsn, read_dsn
from sandbox.reasons import quoted
from sandbox.sql import Catalogue
from sandbox.stages import Cancellation
from sandbox.toolspec import Connection

_MIN_KEY_BYTES: Final = 32


@final
class PostgresExecutor(ServerExecutor[Talk, Session]):
    """Runs plans on the PostgreSQL database of one connection."""

    sentences = SENTENCES
    no_function_codes = frozenset({"3F000", "42501", "42883"})

    def __init__(self, connection: Connection, workers: int = 1) -> None:
        """Begin without sessions; so many processes share what the service may have of them."""
        super().__init__(connection, workers)
        self._types: TypeNames = {}

    def forget(self) -> None:
        """Close idle sessions; those in use close when they are given back."""
        self._types = {}
        super().forget()

    def _read_catalogue(self, seconds: float) -> Catalogue:
        dsn = read_dsn(self._dsn, self._name, parse_postgres_dsn, seconds)
        password = {} if dsn.password is None else {"password": dsn.password.reveal()}
        parameters = {**dsn.server.parameters, "user": dsn.user, **password}
        talk = Talk(parameters, seconds, time.monotonic() + seconds, Cancellation())
        with closing(talk.wire):
            return read_server_catalogue(talk)

    def _log_in(self, lent: LoginLease, seconds: float) -> Talk:
        parameters = own_login(lent.server, lent.login, lent.password)
        return Talk(parameters, seconds, time.monotonic() + seconds, Cancellation())

    def _look_at_views(self, talk: Talk, shape: GrantShape, confinement: Confinement) -> None:  # noqa: ARG002 - no table can become a view beneath a view
        if talk.wire.is_superuser:
            raise self._unfit(f"login {quoted(shape.login)} is a superuser's, whom nothing confines")
        self._check_columns(shape, lambda schema, relation: talk.columns(f'"{schema}"."{relation}"'))

    def _run(self, call: Call, claims_key: bytes) -> Fetched:
        """Run the plan on an idle session, and on a fresh one where that one is of no use any more."""
        try:
            return self._run_on_one(call, claims_key, is_fresh=False)
        except Outdated:
            return self._run_on_one(call, claims_key, is_fresh=True)

    def _run_on_one(self, call: Call, claims_key: bytes, *, is_fresh: bool) -> Fetched:
        plan, lent = call.plan, call.lent

        def opened() -> Session:
            parameters = own_login(lent.server, lent.login, lent.password)
            return Session(Talk(parameters, plan.max_seconds, call.until, call.cancellation), self._types)

        with self._session((lent.login, plan.max_seconds), opened, is_fresh=is_fresh) as session:
            return session.run(plan, claims_key, call.until, call.cancellation)

    def _ask_claims_key(self, call: Call, login: str, password: Secret) -> bytes:
        talk = Talk(own_login(call.lent.server, login, password), CONNECT_S, call.until, call.cancellation)
        with closing(talk.wire):
            ((key,),) = talk.ask(KEY)
        return key if isinstance(key, bytes) and len(key) >= _MIN_KEY_BYTES else b""
