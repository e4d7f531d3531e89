"""Does the audit see tables that lead a service astray, though every record and signature is whole?"""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest
from log_house import call_of, deployment_at, open_house, principal_of, verifier_key

from sandbox.audit import audit
from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.audit.tables import MOVED
from sandbox.deployment import Misconfigured
from sandbox.stores.log import StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement

SPEC = record_pb2.RECORD_KIND_SPEC
RETENTION = record_pb2.RECORD_KIND_RETENTION


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed deployment with a complete tile, two tokens, and an intent whose end nobody has told."""
    root = tmp_path_factory.mktemp("written")
    with open_house(root) as house:
        house.begin(call_of(request_id="r1"))
        house.answer(call_of(principal=principal_of("bob", "t2")))
        while house.log.store.head().size < 260:
            house.refuse(call_of())
    return root


@pytest.fixture
def database(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(written / "state" / "log.db", tmp_path / "log.db"))


@pytest.fixture
def key(written: Path) -> str:
    return verifier_key(deployment_at(written))


def change(database: Path, statement: str) -> None:
    connection = apsw.Connection(str(database))
    connection.execute(statement)
    connection.close()


ASTRAY = {
    "a call that is not found": ("UPDATE leaves SET call_id = NULL WHERE idx = 6", "leaf 6: the table of calls"),
    "a call found as another": (
        "UPDATE leaves SET call_id = (SELECT call_id FROM leaves WHERE idx = 9) WHERE idx = 6",
        "leaf 6: the table of calls",
    ),
    "a tile of other leaves": ("UPDATE tiles SET hash = zeroblob(32)", "tile 0 of level 1: not the root"),
    "no tile": ("DELETE FROM tiles", "tile 0 of level 1: not the root"),
    "an open call that is not listed": ("DELETE FROM intents", "does not list an intent that is open"),
    "an open call that is none": ("INSERT INTO intents VALUES (6)", "leaf 6: .* lists an intent that is not open"),
    "a token without its chain": ("DELETE FROM chains WHERE sequence = 1", "another last record of the token"),
    "a token's chain set back": (
        "UPDATE chains SET sequence = 1 WHERE sequence > 1",
        "another last record of the token",
    ),
    "a chain of nobody": ("INSERT INTO chains VALUES (zeroblob(32), 1, zeroblob(32))", "tokens that no record names"),
    "a file that is not found": (f"DELETE FROM files WHERE kind = {SPEC}", "does not lead to `toolspecs/"),  # noqa: S608 - ours
    "a file found elsewhere": (f"UPDATE files SET idx = 2 WHERE kind = {SPEC}", "does not lead to `toolspecs/"),  # noqa: S608 - ours
    "a removal that was none": (f"INSERT INTO files VALUES ({RETENTION}, 'payloads', 6, x'00')", "removed payloads"),  # noqa: S608 - ours
}


@requirement("log:audit:tables")
@pytest.mark.parametrize(("statement", "told"), ASTRAY.values(), ids=ASTRAY.keys())
def test_a_table_that_leads_astray_is_told(database: Path, key: str, statement: str, told: str) -> None:
    audit_log(database, key)
    change(database, statement)

    with pytest.raises(LogInvalid, match=told):
        audit_log(database, key)


@requirement("log:audit:tables")
def test_an_index_that_is_not_its_tables_is_told(database: Path, key: str) -> None:
    """The attack: the table is whole, and the index that finds calls in it is empty."""
    connection = apsw.Connection(str(database))
    ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'leaves_call'")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("CREATE TABLE empty (x); CREATE INDEX empty_x ON empty (x)")
    connection.execute(
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'empty_x')"
        " WHERE name = 'leaves_call'"
    )
    connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = 'empty_x'", (page,))
    connection.execute("PRAGMA writable_schema = RESET")
    connection.execute("DROP TABLE empty")
    connection.close()

    with pytest.raises(LogInvalid, match="leaf 0: the table of calls does not lead to the record"):
        audit_log(database, key)


@requirement("log:audit:tables")
def test_beside_a_service_that_writes_tables_are_no_fault_and_told_as_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CHUNK", 5)
    with open_house(tmp_path) as house:
        house.answer(call_of())
        database = house.deployment.log_database

        report = audit_log(
            database, house.vkey, progress=lambda *_: house.answer(call_of(principal=principal_of("eve", "t9")))
        )

        assert MOVED in report.not_checked
        assert MOVED not in audit_log(database, house.vkey).not_checked


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT"
OTHER_SCHEMA = {
    "checkpoints": (
        "DROP TABLE checkpoints;"
        f" CREATE VIEW checkpoints AS {ENDLESS} x AS size, x'00' AS root, x'00' AS signature, x'00' AS seal FROM n"
    ),
    "leaves": f"DROP TABLE leaves; CREATE VIEW leaves AS {ENDLESS} x - 1 AS idx, x'' AS hash, x'' AS record FROM n",
    "gone": "CREATE TRIGGER gone AFTER INSERT ON leaves BEGIN DELETE FROM intents; END",
    "more": "CREATE TABLE more (x)",
    "requests": "DROP TABLE requests",
    "leaves_call": "DROP INDEX leaves_call",
}


@requirement("log:store:schema")
@pytest.mark.parametrize(("name", "statement"), OTHER_SCHEMA.items(), ids=OTHER_SCHEMA.keys())
def test_a_file_with_other_tables_is_neither_audited_nor_written(
    database: Path, key: str, name: str, statement: str
) -> None:
    """The attack: a view without an end, which an audit reads for ever; a trigger that runs as the log is written."""
    change(database, statement)

    with pytest.raises(LogInvalid, match=f"`{name}` is not as the log's schema 3 has it"):
        audit_log(database, key)
    with pytest.raises((StoreUnavailable, Misconfigured), match=f"`{name}` is not as"):
        SqliteLog(database)
