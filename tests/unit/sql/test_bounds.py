"""Is what is too large, too deep or unreadable refused before it costs anything?"""

from __future__ import annotations

import time

import apsw
import pytest
from sql_shop import BOUNDS, CATALOGUE, RULES, ask, open_shop, shadow
from sqlglot.dialects.sqlite import SQLite

from sandbox.reasons import Reason, Refused
from sandbox.sql import GateInput, prove
from sandbox.sql.effort import MAX_COLUMNS


def refusal_of(sql: str) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(sql)
    return caught.value


@pytest.mark.requirement("sql:grammar:early-end")
@pytest.mark.parametrize(("sql", "last"), [("SELECT", "SELECT"), ("SELECT id FROM", "FROM"), ("SELECT id,", ",")])
def test_a_statement_that_ends_too_early_is_told_so(sql: str, last: str) -> None:
    refusal = refusal_of(sql)
    told = f"the statement ends too early: something has to follow `{last}`"
    assert (refusal.reason, refusal.rule, refusal.message) == (Reason.SQL_UNPARSABLE, "sql/grammar", told)
    assert refusal_of("SELECT id, FROM orders").message.endswith("one of the two is too many")


@pytest.mark.requirement("sql:bound:size")
def test_a_megabyte_is_refused_in_under_five_milliseconds() -> None:
    sql = "SELECT id" + ", id" * 300_000
    spent = []
    for _ in range(5):
        begun = time.process_time()
        refusal = refusal_of(sql)
        spent.append(time.process_time() - begun)

    assert len(sql) > 1_000_000
    assert (refusal.reason, refusal.rule) == (Reason.SQL_UNPARSABLE, "sql/bytes")
    assert min(spent) < 0.005


@pytest.mark.requirement("sql:bound:size")
def test_bytes_are_counted_and_not_characters() -> None:
    assert ask("SELECT '" + "a" * 40_000 + "'").sql_to_run
    assert refusal_of("SELECT '" + "é" * 40_000 + "'").rule == "sql/bytes"


@pytest.mark.requirement("sql:bound:size")
def test_tokens_are_counted() -> None:
    assert ask("SELECT 1" + " + 1" * 2_400).sql_to_run
    assert refusal_of("SELECT 1" + " + 1" * 2_600).rule == "sql/tokens"


@pytest.mark.requirement("sql:bound:depth")
@pytest.mark.parametrize(
    ("before", "after"),
    [("(", ")"), ("(SELECT ", ")"), ("CASE WHEN 1 THEN ", " END"), ("abs(", ")"), ("NOT ", ""), ("- ", ""), ("~ ", "")],
)
def test_depth_is_bounded_whatever_nests(before: str, after: str) -> None:
    wide = BOUNDS.model_copy(update={"max_bytes": 1_000_000, "max_tokens": 100_000})
    given = GateInput(
        dialect="sqlite",
        text="SELECT " + before * 10_000 + "1" + after * 10_000,
        catalogue=CATALOGUE,
        tables=RULES,
        parameters=frozenset(),
        may_claim=False,
        bounds=wide,
    )
    with pytest.raises(Refused) as caught:
        prove(given)

    assert (caught.value.reason, caught.value.rule) == (Reason.SQL_UNPARSABLE, "sql/depth")
    assert ask("SELECT " + before * 50 + "1" + after * 50).sql_to_run


@pytest.mark.requirement("sql:bound:parser-cost")
def test_joins_without_a_condition_are_bounded_because_the_parser_doubles_at_each() -> None:
    assert ask("SELECT 1 FROM orders" + " JOIN orders" * 6).sql_to_run
    assert ask("SELECT 1 FROM orders" + " CROSS JOIN orders" * 20).sql_to_run
    assert ask("SELECT 1 FROM orders o" + " JOIN customers ON 1" * 20).sql_to_run
    assert refusal_of("SELECT 1 FROM orders" + " JOIN orders" * 20).rule == "sql/bare-joins"
    assert refusal_of("SELECT 1 FROM orders" + " JOIN orders" * 20 + " ON 1").rule == "sql/bare-joins"


@pytest.mark.requirement("sql:bound:parser-cost")
@pytest.mark.parametrize(
    "sql", ["SELECT " + "if + " * 25 + "1", "SELECT " + "( struct " * 25, "SELECT BETWEEN if date" * 9]
)
def test_words_of_other_engines_do_not_make_the_parser_read_twice(sql: str) -> None:
    begun = time.process_time()
    refusal_of(sql)

    assert time.process_time() - begun < 0.5  # the bare parser takes minutes


def columns(number: int) -> str:
    return "SELECT " + ", ".join(f"1 AS c{each}" for each in range(number))


HUNDRED = f"WITH a AS ({columns(100)}) SELECT "
TABLES_64 = "SELECT 1 FROM customers" + ", customers" * 63


@pytest.mark.requirement("sql:bound:effort")
@pytest.mark.parametrize(
    ("accepted", "refused"),
    [
        (columns(128), columns(129)),
        (f"WITH a AS ({columns(128)}) SELECT 1 FROM a", f"WITH a AS ({columns(129)}) SELECT 1 FROM a"),  # noqa: S608 - food for the gate
        ("VALUES (1" + ", 1" * 127 + ")", "VALUES (1" + ", 1" * 128 + ")"),
        ("SELECT *" + ", *" * 41 + " FROM customers", "SELECT *" + ", *" * 42 + " FROM customers"),
        (HUNDRED + "* FROM a NATURAL JOIN a AS b", HUNDRED + "a.*, b.* FROM a, a AS b"),
    ],
)
def test_columns_are_counted_as_the_engine_counts_them(accepted: str, refused: str) -> None:
    shop = open_shop()
    shop.limit(apsw.SQLITE_LIMIT_COLUMN, MAX_COLUMNS)
    shadow(shop)

    assert shop.execute(ask(accepted).sql_to_run).fetchall()
    with pytest.raises(apsw.SQLError, match="too many columns"):
        shop.execute(refused)
    assert refusal_of(refused).rule == "sql/width"


@pytest.mark.requirement("sql:bound:effort")
def test_a_list_of_names_is_as_wide_as_a_query() -> None:
    names = ", ".join(f"c{number}" for number in range(129))
    refusal = refusal_of("WITH a (" + names + ") AS (SELECT 1) SELECT 1 FROM a")  # noqa: S608 - food for the gate

    assert (refusal.rule, refusal.line, refusal.column) == ("sql/width", 1, 6)


@pytest.mark.requirement("sql:bound:effort")
def test_tables_of_all_queries_are_counted_together() -> None:
    many = [TABLES_64] * 4
    assert ask(" UNION ALL ".join(many)).sql_to_run
    more = " UNION ALL ".join([*many, "SELECT 1 FROM orders"])
    refusal = refusal_of(more)

    assert (refusal.reason, refusal.rule) == (Reason.SQL_UNPARSABLE, "sql/sources")
    assert refusal.column == more.index("orders") + 1


@pytest.mark.requirement("sql:bound:effort")
def test_names_count_as_often_as_there_are_tables_to_look_in() -> None:
    assert ask("SELECT 1 FROM customers WHERE id" + " + id" * 2_400).sql_to_run
    assert ask(TABLES_64 + " WHERE id" + " + id" * 1_500).sql_to_run
    assert refusal_of(TABLES_64 + " WHERE id" + " + id" * 1_600).rule == "sql/effort"


@pytest.mark.requirement("sql:gate:only-refusals")
@pytest.mark.parametrize(
    "error", [RecursionError(), TypeError("x"), KeyError("x"), ValueError("x"), AttributeError("x")]
)
def test_whatever_the_parser_raises_is_a_refusal(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(SQLite, "tokenize", broken)
    refusal = refusal_of("SELECT id FROM orders")

    assert (refusal.reason, refusal.rule) == (Reason.SQL_UNPARSABLE, "sql/parse")


@pytest.mark.requirement("sql:gate:only-refusals")
def test_a_fault_of_the_gate_itself_is_a_refusal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("sandbox.sql.layers.resolve", broken)
    refusal = refusal_of("SELECT id FROM orders")

    assert (refusal.reason, refusal.rule) == (Reason.SQL_NOT_SUPPORTED, "sql/unproven")


@pytest.mark.requirement("sql:gate:position")
def test_a_refusal_tells_line_and_column_of_the_caller_s_text() -> None:
    refusal = refusal_of("SELECT id, -- é\r\n\t secret\nFROM orders")

    assert (refusal.line, refusal.column, refusal.metadata["construct"]) == (2, 3, "secret")


@pytest.mark.requirement("sql:gate:verbatim")
def test_the_text_is_kept_up_to_the_closing_semicolon() -> None:
    proven = ask("SELECT  ID /* a;\nb */ , region-- c\nFROM Orders /* ; */ ; ; -- d")

    assert proven.sql_to_run == "SELECT  ID /* a;\nb */ , region-- c\nFROM Orders /* ; */"


@pytest.mark.requirement("sql:gate:speed")
@pytest.mark.parametrize(
    ("sql", "most"),
    [
        ("SELECT id, name FROM customers WHERE id = 42", 9),
        (
            """
            SELECT c.name, e.kind, sum(l.quantity * l."Unit Price") AS total, count(*) AS n
            FROM orders o JOIN customers c ON c.id = o.customer_id JOIN "order lines" l ON l.order_id = o.id
            JOIN events e ON e.id = o.id WHERE o.region = 'EU' AND o.placed_on >= '2024-01-01'
            GROUP BY c.name, e.kind HAVING sum(l.quantity) > 5 ORDER BY total DESC, c.name LIMIT 20
            """,
            5,
        ),
    ],
)
def test_a_cold_check_costs_a_small_multiple_of_the_bare_parse(sql: str, most: int) -> None:
    ratios = []
    for _ in range(60):
        begun = time.process_time_ns()
        SQLite().parse(sql)
        parsed = time.process_time_ns()
        ask(sql)
        ratios.append((time.process_time_ns() - parsed) / (parsed - begun))

    assert sorted(ratios)[len(ratios) // 2] <= most
