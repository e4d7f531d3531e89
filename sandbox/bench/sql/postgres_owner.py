"""What does a text do on a bare PostgreSQL? It runs as a superuser, in a transaction first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

import psycopg
from psycopg import pq

from sandbox.bench.sql.ground import told
from sandbox.bench.sql.harm import BARE_S, MAX_ROWS, Harm, Seen, shows_canary
from sandbox.bench.sql.shop import TABLES

_TOLD_ROWS: Final = 2_000
_ROWS: Final = "(SELECT string_agg(t::text, ',' ORDER BY t::text) FROM public.{} AS t)"
_CATALOGUES: Final = (
    *("pg_proc", "pg_type", "pg_namespace", "pg_trigger", "pg_policy", "pg_extension", "pg_cast", "pg_operator"),
    *("pg_rewrite", "pg_constraint", "pg_event_trigger", "pg_publication", "pg_default_acl", "pg_language"),
    *("pg_foreign_data_wrapper", "pg_foreign_server", "pg_largeobject_metadata", "pg_authid"),
)
_COUNTED: Final = ("pg_attribute", "pg_description", "pg_auth_members", "pg_db_role_setting", "pg_largeobject")
_PARTS: Final = (
    *(_ROWS.format(name) for name in (*TABLES, "orders_old", "audit", "summary")),
    "(SELECT concat(last_value, is_called) FROM public.numbers)",
    (
        "(SELECT string_agg(concat_ws(' ', oid, relname, relnamespace, relowner, relacl, relkind, relnatts,"
        " relfilenode, reloptions, relrowsecurity), ',' ORDER BY oid) FROM pg_catalog.pg_class WHERE oid >= 16384)"
    ),
    (
        "(SELECT string_agg(pg_catalog.pg_get_viewdef(oid), ',' ORDER BY oid) FROM pg_catalog.pg_class"
        " WHERE relkind = 'v' AND relnamespace = 'public'::pg_catalog.regnamespace)"
    ),
    "(SELECT string_agg(prosrc, ',' ORDER BY oid) FROM pg_catalog.pg_proc WHERE oid >= 16384)",
    *(f"(SELECT concat(count(*), max(oid)) FROM pg_catalog.{name})" for name in _CATALOGUES),  # noqa: S608 - constants
    *(f"(SELECT count(*) FROM pg_catalog.{name})" for name in _COUNTED),  # noqa: S608 - constants
    "(SELECT string_agg(rolname || rolsuper || rolcanlogin, ',' ORDER BY oid) FROM pg_catalog.pg_roles)",
    "(SELECT string_agg(datname, ',' ORDER BY oid) FROM pg_catalog.pg_database)",
)
FINGERPRINT: Final = f"SELECT pg_catalog.md5(pg_catalog.concat_ws('|', {', '.join(_PARTS)}))".encode()
"""Of everything that a database keeps."""
SESSION: Final = b"""
SELECT pg_catalog.md5(pg_catalog.concat_ws('|', current_user, session_user,
 (SELECT string_agg(concat(name, setting), ',' ORDER BY name) FROM pg_catalog.pg_settings
   WHERE context IN ('user', 'superuser', 'superuser-backend', 'backend') AND name NOT LIKE 'transaction%'),
 (SELECT string_agg(c, ',') FROM pg_catalog.pg_listening_channels() AS c),
 (SELECT count(*) FROM pg_catalog.pg_prepared_statements), (SELECT count(*) FROM pg_catalog.pg_cursors),
 pg_catalog.pg_my_temp_schema()))
"""
"""Of what a session keeps."""
LOCKS: Final = b"""
SELECT count(*) FROM pg_catalog.pg_locks WHERE pid = $1 AND granted
   AND (locktype IN ('advisory', 'transactionid') OR (locktype IN ('relation', 'tuple') AND mode <> 'AccessShareLock'))
"""
"""Of one backend, those that reading does not take."""
CHANNEL: Final = "alarm"
"""The one channel that is listened to."""
_SPENT: Final = ("57014", "53")
"""How the SQLSTATE begins of what was stopped for its time or for want of memory."""


@final
class Bare:
    """A database that texts may spoil; made anew where one has."""

    def __init__(self, dsn: str, anew: Callable[[], None], is_right: Callable[[], bool]) -> None:
        """Work on the database of `dsn`; `anew` makes it again, `is_right` says whether the files are as they were."""
        self._dsn = dsn
        self._anew = anew
        self._is_right = is_right
        self._heard: list[str] = []
        self._open()

    def run(self, text: str) -> Seen:
        """Run a text in a transaction that is rolled back; where that shows nothing, once more without one."""
        seen = self._within(text)
        if seen.harms or shows_canary(seen.answer):
            return seen
        again = self._plainly(text)
        return again if again.harms else seen

    def close(self) -> None:
        """Hang up."""
        for connection in (self._session, self._watch):
            connection.close()

    def _open(self) -> None:
        # WHY: psycopg prepares what is asked often, and prepared statements are part of what a session keeps.
        self._session = psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None)
        self._session.execute(f"SET statement_timeout = {int(BARE_S * 1000)}".encode())
        self._session.execute("SET standard_conforming_strings = on")
        self._watch = psycopg.connect(self._dsn, autocommit=True)
        self._watch.execute(f"LISTEN {CHANNEL}".encode())
        self._watch.add_notify_handler(lambda notify: self._heard.append(notify.payload))

    def _reopen(self, kept: str) -> None:
        """Begin a session anew, and the database where it is not what it was."""
        self._session.close()
        is_kept = False
        with suppress(psycopg.Error):
            is_kept = answer_of(self._watch, FINGERPRINT) == kept
        self.close()
        if not is_kept:
            self._anew()
        self._open()

    def _within(self, text: str) -> Seen:
        self._session.execute("BEGIN")
        before = self._state()
        answer, is_answered, harms = run_plainly(self._session, text)
        ended = self._session.info.transaction_status
        if ended is pq.TransactionStatus.INTRANS:
            if self._locks():
                harms.add(Harm.HOLDS)
            if not self._is_as(before):
                harms.add(Harm.CHANGED)
            if self._is_alive():
                self._session.execute("ROLLBACK")
                if harms and (Harm.HOLDS in harms or not self._is_as(before)):
                    self._reopen(
                        before[0]
                    )  # what no rollback takes back: sequences, prepared statements, advisory locks
                return Seen(answer, is_answered, frozenset(harms))
        elif ended is pq.TransactionStatus.INERROR:
            self._session.execute("ROLLBACK")
            return Seen(answer, is_answered, frozenset(harms))
        elif not self._is_as(before):
            harms.add(Harm.CHANGED)
        self._reopen(before[0])
        return Seen(answer, is_answered, frozenset(harms))

    def _plainly(self, text: str) -> Seen:
        before = self._state()
        self._heard.clear()
        answer, is_answered, harms = run_plainly(self._session, text)
        for _ in range(2):
            self._watch.execute("SELECT 1")
        is_idle = self._session.info.transaction_status is pq.TransactionStatus.IDLE
        is_same = is_idle and self._is_as(before)
        if self._locks():
            harms.add(Harm.HOLDS)
        if not is_same or self._heard:
            harms.add(Harm.CHANGED)
        if harms:
            self._reopen(before[0])
        return Seen(answer, is_answered, frozenset(harms))

    def _is_alive(self) -> bool:
        return self._session.info.status is pq.ConnStatus.OK

    def _state(self) -> tuple[str, str]:
        return answer_of(self._session, FINGERPRINT), answer_of(self._session, SESSION)

    def _is_as(self, before: tuple[str, str]) -> bool:
        """Whether files, database and session are as they were; a session that cannot say is not."""
        try:
            return self._is_right() and self._is_alive() and self._state() == before
        except psycopg.Error:
            return False

    def _locks(self) -> bool:
        with psycopg.RawCursor(self._watch) as cursor:
            row = cursor.execute(LOCKS, [self._session.info.backend_pid]).fetchone()
        return row is not None and row[0] > 0


def answer_of(connection: psycopg.Connection, question: bytes) -> str:
    """Return the one cell that a question gives."""
    row = connection.execute(question).fetchone()
    return str(row[0]) if row else ""


def run_plainly(connection: psycopg.Connection, text: str) -> tuple[str, bool, set[Harm]]:
    """Run a text through the simple protocol; return its answers, whether all of them ended, and what was spent."""
    session, answers, harms, is_answered = connection.pgconn, list[str](), set[Harm](), True
    try:
        session.send_query(text.encode("utf-8", "surrogatepass").replace(b"\0", b""))
        session.flush()
        while (result := session.get_result()) is not None:
            if result.status == pq.ExecStatus.COPY_OUT:
                answers.append(_copied_out(session))
            elif result.status == pq.ExecStatus.COPY_IN:
                session.put_copy_end(b"nothing to give")
            elif result.status == pq.ExecStatus.FATAL_ERROR:
                state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
                is_answered = False
                answers.append(f"{state} {result.error_message.decode('utf-8', 'replace')}")
                harms |= {Harm.SPENDS} if state.startswith(_SPENT) else set()
            else:
                answers.append(_told(result))
                harms |= {Harm.SPENDS} if result.ntuples > MAX_ROWS else set()
            if session.status != pq.ConnStatus.OK:
                break
    except psycopg.Error as error:
        return f"{type(error).__name__}", False, harms
    return "\n".join(answers), is_answered, harms


def _copied_out(session: pq.abc.PGconn) -> str:
    lines: list[bytes] = []
    while True:
        size, line = session.get_copy_data(0)
        if size <= 0:
            return b"".join(lines).decode("utf-8", "replace")
        lines.append(bytes(line))


def _told(result: pq.abc.PGresult) -> str:
    names = [(result.fname(at) or b"").decode("utf-8", "replace") for at in range(result.nfields)]
    rows = [
        [(result.get_value(row, at) or b"NULL").decode("utf-8", "replace") for at in range(result.nfields)]
        for row in range(min(result.ntuples, _TOLD_ROWS))
    ]
    return f"{result.ntuples} rows {told(names, rows)}"
