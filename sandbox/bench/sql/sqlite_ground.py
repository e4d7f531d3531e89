"""The shop on SQLite: bare in memory, confined on a file, and a copy of what may be seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import final

from sandbox.bench.sql.ground import DISAGREES, all_rights, filled, plan, proven_by, told_fetched
from sandbox.bench.sql.harm import BARE_S, BOUNDED_S, CANARY, Harm, Seen
from sandbox.bench.sql.shop import MAX_BYTES, SHOWN_VIEW, TABLES, Tables, permitted_shop, rules, whole_shop
from sandbox.bench.sql.sqlite_owner import answer_of, image, opened, settings_of
from sandbox.executors.engine import Confinement, PlanStale
from sandbox.executors.sqlite import SqliteExecutor
from sandbox.leases import FileLease
from sandbox.reasons import Refused
from sandbox.sql import Proven
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import Cancellation
from sandbox.toolspec import Connection, Digest, FileTarget, SqlCeiling, SqlEngine


@final
class SqliteGround:
    """The shop on SQLite."""

    engine: SqlEngine = "sqlite"

    def __init__(self, folder: Path, tables: Tables = TABLES) -> None:
        """Make the shop's file and a scratch folder, with a file of somebody else's, in `folder`."""
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        self._other = image(["CREATE TABLE theirs (word TEXT)", f"INSERT INTO theirs VALUES ('{CANARY}')"])  # noqa: S608 - constants
        self._whole, self._permitted = image(whole_shop(0, tables)), image(permitted_shop(0, tables))
        self._file = folder / "shop.db"
        self._file.write_bytes(self._whole)
        self._put_right()
        self._rules = rules("", tables)
        connection = Connection(
            name="bench",
            engine="sqlite",
            target=FileTarget(str(self._file)),
            ceiling=SqlCeiling(None),
            digest=Digest("0" * 64),
        )
        self._executor = SqliteExecutor(connection)
        self._catalogue = self._executor.read_catalogue()
        self._confinement = Confinement(
            key=Digest("1" * 64), tables=self._rules, views=frozenset({SHOWN_VIEW}), max_bytes=MAX_BYTES
        )
        self._lease = FileLease("bench", str(self._file), "read-only", b"")

    def bare(self, text: str) -> Seen:
        """Run a text on a fresh copy in memory as its owner."""
        with closing(opened(self._whole)) as connection:
            fresh = settings_of(connection)
            answer, is_answered, harms = answer_of(connection, text)
            if connection.in_transaction:
                harms.add(Harm.HOLDS)
            if connection.serialize("main") != self._whole or settings_of(connection) != fresh or not self._is_right():
                harms.add(Harm.CHANGED)
        self._put_right()
        return Seen(answer, is_answered, frozenset(harms))

    def permit(self, text: str) -> Proven:
        """Take a text through the gate; raises `Refused`."""
        return proven_by("sqlite", text, self._catalogue, self._rules, {})

    def permit_bare(self, text: str) -> str:
        """Take a text through the gate, and return what may run; raises `Refused`."""
        return self.permit(text).sql_to_run

    def confined(self, text: str) -> Seen:
        """Run a text on a session that is confined to the tool, with all the rights it could have."""
        return self.run(all_rights(text, self._rules, DIALECTS["sqlite"].functions), text, BARE_S)

    def run(self, proven: Proven, text: str, seconds: float) -> Seen:
        """Run what the gate let through on a session that is confined to the tool."""
        begun = time.monotonic()
        answer, is_answered = self.ask(proven, text, seconds)
        harms = {Harm.SPENDS} if time.monotonic() - begun > seconds + BOUNDED_S else set[Harm]()
        if not self._is_right() or self._file.read_bytes() != self._whole:
            harms.add(Harm.CHANGED)
            self._put_right()
        return Seen(answer, is_answered, frozenset(harms))

    def ask(self, proven: Proven, text: str, seconds: float) -> tuple[str, bool]:
        """Run what the gate let through, unwatched; returns rows or error, and whether it ended."""
        try:
            made = plan("sqlite", text, proven, seconds)
            return told_fetched(self._executor.run(made, self._confinement, self._lease, Cancellation())), True
        except Refused as refused:
            return f"{refused.reason} {refused.rule} {refused.message} {dict(refused.metadata)}", False
        except PlanStale as stale:
            return f"{DISAGREES} {stale}", False

    def owned(self, text: str) -> Seen:
        """Run a text as the owner of what the tool may show."""
        with closing(opened(self._permitted)) as connection:
            answer, is_answered, _ = answer_of(connection, text)
        return Seen(answer, is_answered, frozenset())

    def fill(self, sql: str, guess: str) -> str:
        """Return an attack with its guess and its folder."""
        return filled(sql, guess, self._scratch)

    def close(self) -> None:
        """Let go of the file."""
        self._executor.close()

    def _is_right(self) -> bool:
        found = {path.name: path.read_bytes() for path in self._scratch.iterdir()}
        return found == {"other.db": self._other}

    def _put_right(self) -> None:
        if not self._is_right():
            for path in self._scratch.iterdir():
                path.unlink()
            (self._scratch / "other.db").write_bytes(self._other)
        if self._file.read_bytes() != self._whole:
            self._file.write_bytes(self._whole)


@contextmanager
def sqlite_ground() -> Iterator[SqliteGround]:
    """Make the shop in a folder that goes at the end."""
    with TemporaryDirectory(prefix="sandbox-bench-") as folder, closing(SqliteGround(Path(folder))) as ground:
        yield ground
