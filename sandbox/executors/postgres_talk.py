"""How is one login talked to? Logged in, in a state that the server confirms, one read-only question at a time.

What a session believes of its own state is asked of the server when it opens: a pooler in between may drop what it was
told to set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, final

from psycopg import pq

from sandbox.executors import postgres_claims
from sandbox.executors.ending import BACKSTOP_S
from sandbox.executors.idle import MAX_IDLE_S
from sandbox.executors.postgres_cells import Reader
from sandbox.executors.postgres_hosts import with_addresses
from sandbox.executors.postgres_wire import MAX_LET_GO, Result, Wire
from sandbox.executors.server_trouble import Gone, ServerError, TooMuch
from sandbox.leases import Secret, Server
from sandbox.stages import Cancellation
from sandbox.values import Row

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer to a question of ours."""
BEGIN: Final = b"begin"
ROLLBACK: Final = b"rollback"
WHERE_AND_WHEN: Final = b"where"
TELL_CLAIMS: Final = b"claims"
"""The names of statements that every session has prepared."""

_PREPARED: Final = {
    BEGIN: b"BEGIN READ ONLY",
    ROLLBACK: b"ROLLBACK",
    WHERE_AND_WHEN: postgres_claims.WHERE_AND_WHEN,
    TELL_CLAIMS: postgres_claims.SET,
}

_STATE: Final = {
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "on",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "10000",
    "idle_session_timeout": str(int((MAX_IDLE_S + 5) * 1000)),
    "client_connection_check_interval": "250",
}
"""Settings of every session, times in milliseconds, as pg_settings tells them."""
_AUTHENTICATION: Final = "!password,!md5,!gss,!sspi"
"""A password of ours is proven, never sent: whoever answers in the server's place learns nothing."""
_SETTINGS: Final = b"SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY ($1::text[])"
_GOOD: Final = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK})


class Failed(ServerError):
    """The server answered with an error."""

    def __init__(self, result: Result) -> None:
        """Keep its SQLSTATE and its place."""
        super().__init__((result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode("ascii", "replace"))
        position = result.error_field(pq.DiagnosticField.STATEMENT_POSITION) or b""
        self.position = int(position) if position.isdigit() else 0
        """In characters of the statement, counted from 1; 0 if it is not told."""


@final
class Talk:
    """A connection of one login. Used by one thread at a time."""

    __slots__ = ("wire",)

    def __init__(self, parameters: Mapping[str, str], seconds: float, until: float, cancellation: Cancellation) -> None:
        """Log in before `until`, for statements of at most `seconds`; raises `Gone` or `Over`."""
        timeout_ms = str(math.ceil((seconds + BACKSTOP_S) * 1000))
        state = {**_STATE, "statement_timeout": timeout_ms}
        options = " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in state.items())
        told = {"client_encoding": "UTF8", "application_name": "sandbox", "options": options, "passfile": "/dev/null"}
        self.wire = Wire({**with_addresses(parameters, until, cancellation), **told}, until, cancellation)
        try:
            self._begin(state)
        except BaseException as error:
            self.wire.close()
            if isinstance(error, Failed):
                raise Gone from error
            raise

    def ask(self, text: bytes, *values: bytes) -> list[Row]:
        """Return what a question of ours gives; raises `Failed`, `Gone` or `Over`."""
        self.wire.run(text, values)
        self.wire.sync()
        try:
            rows = Reader().rows(self.good(MAX_ANSWER))
        except Failed:
            self.wire.drain()
            raise
        self.wire.drain()
        return rows

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the columns of a table or view that the login may read, and none of its rows; raises as `ask` does."""
        self.wire.run(f"SELECT * FROM {table} LIMIT 0".encode())  # noqa: S608 - a quoted name
        self.wire.sync()
        try:
            result = self.good()
        finally:
            self.wire.drain()
        return tuple(name for name, _, _ in described(result))

    def good(self, max_answer: int = MAX_LET_GO) -> Result:
        """Return the one result of the next statement; raises `Failed` for an error, `Gone` where there is another."""
        try:
            result = self.wire.result(max_answer)
            if result is not None and result.status not in _GOOD:
                raise Failed(result)
            if result is None or self.wire.result(max_answer) is not None:
                raise Gone
        except TooMuch as error:
            raise Gone from error
        return result

    def _begin(self, state: Mapping[str, str]) -> None:
        names = "{" + ",".join(state) + "}"
        for name, text in _PREPARED.items():
            self.wire.prepare(name, text)
        self.wire.run(_SETTINGS, [names.encode()])
        self.wire.sync()
        for _ in _PREPARED:
            self.good()
        found = Reader().rows(self.good())
        self.wire.drain()
        if {str(name): str(setting) for name, setting in found} != state:
            raise Gone


def own_login(server: Server, login: str, password: Secret) -> Mapping[str, str]:
    """Return libpq's parameters for a login of ours."""
    own = {"user": login, "password": password.reveal(), "require_auth": _AUTHENTICATION}
    return {**server.parameters, **own}


def described(result: Result) -> tuple[tuple[str, int, int], ...]:
    """Return name, type of pg_type and its modifier of each column."""
    return tuple(
        ((result.fname(at) or b"").decode("utf-8", "replace"), result.ftype(at), result.fmod(at))
        for at in range(result.nfields)
    )
