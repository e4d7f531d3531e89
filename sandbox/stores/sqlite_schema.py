"""Which tables hold the log in SQLite, and how does an earlier version become this one?"""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from sandbox.deployment import Misconfigured
from sandbox.stores.log import StoreUnavailable

BUSY_MS: Final = 5_000
_SCHEMA: Final = """
-- The first root is that of a tree without leaves: SHA-256 of an empty string (RFC 6962, section 2.1).
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 0), size INTEGER NOT NULL, root BLOB NOT NULL,
                   frontier BLOB NOT NULL);
CREATE TABLE leaves (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL, call_id BLOB, record BLOB NOT NULL);
CREATE INDEX leaves_call ON leaves (call_id) WHERE call_id IS NOT NULL;
CREATE TABLE payloads (id INTEGER PRIMARY KEY, subject INTEGER NOT NULL, wrapped_key BLOB NOT NULL,
                       ciphertext BLOB NOT NULL);
CREATE TABLE tiles (level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, idx))
    WITHOUT ROWID;
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, root BLOB NOT NULL, signature BLOB, seal BLOB NOT NULL);
CREATE INDEX checkpoints_unsigned ON checkpoints (size) WHERE signature IS NULL;
CREATE TABLE chains (token BLOB PRIMARY KEY, sequence INTEGER NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE requests (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, idx INTEGER NOT NULL, content BLOB NOT NULL,
                       expires_us INTEGER NOT NULL);
CREATE TABLE subjects (id INTEGER PRIMARY KEY, lookup BLOB NOT NULL UNIQUE, wrapped_key BLOB);
CREATE TABLE files (kind INTEGER NOT NULL, name TEXT NOT NULL, idx INTEGER NOT NULL, digest BLOB NOT NULL,
                    PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE probe (content BLOB NOT NULL);
CREATE TABLE intents (idx INTEGER PRIMARY KEY);
INSERT INTO head VALUES (0, 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x'');
PRAGMA user_version = 3;
"""
UPGRADES: Final = {2: "CREATE TABLE intents (idx INTEGER PRIMARY KEY); PRAGMA user_version = 3;"}
"""From one schema to the next. No build that wrote schema 2 wrote an intent, so there is none to fill in."""


def check_tables(connection: apsw.Connection, version: int) -> None:
    """Raise `StoreUnavailable` for a table, index, view or trigger that this schema does not have so.

    # INVARIANT: no view stands where a table is expected, and no trigger waits for the log to be written.
    """
    found = _tables(connection) - _STATISTICS
    with closing(apsw.Connection(":memory:")) as expected:
        expected.execute(_SCHEMA)
        known = _tables(expected)
    if version in UPGRADES:
        known = {each for each in known if each.table != "intents"}
    for wrong in sorted(found ^ known, key=lambda each: (each.kind not in {"table", "view"}, each.name)):
        message = f"`{wrong.name}` is not as the log's schema {version} has it"
        raise StoreUnavailable(f"{message}; nobody but the service may change this file")


class _Object(NamedTuple):
    kind: str
    name: str
    table: str
    sql: str


_STATISTICS: Final = {
    _Object("table", "sqlite_stat1", "sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    _Object("table", "sqlite_stat4", "sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
}
"""What an administrator's `ANALYZE` leaves; it changes nothing that is read."""


def _tables(connection: apsw.Connection) -> set[_Object]:
    rows = connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema")
    return {_Object(*map(str, row)) for row in rows}


def make_log(path: Path) -> None:
    """Make the file with its tables unless another process has; bring those of an earlier version to this one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    os.close(descriptor)
    if mode & 0o077:
        raise Misconfigured(f"{path}: mode {mode:04o} lets others at the log; only 0600 is accepted")
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(BUSY_MS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        version = connection.pragma("user_version")
        if version == 0:
            connection.execute(_SCHEMA)
        elif version in UPGRADES:
            check_tables(connection, version)
            connection.execute(UPGRADES[version])
        connection.execute("COMMIT")
    finally:
        connection.close()
