"""Does the audit see tables that lead a service astray, though every record and signature is whole?"""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest
from log_house import call_of, deployment_at, open_house, principal_of, verifier_key

from sandbox.audit import audit
from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.deployment import Misconfigured
from sandbox.receipts.records import Entry, base_record, call_key
from sandbox.stores.log import StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement

KEY = record_pb2.RECORD_KIND_KEY
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
    "a file that is not found": ("DELETE FROM files WHERE kind = {SPEC}", "does not lead to `toolspecs/"),
    "a file found elsewhere": ("UPDATE files SET idx = 2 WHERE kind = {SPEC}", "does not lead to `toolspecs/"),
    "a file of nobody": (
        "INSERT INTO files VALUES ({SPEC}, 'toolspecs/new.yaml', 2, zeroblob(32))",
        "no record names",
    ),
    "a key elsewhere": ("UPDATE files SET idx = 1 WHERE kind = {KEY}", "does not lead to `log.vkey`"),
    "no key": ("DELETE FROM files WHERE kind = {KEY}", "does not lead to `log.vkey`"),
    "a tile beyond": ("INSERT INTO tiles VALUES (1, 1, zeroblob(32))", "other ones than the tree"),
    "a payload beyond": (
        "INSERT INTO payloads SELECT 260 * 8, subject, wrapped_key, ciphertext FROM payloads LIMIT 1",
        "leaf 260 is missing; a payload",
    ),
    "a removal that was none": (
        "INSERT INTO files VALUES ({RETENTION}, 'payloads', 6, x'00')",
        "`payloads`, which no record names",
    ),
}


@requirement("log:audit:tables")
@pytest.mark.parametrize(("statement", "told"), ASTRAY.values(), ids=ASTRAY.keys())
def test_a_table_that_leads_astray_is_told(database: Path, key: str, statement: str, told: str) -> None:
    audit_log(database, key)
    change(database, statement.format(SPEC=SPEC, KEY=KEY, RETENTION=RETENTION))

    with pytest.raises(LogInvalid, match=told):
        audit_log(database, key)


@requirement("log:audit:tables")
@pytest.mark.parametrize("call_id", ["z" * 32, "a" * 31, "A1A2235A-fde8-75b4-8974-18c9b7f9b647"])
def test_an_id_that_is_none_is_told_with_its_leaf(tmp_path: Path, call_id: str) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
        record = base_record(record_pb2.RECORD_KIND_REFUSALS_COUNTED, call_id, "forged", house.log.boot)
        leaf = house.log.append(Entry(record=record.SerializeToString(), call_id=bytes(16))).index

    with pytest.raises(LogInvalid, match=f"leaf {leaf}: the table of calls"):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:audit:damage")
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

    with pytest.raises(LogInvalid, match="missing from index leaves_call"):
        audit_log(database, key)


def varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of SQLite's and how many bytes it has (https://sqlite.org/fileformat2.html, section 1.6)."""
    value = length = 0
    while True:
        byte = content[at + length]
        value, length = value << 7 | byte & 127, length + 1
        if byte < 128:
            return value, length


@requirement("log:audit:damage")
@pytest.mark.parametrize("table", ["leaves", "payloads"])
def test_a_row_that_scans_meet_and_look_ups_do_not_is_told(database: Path, key: str, table: str) -> None:
    """The attack: one separator of the table's tree is one lower; the call is hidden, and every byte of it is there."""
    connection = apsw.Connection(str(database))
    ((root,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
    size = connection.pragma("page_size")
    connection.close()
    assert isinstance(root, int)
    assert isinstance(size, int)
    content = bytearray(database.read_bytes())
    page = (root - 1) * size
    assert content[page] == 5, "the root is an inner page (section 1.6)"
    cells = int.from_bytes(content[page + 3 : page + 5])
    places = [int.from_bytes(content[page + 12 + 2 * each : page + 14 + 2 * each]) + page + 4 for each in range(cells)]
    at = places[cells // 2]
    hidden, length = varint(content, at)
    content[at + length - 1] -= 1
    assert varint(content, at) == (hidden - 1, length)
    database.write_bytes(content)

    log = SqliteLog(database, is_read_only=True)
    assert (log.record(hidden) if table == "leaves" else log.payload(hidden)) is None
    log.close()
    with pytest.raises(LogInvalid, match="out of order"):
        audit_log(database, key)


@requirement("log:audit:tables")
def test_beside_a_service_that_writes_its_tables_are_compared_at_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CHUNK", 5)
    with open_house(tmp_path) as house:
        house.answer(call_of())
        database = house.deployment.log_database

        def served(*_: int) -> None:
            house.answer(call_of(principal=principal_of("eve", "t9")))

        first = audit_log(database, house.vkey, progress=served)
        change(database, "INSERT INTO chains VALUES (zeroblob(32), 1, zeroblob(32))")
        with pytest.raises(LogInvalid, match="tokens that no record names"):
            audit_log(database, house.vkey, progress=served)
    assert first.tree_size > 5


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


@requirement("log:store:schema")
def test_what_is_put_into_the_file_of_an_open_log_runs_nothing(tmp_path: Path) -> None:
    """The attack: a trigger made while the service runs, which takes the new call out of the tables."""
    with open_house(tmp_path) as house:
        change(
            house.deployment.log_database,
            "CREATE TRIGGER hides AFTER INSERT ON leaves BEGIN"
            " UPDATE leaves SET call_id = NULL; DELETE FROM files; END",
        )
        sealed = house.answer(call_of())
        assert house.log.store.indexes_of_call(call_key(sealed.call_id))
    with pytest.raises(LogInvalid, match="`hides` is not as the log's schema 3 has it"):
        audit_log(house.deployment.log_database, house.vkey)


@requirement("log:store:schema")
def test_what_an_administrator_s_analyze_leaves_is_no_fault(database: Path, key: str) -> None:
    change(database, "ANALYZE")
    assert audit_log(database, key).tree_size == 260
