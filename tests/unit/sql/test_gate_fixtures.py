"""Does the gate say to each statement of the fixtures what is written beside it, and does the engine agree?"""

from __future__ import annotations

import apsw
import pytest
from sql_cases import Case, read_cases, told, told_refusal
from sql_shop import CANARY, RULES, ask, open_shop, shadow

from sandbox.reasons import Refused
from sandbox.sql import folded

CASES = read_cases()
HONEST = [case for case in CASES if not case.is_attack]


def name(case: Case) -> str:
    return f"{case.group.partition(': ')[2]}: {case.title}"


@pytest.mark.requirement("sql:gate:fixtures")
@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_gate_says_what_is_written(case: Case) -> None:
    try:
        said = told(ask(case.sql))
    except Refused as refusal:
        said = told_refusal(refusal)

    assert said == case.expected


@pytest.mark.requirement("sql:gate:fixtures")
def test_there_are_enough_cases_and_their_side_is_right() -> None:
    attacks = [case for case in CASES if case.is_attack]

    assert len(attacks) >= 150
    assert len(HONEST) >= 100
    assert all(case.expected.startswith("refuse SQL_") for case in attacks)
    assert all(case.expected.startswith("permit") for case in HONEST)


@pytest.mark.requirement("sql:rights:engine-agrees")
@pytest.mark.parametrize("case", HONEST, ids=name)
def test_the_engine_needs_no_more_than_the_rights(case: Case) -> None:
    proven = ask(case.sql)
    connection = open_shop()
    shadow(connection)
    relations, columns = set(proven.rights.relations), set(proven.rights.columns)
    denied: list[object] = []

    def authorize(code: int, first: str | None, second: str | None, _schema: str | None, view: str | None) -> int:
        is_allowed = {
            apsw.SQLITE_SELECT: True,
            apsw.SQLITE_RECURSIVE: True,
            apsw.SQLITE_READ: folded(view or "") in RULES
            or (first, second) in columns
            or (second == "" and first in relations)
            or first in proven.rights.functions,
            apsw.SQLITE_FUNCTION: second in proven.rights.functions,
        }.get(code, False)
        if not is_allowed:
            denied.append((code, first, second))
        return apsw.SQLITE_OK if is_allowed else apsw.SQLITE_DENY

    connection.authorizer = authorize
    rows = connection.execute(proven.sql_to_run).fetchall()

    assert not denied
    assert CANARY not in repr(rows)
