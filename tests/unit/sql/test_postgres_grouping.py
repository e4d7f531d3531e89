"""Is what a key decides added to GROUP BY, and nothing where no key decides it?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from postgres_server import Server
from postgres_shop import BOUNDS, CATALOGUE, RULES, SCHEMA, VIEWS

from sandbox.executors.postgres_catalogue import TABLES, catalogue_of
from sandbox.sql import Catalogue, GateInput, TableShape, prove
from sandbox.toolspec import TableRule

pytestmark = pytest.mark.requirement("sql:postgres:keys")

MORE = "o.customer_id, o.doc, o.placed_on, o.region, o.tags"
ORDERS = f'{SCHEMA}."public.orders"'


def printed(sql: str, *key: str, masked: str = "", declared: str = "text") -> str:
    """Print a statement where orders has a primary key, and `doc` is of a type."""
    orders = CATALOGUE.tables["public.orders"]
    columns = tuple(replace(each, declared_type=declared) if each.name == "doc" else each for each in orders.columns)
    keyed = replace(orders, key=key, columns=columns)
    rule = replace(RULES["public.orders"], masks={masked: "null"} if masked else {})
    given = GateInput(
        dialect="postgres",
        text=sql,
        catalogue=Catalogue({**CATALOGUE.tables, "public.orders": keyed}, CATALOGUE.fingerprint),
        tables={**RULES, "public.orders": rule},
        parameters=frozenset(),
        may_claim=False,
        bounds=BOUNDS,
        stands_for=VIEWS,
    )
    return prove(given).sql_to_run.replace(ORDERS, "ORDERS")


def grouped(sql: str, *key: str, masked: str = "", declared: str = "text") -> str:
    """Return the GROUP BY that is printed."""
    return printed(sql, *key, masked=masked, declared=declared).partition(" GROUP BY ")[2]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT o.id, o.region, count(*) FROM orders o GROUP BY o.id", "o.id, o.region"),
        ("SELECT region, count(*) FROM orders GROUP BY id", "id, orders.region"),
        ("SELECT id, region, count(*) FROM orders GROUP BY 1", "1, orders.region"),
        ("SELECT o.region FROM orders o JOIN sales.orders s ON s.id = o.id GROUP BY o.id", "o.id, o.region"),
        ("SELECT region, cents FROM orders o JOIN sales.orders s ON s.id = o.id GROUP BY o.id", "o.id, o.region"),
        ("SELECT o.id AS x, o.region FROM orders o GROUP BY x", "x, o.region"),
        ("SELECT o.id AS x, region FROM orders o GROUP BY (x)", "x, o.region"),
        ("SELECT s.id, o.region FROM sales.orders s, orders o GROUP BY s.id, o.id", "s.id, o.id, o.region"),
        ("SELECT o.id FROM orders o GROUP BY o.id HAVING o.region > 'a'", "o.id, o.region HAVING o.region > 'a'"),
        ("SELECT o.id, (SELECT max(s.id) FROM sales.orders s WHERE s.id = o.region) FROM orders o GROUP BY o.id", None),
        (
            "SELECT o.* FROM orders o GROUP BY o.id",
            f"o.id, o.cents, {MORE}",
        ),
    ],
)
def test_columns_that_a_select_names_are_added_to_the_key_of_their_table(sql: str, found: str | None) -> None:
    assert grouped(sql, "id") == (found or "o.id, o.region")
    assert printed(sql).partition(" GROUP BY ")[2] != grouped(sql, "id"), "without a key, nothing is added"


def test_a_row_of_columns_is_those_columns() -> None:
    assert grouped("SELECT region FROM orders GROUP BY (id, customer_id)", "id", "customer_id").endswith(
        "orders.region"
    )


@pytest.mark.parametrize(
    ("sql", "key", "masked"),
    [
        ("SELECT o.region FROM orders o GROUP BY o.id", ("id", "customer_id"), ""),
        ("SELECT o.region FROM orders o GROUP BY o.id", ("id",), "id"),
        ("SELECT o.region FROM orders o GROUP BY ROLLUP (o.id)", ("id",), ""),
        ("SELECT o.region FROM orders o GROUP BY o.id || ''", ("id",), ""),
        ("SELECT o.region FROM orders o GROUP BY o.cents", ("id",), ""),
        ("SELECT o.b FROM orders AS o(id, b) GROUP BY o.id", ("id",), ""),
        ("SELECT o.region FROM (SELECT * FROM orders) AS o GROUP BY o.id", ("id",), ""),
        ("WITH orders AS (SELECT 'x' AS id, 'y' AS region) SELECT region FROM orders GROUP BY id", ("id",), ""),
        ("SELECT cents FROM orders o, sales.orders s GROUP BY o.id", ("id",), ""),
        ("SELECT region FROM orders o, (SELECT 1 AS one) s GROUP BY o.id", ("id",), ""),
        ("SELECT o.id || '' AS x, o.region FROM orders o GROUP BY x", ("id",), ""),
        ("SELECT o.region, o.id AS region FROM orders o GROUP BY region", ("id",), ""),
        ("SELECT o.region FROM orders o GROUP BY o.id", ("secret",), ""),
        (
            "SELECT o.id FROM sales.orders AS o, (orders AS o JOIN orders p ON true) AS j GROUP BY o.id, o.cents",
            ("id",),
            "",
        ),
        (
            "SELECT o.id, count(o.cents) FROM sales.orders o, (orders AS o JOIN orders p ON true) j GROUP BY o.id",
            ("id",),
            "",
        ),
    ],
)
def test_nothing_is_added_where_no_key_decides(sql: str, key: tuple[str, ...], masked: str) -> None:
    assert printed(sql, *key, masked=masked) == printed(sql, masked=masked)


@pytest.mark.parametrize(
    ("declared", "found"), [("jsonb", "o.id, o.doc"), ("json", "o.id"), ("point", "o.id"), ("xml", "o.id")]
)
def test_a_type_without_equality_is_not_added(declared: str, found: str) -> None:
    assert grouped("SELECT o.id, o.doc FROM orders o GROUP BY o.id", "id", declared=declared) == found


MADE = """
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE pair (a int, b int, v text, PRIMARY KEY (a, b));
CREATE TABLE odd ("Id" int, b int, v text, PRIMARY KEY ("Id", b));
CREATE TABLE later (id int PRIMARY KEY DEFERRABLE, v text);
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9);
CREATE TABLE unkeyed (id int UNIQUE NOT NULL, v text);
CREATE VIEW seen AS SELECT id, v FROM plain;
"""


def test_a_key_is_known_where_the_server_would_take_it(postgres: Server) -> None:
    postgres.make_database("keys", MADE)
    with postgres.connect("keys") as owner:
        catalogue = catalogue_of(owner.execute(TABLES).fetchall())
    keys = {shape.name.partition(".")[2]: shape.key for shape in catalogue.tables.values()}
    assert keys == {
        "plain": ("id",), "pair": ("a", "b"), "odd": (), "later": (), "parent": (), "child": (), "parts": ("id",),
        "parts_1": ("id",), "unkeyed": (), "seen": (),
    }  # fmt: skip


def test_a_view_answers_as_its_table_does(postgres: Server) -> None:
    postgres.make_database("keys", MADE + "INSERT INTO pair VALUES (1, 1, 'x'), (1, 2, 'x'), (2, 1, NULL);")  # noqa: S608 - constants
    with postgres.connect("keys") as owner:
        shapes = catalogue_of(owner.execute(TABLES).fetchall()).tables
        pair: TableShape = shapes["public.pair"]
        owner.execute(b"CREATE SCHEMA s; CREATE VIEW s.pair AS SELECT * FROM pair")
        sql = "SELECT v, count(*) FROM pair GROUP BY a, b ORDER BY a, b"
        given = GateInput(
            dialect="postgres",
            text=sql,
            catalogue=Catalogue(shapes, CATALOGUE.fingerprint),
            tables={pair.name: TableRule(table=pair.name, columns=("a", "b", "v"))},
            parameters=frozenset(),
            may_claim=False,
            bounds=BOUNDS,
            stands_for={pair.name: ("s", "pair")},
        )
        written = owner.execute(sql).fetchall()
        assert owner.execute(prove(given).sql_to_run.encode()).fetchall() == written == [("x", 1), ("x", 1), (None, 1)]
