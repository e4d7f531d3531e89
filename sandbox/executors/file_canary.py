"""Does an engine of files confine a tool here, with the gate switched off? Tried on a file of the sandbox's own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import apsw

from sandbox.executors.engine import Confinement, Executor, PlanStale
from sandbox.executors.executors import EXECUTORS
from sandbox.leases import FileLease
from sandbox.leases.files import file_lease
from sandbox.reasons import Reason, Refused
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import Cancellation, Rights, SqlPlan
from sandbox.toolspec import Connection, Digest, FileTarget, SqlCeiling, SqlEngine, TableRule
from sandbox.values import Row

_TABLES: Final = """\
CREATE TABLE canary (id INTEGER PRIMARY KEY, tenant TEXT, note TEXT, hidden TEXT);
INSERT INTO canary VALUES (1, 'mine', 'may be seen', 'sandbox-hidden'), (2, 'theirs', 'sandbox-hidden', '');
CREATE TABLE other (word TEXT);
INSERT INTO other VALUES ('sandbox-hidden');
"""
_RULE: Final = TableRule(table="canary", columns=("id", "tenant", "note"), row_filter="tenant = claim('tenant')")
_MINE: Final[Row] = (1, "mine", "may be seen")
_EVERYWHERE: Final = (
    "INSERT INTO canary (id) VALUES (3)",
    "UPDATE canary SET note = 'written'",
    "DELETE FROM canary",
    "DROP TABLE other",
    "CREATE TABLE made (x INTEGER)",
    "CREATE TEMP TABLE made AS SELECT 1 AS x",
    "SELECT hidden FROM canary",
    "SELECT id FROM canary WHERE hidden = 'sandbox-hidden'",
    "SELECT word FROM other",
    "SELECT count(*) FROM other",
    "SELECT * FROM main.canary",
    "SELECT * FROM sqlite_master",
    "ATTACH DATABASE ':memory:' AS made",
    "SELECT 1; DELETE FROM canary",
)
_FORBIDDEN: Final[Mapping[SqlEngine, tuple[str, ...]]] = MappingProxyType(
    {
        "sqlite": (
            *_EVERYWHERE,
            "SELECT * FROM pragma_database_list",
            "PRAGMA writable_schema = ON",
            "BEGIN IMMEDIATE",
            "SELECT load_extension('sandbox')",
        ),
        "duckdb": (
            *_EVERYWHERE,
            "SELECT * FROM duckdb_tables()",
            "SELECT * FROM (DESCRIBE other)",
            "SET enable_external_access = true",
            "SET lock_configuration = false",
            "SELECT * FROM read_text('/etc/hostname')",
            "SELECT * FROM '/etc/hostname'",
            "SELECT * FROM query('SELECT * FROM other')",
            "COPY canary TO '/dev/null'",
            "LOAD sandbox",
            "BEGIN",
        ),
    }
)
"""Each must be stopped by the engine, for the gate is not asked."""
_MAKE_S: Final = 60.0
"""Within which the canary file must be made."""


def slips_of_file_engine(engine: SqlEngine) -> tuple[str, ...]:
    """Return what an executor of such files lets through on a canary file, which is made and removed."""
    try:
        with tempfile.TemporaryDirectory(prefix="sandbox-canary-") as folder:
            path = Path(folder, f"canary.{engine}")
            _MADE_BY[engine](path)
            return tuple(_slips(engine, path))
    except (OSError, apsw.Error, subprocess.SubprocessError) as error:
        why = _last_line(error) or type(error).__name__
        folder = tempfile.gettempdir()
        return (f"the canary file cannot be made in {folder} ({why}); TMPDIR names another folder",)


def _last_line(error: Exception) -> str:
    """Return what a program said last before it failed; empty for any other error."""
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else b""
    return bytes(said).decode("utf-8", "replace").strip().rpartition("\n")[2]


def _make_sqlite(path: Path) -> None:
    database = apsw.Connection(str(path))
    try:
        database.execute(_TABLES)
    finally:
        database.close()


def _make_duckdb(path: Path) -> None:
    # WHY: DuckDB is never loaded into the service itself.
    make = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
    command = [sys.executable, "-I", "-c", make, str(path), _TABLES]
    subprocess.run(command, check=True, capture_output=True, timeout=_MAKE_S)  # noqa: S603 - this very Python


_MADE_BY: Final[Mapping[SqlEngine, Callable[[Path], None]]] = MappingProxyType(
    {"sqlite": _make_sqlite, "duckdb": _make_duckdb}
)


def _slips(engine: SqlEngine, path: Path) -> Iterator[str]:
    target = FileTarget(str(path))
    connection = Connection(
        name="canary", engine=engine, target=target, ceiling=SqlCeiling(None), digest=Digest("canary")
    )
    lease, executor = file_lease(connection, target), EXECUTORS[engine](connection)
    before = path.read_bytes()
    try:
        for statement in _FORBIDDEN[engine]:
            try:
                if _ran(engine, executor, lease, statement) is not None:
                    yield f"the engine does not stop `{statement}` on the canary"
            except Refused as refused:
                yield f"whether the engine stops `{statement}` on the canary is not known: {refused.message}"
        if not _shows_mine(engine, executor, lease):
            yield "the engine does not show of the canary what its row filter says"
    finally:
        executor.close()
    if path.read_bytes() != before:
        yield "the canary file was changed"


def _shows_mine(engine: SqlEngine, executor: Executor, lease: FileLease) -> bool:
    try:
        return _ran(engine, executor, lease, "SELECT * FROM canary") == (_MINE,)
    except Refused:
        return False


def _ran(engine: SqlEngine, executor: Executor, lease: FileLease, statement: str) -> tuple[Row, ...] | None:
    """Return the rows of a statement that no gate has seen; None where the engine stops it.

    Raises `Refused` where something else does: an engine that is not there stops nothing.
    """
    confinement = Confinement(key=Digest("canary"), tables={_RULE.table: _RULE}, views=frozenset(), max_bytes=64 * 1024)
    rights = Rights(
        relations=(_RULE.table,),
        columns=tuple((_RULE.table, column) for column in _RULE.columns),
        functions=tuple(DIALECTS[engine].functions),
        claims=("tenant",),
    )
    plan = SqlPlan(
        dialect=engine,
        connection="canary",
        connection_digest=Digest("canary"),
        proposed_sql=statement,
        sql_to_run=statement,
        parameters=MappingProxyType({}),
        claims=MappingProxyType({"tenant": "mine"}),
        rights=rights,
        omitted=(),
        is_fenced=False,
        max_seconds=5.0,
        max_rows=10,
        max_bytes=64 * 1024,
    )
    try:
        return tuple(executor.run(plan, confinement, lease, Cancellation()).rows)
    except PlanStale:
        return None
    except Refused as refused:
        if refused.reason is Reason.SQL_FAILED and refused.metadata.get("error") != "out_of_memory":
            return None
        raise
