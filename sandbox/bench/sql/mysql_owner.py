"""What does a text do on a bare MariaDB? It runs as an administrator, several statements at once if it says so."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, final

from sandbox.bench.sql.ground import told
from sandbox.bench.sql.harm import BARE_S, MAX_ROWS, Harm, Seen, shows_canary
from sandbox.bench.sql.shop import TABLES
from sandbox.deployment import Misconfigured
from sandbox.executors.ending import Over
from sandbox.executors.mysql_packets import SCRIPTS, Malformed, error_number, length_at, read_column, read_row
from sandbox.executors.mysql_talk import SQL_MODE, query
from sandbox.executors.mysql_wire import Wire
from sandbox.executors.server_trouble import Gone, TooMuch
from sandbox.stages import Cancellation

_MORE: Final = 0x8
"""Of an answer's status: another one follows."""
_EOF: Final = 0xFE
_ERROR: Final = 0xFF
_EMPTY: Final = 1065
"""What the server says of a text with comments alone."""
SPENT: Final = frozenset({1969, 3024, 1317, 1037, 1038, 1041, 1290})
"""What it says of what was stopped for its time or for want of memory."""
_LOCKS_ROWS: Final = ("UPDATE", "SHARE")
"""What a text holds that locks rows and changes none."""
_TOLD_ROWS: Final = 2_000
_MAX_BYTES: Final = 32 * 1024 * 1024
_PATIENCE_S: Final = 30.0
GRACE_S: Final = 3.0
"""How much longer than its time a statement is listened to, for a machine may be busy."""

_BEGIN: Final = f"""
SET NAMES utf8mb4; SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', max_recursive_iterations = 4294967295,
 lock_wait_timeout = 5, innodb_lock_wait_timeout = 5
"""
_VOLATILE: Final = (
    *("timestamp", "rand_seed1", "rand_seed2", "last_insert_id", "identity", "insert_id", "error_count"),
    *("warning_count", "in_transaction", "pseudo_thread_id", "last_gtid"),
)
_VARIABLES: Final = f"""
SELECT SUM(CRC32(CONCAT(VARIABLE_NAME, '=', VARIABLE_VALUE)))
  FROM information_schema.{{}}
 WHERE VARIABLE_NAME NOT IN ('{"', '".join(_VOLATILE)}') AND VARIABLE_NAME NOT LIKE 'gtid%'
"""  # noqa: S608 - constants
SESSION: Final = f"""
SELECT DATABASE(), (SELECT COUNT(*) FROM information_schema.USER_VARIABLES);{_VARIABLES.format("SESSION_VARIABLES")}
"""  # noqa: S608 - constants
"""Of what a session keeps."""
_SETTINGS: Final = "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES"
_OBJECTS: Final = (
    "TABLE_NAME, TABLE_TYPE, ENGINE, CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA",
    "TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, COLUMN_DEFAULT FROM information_schema.COLUMNS WHERE TABLE_SCHEMA",
    "TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA",
    "ROUTINE_NAME, LAST_ALTERED, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA",
    "TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA",
    "EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA",
)


class Told(NamedTuple):
    """What a server answered to one command."""

    answers: list[tuple[list[str], list[list[str | None]]]]
    """Names and rows, of each statement."""
    error: tuple[int, str] | None
    """What ended it, if something did."""

    def __str__(self) -> str:
        """Write it so that it can be searched and compared."""
        lines = [f"{len(rows)} rows {told(names, rows[:_TOLD_ROWS])}" for names, rows in self.answers]
        return "\n".join([*lines, *([f"{self.error[0]} {self.error[1]}"] if self.error else [])])


@final
class Client:
    """A connection as an administrator, who may send several statements at once."""

    def __init__(self, place: Mapping[str, str], login: tuple[str, str, str]) -> None:
        """Log in as `(user, password, database)`; raises `Gone` or `Over`."""
        self._wire = Wire(place, login, time.monotonic() + _PATIENCE_S, Cancellation(), SCRIPTS)
        self.number = str(self.ask(f"{_BEGIN}; SELECT CONNECTION_ID()").answers[-1][1][0][0])

    def ask(self, text: str, seconds: float = _PATIENCE_S) -> Told:
        """Run a text; raises `Gone`, `Over` after so many seconds, or `TooMuch`."""
        self._wire.bound(time.monotonic() + seconds, Cancellation())
        self._wire.send(query(text))
        found = Told([], None)
        try:
            while True:
                head = self._wire.packet(_MAX_BYTES)
                if head[0] == _ERROR:
                    return found._replace(error=_error(head))
                if head[0] == 0:
                    _, at = length_at(head, 1)
                    _, at = length_at(head, at)
                    ended = head[at : at + 2]
                else:
                    last = self._rows(length_at(head, 0)[0], found)
                    if last[0] == _ERROR:
                        return found._replace(error=_error(last))
                    ended = last[3:5]
                if not int.from_bytes(ended, "little") & _MORE:
                    return found
        except Malformed as error:
            raise Gone from error

    def done(self, text: str) -> list[list[str | None]]:
        """Run a text of ours and return the last rows; raises `Misconfigured` where it ends with an error."""
        found = self.ask(text)
        if found.error and found.error[0] != _EMPTY:
            raise Misconfigured(f"--mysql: the server does not do what an administrator asks: {found.error[1]}")
        return found.answers[-1][1] if found.answers else []

    def close(self) -> None:
        """Hang up."""
        self._wire.close()

    def _rows(self, count: int, found: Told) -> bytes:
        """Take names and rows, and return the packet after them."""
        wire = self._wire
        names = [read_column(wire.packet()).name for _ in range(count)]
        wire.packet()
        rows: list[list[str | None]] = []
        found.answers.append((names, rows))
        while True:
            packet = wire.packet(_MAX_BYTES)
            if packet[0] == _ERROR or (packet[0] == _EOF and len(packet) < 9):
                return packet
            if len(rows) > MAX_ROWS:
                raise TooMuch
            cells = read_row(packet, count)
            rows.append([None if cell is None else cell.decode("utf-8", "backslashreplace") for cell in cells])


def fingerprint(client: Client, database: str) -> str:
    """Return what everything is that the server keeps of a database, and for all of them."""
    tables = ", ".join(f"`{database}`.`{name}`" for name in TABLES)
    objects = "; ".join(f"SELECT {what} = '{database}' ORDER BY 1" for what in _OBJECTS)
    asked = [
        *("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA", _VARIABLES.format("GLOBAL_VARIABLES")),
        *(objects, f"SELECT * FROM `{database}`.numbers"),  # noqa: S608 - our own names
        f"CHECKSUM TABLE {tables}, mysql.global_priv, mysql.db, mysql.tables_priv, mysql.procs_priv",
    ]
    return str(client.ask(";".join(asked)))


@final
class Bare:
    """A database that texts may spoil; made anew where one has."""

    def __init__(
        self, connect: Callable[[str], Client], database: str, anew: Callable[[], None], is_right: Callable[[], bool]
    ) -> None:
        """Work on `database`; `anew` makes it again, `is_right` says whether the files are as they were."""
        self._connect = connect
        self._database = database
        self._anew = anew
        self._is_right = is_right
        self._watch = connect("information_schema")
        self._settings = self._settings_now()
        self._kept = fingerprint(self._watch, database)
        self._open()

    def run(self, text: str) -> Seen:
        """Run a text; where that shows nothing and it may lock rows, once more in a transaction, which keeps them."""
        seen = self._run(text, is_within=False)
        if seen.harms or shows_canary(seen.answer) or not any(word in text.upper() for word in _LOCKS_ROWS):
            return seen
        again = self._run(text, is_within=True)
        return again if again.harms else seen

    def close(self) -> None:
        """Hang up."""
        self._session.close()
        self._watch.close()

    def _open(self) -> None:
        self._session = self._connect(self._database)
        self._session.ask(f"SET SESSION max_statement_time = {BARE_S}")
        self._fresh = str(self._session.ask(SESSION))

    def _run(self, text: str, *, is_within: bool) -> Seen:
        if is_within:
            self._session.ask("START TRANSACTION")
        begun = time.monotonic()
        try:
            found = self._session.ask(text, BARE_S + GRACE_S)
        except (Gone, Over, TooMuch) as error:
            seen = Seen(type(error).__name__, is_answered=False, harms=frozenset())
            harms = set[Harm]() if isinstance(error, Gone) else {Harm.SPENDS}
            return self._put_right(seen, harms, is_spoilt=True)
        harms = {Harm.SPENDS} if found.error and found.error[0] in SPENT else set[Harm]()
        if time.monotonic() - begun > BARE_S:  # some functions end early, and say so nowhere
            harms.add(Harm.SPENDS)
        if self._holds(is_within=is_within):
            harms.add(Harm.HOLDS)
        if is_within:
            self._session.ask("ROLLBACK")
        if self._session_now() != self._fresh:
            harms.add(Harm.CHANGED)
        return self._put_right(Seen(str(found), found.error is None, frozenset()), harms, is_spoilt=bool(harms))

    def _put_right(self, seen: Seen, harms: set[Harm], *, is_spoilt: bool) -> Seen:
        """Begin a spoilt session anew, and the database and the settings where they are not what they were."""
        if is_spoilt:
            self._session.close()
            self._watch.ask(f"KILL {self._session.number}")
        is_kept = fingerprint(self._watch, self._database) == self._kept
        if not is_kept or not self._is_right():
            harms.add(Harm.CHANGED)
        if not is_kept:
            for name, value in self._settings_now().items():
                if (old := self._settings.get(name, value)) != value:
                    self._watch.ask(f"SET GLOBAL {name} = {old if _NUMBER.fullmatch(old) else repr(old)}")
            if not is_spoilt:
                self._session.close()
            self._anew()
            self._kept = fingerprint(self._watch, self._database)
        if is_spoilt or not is_kept:
            self._open()
        return Seen(seen.answer, seen.is_answered, frozenset(harms))

    def _holds(self, *, is_within: bool) -> bool:
        """Whether the session has a lock of any kind, or a transaction that the text began."""
        if self._one("SELECT RELEASE_ALL_LOCKS()") != "0":
            return True
        if self._watch.done(f"SHOW OPEN TABLES FROM `{self._database}` WHERE In_use > 0"):
            return True
        if not is_within:
            return self._one("SELECT @@in_transaction") != "0"
        ((*_, status),) = self._watch.done("SHOW ENGINE INNODB STATUS")
        mine = _LOCKS.format(re.escape(self._session.number))
        return re.search(mine, status or "") is not None

    def _one(self, question: str) -> str | None:
        """Return the one cell that a question gives the session; None where it may not ask it any more."""
        with suppress(Gone, Over):
            found = self._session.ask(question)
            return None if found.error else found.answers[0][1][0][0]
        return None

    def _session_now(self) -> str:
        with suppress(Gone, Over):
            return str(self._session.ask(SESSION))
        return "it cannot say"

    def _settings_now(self) -> dict[str, str]:
        return {str(name): str(value) for name, value in self._watch.done(_SETTINGS)}


_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_LOCKS: Final = r"\n[1-9][0-9]* lock struct\(s\)[^\n]*\nMariaDB thread id {},"


def _error(packet: bytes) -> tuple[int, str]:
    return error_number(packet), packet[9:].decode("utf-8", "backslashreplace")


def statements(script: str) -> Sequence[str]:
    """Take a script for MariaDB's client apart at its DELIMITER lines: what is sent as one command each."""
    found: list[str] = []
    for at, part in enumerate(re.split(r"^DELIMITER .*\n?", script, flags=re.MULTILINE)):
        found += part.split("$$") if at % 2 else [part]
    return [each for each in found if each.strip()]


MORE: Final = ("CREATE SEQUENCE numbers",)
"""What has the shop on MariaDB beside its tables."""
