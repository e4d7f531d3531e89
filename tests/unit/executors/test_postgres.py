"""Does PostgreSQL show what plans ask for, in the right types, within their bounds, and nothing else?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_cast import CANARY
from postgres_cast import PostgresShop, made
from postgres_server import Server

from sandbox.executors.engine import PlanStale
from sandbox.executors.postgres_errors import place_in
from sandbox.reasons import Reason, Refused
from sandbox.stages import Truncation

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.fixture(scope="module")
def database(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    made(postgres, tmp_path_factory.mktemp("shop"), "executor")
    return postgres


@pytest.fixture
def shop(database: Server, tmp_path: Path) -> Iterator[PostgresShop]:
    shop = PostgresShop(database, tmp_path, "executor")
    yield shop
    shop.executor.close()


VALUES = {
    "1::int2": ("integer", "smallint", 1),
    "1": ("integer", "integer", 1),
    "9223372036854775807": ("integer", "bigint", 2**63 - 1),
    "-9223372036854775808": ("integer", "bigint", -(2**63)),
    "0.1::float4": ("real", "real", 0.1),
    "'Infinity'::float8": ("real", "double precision", math.inf),
    "'-Infinity'::float8": ("real", "double precision", -math.inf),
    "123456789012345678901234567890.10::numeric(40,2)": (
        *("text", "numeric(40,2)"),
        "123456789012345678901234567890.10",
    ),
    "true": ("boolean", "boolean", True),
    "'Zoë ☃ 𝄞'": ("text", "text", "Zoë ☃ 𝄞"),
    "''::varchar(5)": ("text", "character varying(5)", ""),
    "'ab'::char(3)": ("text", "character(3)", "ab "),
    "'\\x00ff'::bytea": ("blob", "bytea", b"\x00\xff"),
    "DATE '2026-02-28'": ("text", "date", "2026-02-28"),
    "TIME '12:30'": ("text", "time without time zone", "12:30:00"),
    "TIMESTAMP '2026-02-28 12:30:00.5'": ("text", "timestamp without time zone", "2026-02-28 12:30:00.5"),
    "TIMESTAMPTZ '2026-02-28 12:30+02'": ("text", "timestamp with time zone", "2026-02-28 10:30:00+00"),
    "INTERVAL '1 day 02:03'": ("text", "interval", "1 day 02:03:00"),
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid": ("text", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "'{\"a\": [1, null]}'::json": ("text", "json", '{"a": [1, null]}'),
    '\'{"b": 1, "a": 2}\'::jsonb': ("text", "jsonb", '{"a": 2, "b": 1}'),
    "ARRAY[1, NULL, 3]": ("text", "integer[]", "{1,NULL,3}"),
    "'glad'::public.mood": ("text", "public.mood", "glad"),
    "'10.0.0.0/8'::inet": ("text", "inet", "10.0.0.0/8"),
    "int4range(1, 5)": ("text", "int4range", "[1,5)"),
    "NULL::int": ("integer", "integer", None),
    "NULL": ("text", "text", None),
}


@pytest.mark.requirement("postgres:results:values")
@pytest.mark.parametrize(("literal", "expected"), VALUES.items())
def test_a_cell_comes_back_as_it_is(shop: PostgresShop, literal: str, expected: tuple[str, str, object]) -> None:
    fetched = shop.run(f"SELECT {literal} AS v")

    ((cell,),) = fetched.rows
    assert (fetched.columns[0].type, fetched.columns[0].declared_type, cell) == expected
    assert type(cell) is type(expected[2])


@pytest.mark.requirement("postgres:results:values")
def test_not_a_number_and_columns_of_no_rows(shop: PostgresShop) -> None:
    fetched = shop.run("SELECT 'NaN'::float8 AS a, 1 AS a WHERE false")

    assert [(column.name, column.type) for column in fetched.columns] == [("a", "real"), ("a", "integer")]
    assert fetched.rows == ()
    assert math.isnan(shop.query("SELECT 'NaN'::float8")[0][0])


@pytest.mark.requirement("postgres:results:values")
def test_a_whole_row_has_the_type_of_its_table_and_not_of_our_view(shop: PostgresShop) -> None:
    fetched = shop.run("SELECT coalesce(c.*), array_agg(c) FROM public.customers AS c GROUP BY c")

    assert [column.declared_type for column in fetched.columns] == ["customers", "customers[]"]


@pytest.mark.requirement("postgres:results:values")
def test_parameters_are_bound_as_values_in_the_order_of_their_names(shop: PostgresShop) -> None:
    given = {"b": "x' OR '1'='1", "a": 41, "c": None, "d": True, "e": 1.5}
    sql = "SELECT $1::int + 1, $2::text, $3::text IS NULL, $4::bool, $5::float8"

    assert shop.query(sql, parameters=given) == [(42, "x' OR '1'='1", True, True, 1.5)]


@pytest.mark.requirement("postgres:results:values")
@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_parameter_that_is_no_text_of_the_database_is_refused(shop: PostgresShop, text: str) -> None:
    assert shop.refusal("SELECT $1::text", parameters={"a": text}).reason is Reason.ARGUMENT_INVALID


@pytest.mark.requirement("postgres:results:bounds")
@pytest.mark.parametrize(("max_rows", "cut"), [(1, Truncation.ROWS), (2, Truncation.ROWS), (3, Truncation.NONE)])
def test_rows_beyond_the_limit_are_not_taken(shop: PostgresShop, max_rows: int, cut: Truncation) -> None:
    fetched = shop.run("SELECT id FROM public.customers ORDER BY id", max_rows=max_rows)

    assert [row[0] for row in fetched.rows] == [1, 2, 3][:max_rows]
    assert fetched.truncation is cut
    assert shop.sessions() == 1


@pytest.mark.requirement("postgres:results:bounds")
def test_an_endless_result_is_cut_at_rows_and_bytes_and_its_session_serves_on(shop: PostgresShop) -> None:
    for _ in range(3):
        by_rows = shop.run(ENDLESS, max_rows=10)
        by_bytes = shop.run(ENDLESS.replace("SELECT i FROM", "SELECT repeat('x', 1000) FROM"), max_bytes=10_000)
        assert (len(by_rows.rows), by_rows.truncation) == (10, Truncation.ROWS)
        assert (len(by_bytes.rows), by_bytes.truncation) == (11, Truncation.BYTES)
    assert shop.running() == []
    assert shop.sessions() == 1


@pytest.mark.requirement("postgres:results:bounds")
def test_a_row_far_beyond_the_limit_is_never_held(shop: PostgresShop) -> None:
    refused = shop.refusal("SELECT repeat('x', 100000000)", max_bytes=10_000)
    cut = shop.run("SELECT id, repeat('x', CASE id WHEN 1 THEN 1 ELSE 9000000 END) FROM public.customers ORDER BY id")

    assert refused.reason is Reason.RESULT_TOO_LARGE
    assert (cut.rows, cut.truncation) == (((1, "x"),), Truncation.BYTES)
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("postgres:results:bounds")
def test_headings_are_bounded_before_anything_runs(shop: PostgresShop) -> None:
    columns = ", ".join(f"1 AS {'c' * 60}{number}" for number in range(100))

    assert shop.refusal(f"SELECT {columns}, 1/0", max_bytes=1_000).reason is Reason.RESULT_TOO_LARGE


ERRORS = {
    "SELECT 1/0": "division_by_zero",
    "SELECT 2147483647 + 1": "overflow",
    "SELECT region::int FROM public.orders": "type",
    "SELECT 'x'::date": "datetime",
    "SELECT (SELECT id FROM public.customers)": "cardinality",
    "SELECT id, count(*) FROM public.customers": "grouping",
    "SELECT lower(1, 2)": "undefined_function",
    "SELECT 1 + true": "undefined_function",
    "SELECT c.id FROM public.customers AS c, public.customers AS d WHERE id = 1": "ambiguous_column",
    "SELECT 1 UNION SELECT 1, 2": "syntax",
    "SELECT 1 UNION SELECT 'x'::bytea": "type",
    "SELECT 'x' ~ '('": "pattern",
    "SELECT 'x' LIKE 'x' ESCAPE 'xy'": "pattern",
    "SELECT ('{}'::jsonb)->>'a', jsonb_path_query('[1]', 'strict $.a')": "malformed_json",
    "SELECT '{'::json": "type",
    "SELECT ln(0)": "value",
    "SELECT rank() FILTER (WHERE true) OVER () FROM public.customers WHERE rank() OVER () > 1": "not_supported",
    "SELECT 1 ORDER BY 2": "misplaced_clause",
    "SELECT sqrt(-1)": "value",
    "SELECT repeat('x', 2000000000)": "too_large",
    "SELECT '{1,2'::int[]": "type",
}


@pytest.mark.requirement("postgres:errors:class")
@pytest.mark.parametrize(("sql", "word"), ERRORS.items())
def test_an_error_is_a_fixed_word(shop: PostgresShop, sql: str, word: str) -> None:
    refused = shop.refusal(sql, region="EU")

    assert (refused.reason, refused.rule, refused.metadata) == (Reason.SQL_FAILED, "sql/failed", {"error": word})
    assert shop.query("SELECT 1") == [(1,)]
    assert shop.sessions() == 1


@pytest.mark.requirement("postgres:errors:class")
def test_no_word_of_the_engine_is_told(shop: PostgresShop) -> None:
    """What the engine says quotes the row that it met: here one that the caller may see, so that the view lets it."""
    refused = shop.refusal("SELECT region::int FROM public.orders", region=CANARY)

    assert CANARY not in repr(refused) + refused.message + str(refused.metadata) + repr(refused.__cause__)
    assert refused.__suppress_context__


@pytest.mark.requirement("postgres:errors:class")
def test_a_place_is_told_where_it_is_the_same_in_both_texts(shop: PostgresShop) -> None:
    refused = shop.refusal("SELECT id,\n  lower(1, 2)\nFROM public.customers")

    assert (refused.line, refused.column) == (2, 3)
    assert place_in("SELECT f(x), f(y)", "SELECT f(x), f(y)", 8) == (0, 0)
    assert place_in("SELECT f(x)", "SELECT f(x)", 99) == (0, 0)
    assert place_in("SELECT F (x)", "SELECT f(x)", 8) == (0, 0)


@pytest.mark.requirement("postgres:errors:stale")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM public_secrets",
        "SELECT nothing FROM public.customers",
        "SELECT * FROM nowhere.at_all",
        "SELECT 1::nothing",
        "SELECT * FROM pg_catalog.pg_authid",
        "SELECT * FROM sandbox.claims_key",
        "SELECT sandbox.claims_key_bytes()",
        "SELECT pg_catalog.pg_read_file('/etc/passwd')",
    ],
)
def test_what_the_engine_does_not_have_for_the_login_is_stale(shop: PostgresShop, sql: str) -> None:
    with pytest.raises(PlanStale):
        shop.run(sql)
    assert shop.query("SELECT 1") == [(1,)]


@pytest.mark.requirement("postgres:errors:stale")
def test_tables_themselves_are_out_of_reach(shop: PostgresShop) -> None:
    for table in ("orders", "customers", "secrets"):
        with pytest.raises(PlanStale):
            shop.run(f'TABLE "public".{table}')


@pytest.mark.requirement("postgres:catalogue:names")
def test_the_catalogue_names_what_can_be_named_without_quotes(postgres: Server, tmp_path: Path) -> None:
    postgres.make_database(
        "executor_names",
        """
        CREATE SCHEMA sales; CREATE SCHEMA "Odd"; CREATE SCHEMA sandbox_ab; CREATE SCHEMA "a.b";
        CREATE TABLE sales.orders (id int, "Id" int, "two words" int, cents numeric(10,2), gone int, naïve int);
        ALTER TABLE sales.orders DROP COLUMN gone;
        CREATE TABLE "Odd".t (x int); CREATE TABLE "a.b".t (x int); CREATE TABLE sandbox_ab.t (x int);
        CREATE TABLE public."Orders" (x int); CREATE TABLE public.none ();
        CREATE TABLE public.parts (x int) PARTITION BY LIST (x);
        CREATE VIEW public.seen AS SELECT id FROM sales.orders;
        CREATE MATERIALIZED VIEW public.kept AS SELECT id FROM sales.orders;
        CREATE SEQUENCE public.numbers; CREATE TYPE public.pair AS (a int);
        """,
    )
    shop = PostgresShop(postgres, tmp_path, "executor_names")
    catalogue = shop.executor.read_catalogue()

    kinds = {name: shape.kind for name, shape in catalogue.tables.items()}
    assert kinds == {
        "public.none": "table",
        "public.parts": "table",
        "sales.orders": "table",
        "public.kept": "view",
        "public.seen": "view",
    }
    orders = catalogue.tables["sales.orders"]
    assert [(column.name, column.declared_type) for column in orders.columns] == [
        ("id", "integer"),
        ("cents", "numeric(10,2)"),
    ]
    assert not any(shape.has_rowid for shape in catalogue.tables.values())
    assert catalogue.tables["public.none"].columns == ()


@pytest.mark.requirement("postgres:catalogue:names")
@pytest.mark.parametrize(
    ("change", "is_seen"),
    [
        ("ALTER TABLE t ADD COLUMN b int", True),
        ("ALTER TABLE t RENAME COLUMN a TO b", True),
        ("ALTER TABLE t ALTER COLUMN a TYPE bigint", True),
        ("DROP TABLE t; CREATE VIEW t AS SELECT 1 AS a", True),
        ("CREATE TABLE u (a int)", True),
        ("INSERT INTO t VALUES (1); ANALYZE t; CREATE INDEX ON t (a); CREATE SCHEMA sandbox", False),
    ],
)
def test_the_fingerprint_changes_with_the_catalogue(
    postgres: Server,
    tmp_path: Path,
    change: str,
    is_seen: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    postgres.make_database("executor_print", "CREATE TABLE t (a int)")
    shop = PostgresShop(postgres, tmp_path, "executor_print")
    before = shop.executor.read_catalogue().fingerprint
    with postgres.connect("executor_print") as owner:
        owner.execute(change.encode())

    assert (shop.executor.read_catalogue().fingerprint != before) is is_seen


@pytest.mark.requirement("postgres:load:rehearsed")
def test_what_is_set_up_is_rehearsed(shop: PostgresShop) -> None:
    shop.executor.rehearse(shop.confinement, shop.lease())

    assert shop.sessions() == 0


@pytest.mark.requirement("postgres:load:rehearsed")
@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("ALTER ROLE {login} PASSWORD 'another'", "let the tool's login in"),
        ("ALTER ROLE {login} NOLOGIN", "let the tool's login in"),
        ("ALTER ROLE {login} SUPERUSER", "is a superuser's"),
        ('DROP VIEW {login}."public.orders"', "view of `public.orders` is gone"),
        ('ALTER VIEW {login}."public.customers" RENAME COLUMN born TO mail', "`public.customers` is not what"),
        ('REVOKE SELECT ON {login}."public.customers" FROM {login}', "`public.customers` is gone, or"),
    ],
)
def test_a_set_up_that_is_not_the_tools_stops_the_load(
    postgres: Server, tmp_path: Path, change: str, word: str
) -> None:
    shop = made(postgres, tmp_path, "executor_load")
    with postgres.connect("executor_load") as owner:
        owner.execute(change.format(login=shop.shape.login).encode())
    try:
        with pytest.raises(Refused, match=r"sandbox doctor --setup-sql shop") as caught:
            shop.executor.rehearse(shop.confinement, shop.lease())
    finally:
        shop.set_up()  # roles are the whole server's

    assert caught.value.reason is Reason.EXECUTOR_UNAVAILABLE
    assert word in caught.value.message
