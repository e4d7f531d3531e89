"""Does reading a value tell of a row that is hidden? By a view of the database, a mask, odd bytes or a great length.

Each attack tells a hidden row's value by an error where the statement is not fenced, and nothing where it is.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from executor_cast import Shop, make_database, open_table, tool

from sandbox.reasons import Refused
from sandbox.sql import gate
from sandbox.toolspec import TableRule

DATABASE = """
    CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT, diagnosis TEXT);
    CREATE TABLE consents (patient INTEGER, given INTEGER);
    INSERT INTO patients VALUES (1, 'Ann', 'flu'), (2, 'Bob', 'rare'), (3, 'Cy', 'cold');
    INSERT INTO consents VALUES (1, 1), (2, 0), (3, 1);
    CREATE VIEW shown AS SELECT p.id, p.name, p.diagnosis FROM patients AS p JOIN consents AS c ON c.patient = p.id
        WHERE c.given = 1;
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, region TEXT, code INTEGER, name TEXT, amount INTEGER, note TEXT);
    INSERT INTO accounts VALUES (1, 'EU', 10, 'Ada', 5, 'n'), (2, 'EU', 11, 'Bea', 6, 'n'),
        (3, 'US', 777, CAST(x'5aff71' AS TEXT), -9223372036854775807 - 1, 'secret' || printf('%.*c', 300000, 'x'));
    CREATE INDEX codes ON accounts (code, name, amount);
    CREATE INDEX notes ON accounts (note);
    CREATE VIEW computed AS SELECT id, region, code, abs(amount) AS amount FROM accounts;
    CREATE VIEW european AS SELECT id, code FROM accounts WHERE region = 'EU';
"""
EU = "region = claim('region')"
MASKED = TableRule(table="accounts", columns=("id", "code", "name"), row_filter=EU, masks={"name": "initials"})

ATTACKS = {
    "a row that a view leaves out, by its key": (
        open_table("shown", "id", "name", "diagnosis"),
        "SELECT count(*) FROM shown WHERE id = 2 AND abs(iif(diagnosis = {}, -9223372036854775808, 0)) >= 0",
        ("'rare'", "'flu'"),
    ),
    "a row that a view leaves out, by an index": (
        open_table("european", "id", "code"),
        "SELECT count(*) FROM european WHERE code > 5 AND abs(iif(code = {}, -9223372036854775808, 0)) >= 0",
        ("777", "778"),
    ),
    "an expression of a view that raises": (
        open_table("computed", "id", "code", "amount", row_filter=EU),
        "SELECT count(*) FROM computed WHERE code = {} AND amount > 0",
        ("777", "776"),
    ),
    "a mask over what is no UTF-8": (
        MASKED,
        "SELECT count(*) FROM accounts WHERE code = {} AND name > ''",
        ("777", "776"),
    ),
    "a value longer than the session takes": (
        open_table("accounts", "id", "note", row_filter=EU),
        "SELECT count(*) FROM accounts WHERE note > {} AND note <> 'b'",
        ("'secret'", "'secrety'"),
    ),
}


def told(shop: Shop, sql: str) -> str:
    """Return what the caller learns: an error's class or how many rows there are."""
    try:
        return str(shop.query(sql, region="EU")[0][0])
    except Refused as refused:
        return refused.metadata.get("error", refused.reason.value)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make_database(tmp_path / "shop.db", DATABASE)


@pytest.mark.requirement("sql:attacks:hidden-by-reading")
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("how", ["fenced", "not fenced"])
def test_what_is_true_of_a_hidden_row_is_told_only_without_the_fence(
    database: Path, attack: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, sql, (true, false) = ATTACKS[attack]
    if how == "not fenced":
        monkeypatch.setattr(gate, "is_fenced", lambda _: False)
    shop = Shop(database, (tool(tables={rule.table: rule}),))

    answers = told(shop, sql.format(true)), told(shop, sql.format(false))

    assert (answers[0] == answers[1]) is (how == "fenced"), answers
    shop.executors.close()
