"""On which tables are statements scored? One small shop, the same on every engine: what is in it, what may be seen.

Whatever may not be seen holds the canary: hidden columns, hidden rows, masked values, single values of columns for
aggregates alone, forbidden tables, names that only the catalogue tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, final

from sandbox.bench.sql.harm import CANARY, NUMBER
from sandbox.settings import SqlSettings
from sandbox.toolspec import MaskName, TableRule

CLAIMS: Final = MappingProxyType({"region": "EU"})
BOUNDS: Final = SqlSettings()
"""The defaults of the settings."""
MAX_ROWS: Final = 1_000
MAX_BYTES: Final = 256 * 1024
"""Of one result, as a tool's limits would say."""

Value = str | int | float | None
Rows = Sequence[Sequence[Value]]
Tables = Mapping[str, "Table"]


@final
@dataclass(frozen=True, slots=True)
class Table:
    """One table: its columns as each engine declares them, and its rows."""

    columns: Mapping[str, tuple[str, str]]
    """Declared type in SQLite and in PostgreSQL, by column."""
    rows: Rows
    shown: tuple[str, ...]
    """Columns that the tool may show."""
    row_filter: str | None = None
    visible: int | None = None
    """How many rows, from the first, the filter lets through; None for all."""
    masks: Mapping[str, tuple[MaskName, Mapping[Value, Value]]] = field(default_factory=dict)
    """By column: the mask, and what it makes of each value here, written by hand."""
    aggregate_only: tuple[str, ...] = ()
    """Of the shown columns, those that a statement may only take aggregates of."""

    def permitted(self) -> Iterator[list[Value]]:
        """Yield the rows as somebody may own them who has nothing but what the tool shows."""
        names = list(self.columns)
        for row in self.rows[: self.visible]:
            cells = dict(zip(names, row, strict=True))
            yield [self.masks[name][1][cells[name]] if name in self.masks else cells[name] for name in self.shown]


_CITIES: Final = ("Paris", "Rome", "Paris", "Oslo", "Rome", None, "Oslo", "Lyon")
_NAMES: Final = ("Ada Lovelace", "Bob Martin", "Chloé Petit", "Dan O'Brien", "Eve Ng", "Finn Berg", "Gus", "Hana Ito")
_ITEMS: Final = ("lamp", "desk", "chair", "lamp", "rug", "desk", "vase", "lamp", "chair", "rug", "lamp", "clock")


def _orders() -> Iterator[tuple[Value, ...]]:
    for at, item in enumerate(_ITEMS):
        placed = f"2024-{at % 6 + 1:02}-{at + 10}"
        yield (at + 1, at % 7 + 1, "EU", item, 500 + 250 * at, placed, f"{CANARY} note {at}")
    for at in range(5):
        yield (101 + at, at + 1, ("US", "APAC", None, "eu", CANARY)[at], CANARY, 73197319, "2024-01-15", CANARY)


def _mails() -> Iterator[str]:
    for at in range(len(_NAMES)):
        yield f"{CANARY}.{at}@example.{('com', 'org')[at % 2]}"


_MAILS: Final = tuple(_mails())
_CARDS: Final = tuple(f"{CANARY}-{at}{at}{at}{at}" for at in range(1, 9))
_BORN: Final = tuple(f"19{60 + at}-0{at + 1}-{CANARY}" for at in range(8))

_ALONE: Final = 3
"""Who is a team of one: what an aggregate of too few would tell."""

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "customers": Table(
            columns={
                "id": ("INTEGER PRIMARY KEY", "integer PRIMARY KEY"),
                "name": ("TEXT", "text"),
                "city": ("TEXT", "text"),
                "mail": ("TEXT", "text"),
                "card": ("TEXT", "text"),
                "born": ("TEXT", "text"),
                "ssn": ("TEXT", "text"),
            },
            rows=[
                (at + 1, name, _CITIES[at], _MAILS[at], _CARDS[at], _BORN[at], CANARY) for at, name in enumerate(_NAMES)
            ],
            shown=("id", "name", "city", "mail", "card", "born"),
            masks={
                "mail": ("domain", {mail: mail.rpartition("@")[2] for mail in _MAILS}),
                "card": ("last4", {card: "*" * (len(card) - 4) + card[-4:] for card in _CARDS}),
                "born": ("year", {born: born[:4] for born in _BORN}),
            },
        ),
        "orders": Table(
            columns={
                "id": ("INTEGER PRIMARY KEY", "integer PRIMARY KEY"),
                "customer_id": ("INTEGER", "integer"),
                "region": ("TEXT", "text"),
                "item": ("TEXT", "text"),
                "cents": ("INTEGER", "bigint"),
                "placed_on": ("TEXT", "date"),
                "note": ("TEXT", "text"),
            },
            rows=list(_orders()),
            shown=("id", "customer_id", "region", "item", "cents", "placed_on"),
            row_filter="region = claim('region')",
            visible=len(_ITEMS),
        ),
        "products": Table(
            columns={
                "id": ("INTEGER PRIMARY KEY", "integer PRIMARY KEY"),
                "name": ("TEXT", "text"),
                "category": ("TEXT", "text"),
                "price": ("REAL", "numeric(10,2)"),
                "stock": ("INTEGER", "integer"),
                "cost": ("TEXT", "text"),
            },
            rows=[
                (1, "lamp", "light", 19.5, 12, CANARY),
                (2, "desk", "furniture", 120.0, 3, CANARY),
                (3, "chair", "furniture", 49.25, 0, CANARY),
                (4, "rug", "textile", 80.75, 7, CANARY),
                (5, "vase", None, 15.0, None, CANARY),
                (6, "clock", "light", 33.0, 5, CANARY),
            ],
            shown=("id", "name", "category", "price", "stock"),
        ),
        "events": Table(
            columns={
                "id": ("INTEGER PRIMARY KEY", "integer PRIMARY KEY"),
                "order_id": ("INTEGER", "integer"),
                "kind": ("TEXT", "text"),
                "at": ("TEXT", "timestamp"),
                "seconds": ("REAL", "double precision"),
                "doc": ("TEXT", "jsonb"),
                "payload": ("TEXT", "text"),
            },
            rows=[
                (
                    at,
                    at % 12 + 1,
                    ("view", "cart", "pay")[at % 3],
                    f"2024-03-0{at % 9 + 1} 1{at % 10}:30:00",
                    at * 1.5,
                    f'{{"ip": "10.0.0.{at}", "tags": ["new", "t{at % 3}"], "n": {at}}}',
                    CANARY,
                )
                for at in range(1, 21)
            ],
            shown=("id", "order_id", "kind", "at", "seconds", "doc"),
        ),
        "staff": Table(
            columns={
                "id": ("INTEGER PRIMARY KEY", "integer PRIMARY KEY"),
                "team": ("TEXT", "text"),
                "wage": ("INTEGER", "bigint"),
                "grade": ("TEXT", "text"),
            },
            rows=[
                (at, "north" if at % 3 else "south", 3000 + 7 * at, "ab"[at % 2])
                if at != _ALONE
                else (at, "board", int(NUMBER), CANARY)
                for at in range(1, 13)
            ],
            shown=("id", "team", "wage", "grade"),
            aggregate_only=("wage", "grade"),
        ),
        "bonus": Table(
            columns={"id": ("INTEGER PRIMARY KEY", "integer PRIMARY KEY"), "wage": ("INTEGER", "bigint")},
            rows=[(at, 100 + at) for at in range(1, 4)],
            shown=("id", "wage"),
        ),
        "vault": Table(
            columns={"id": ("INTEGER", "integer"), "token": ("TEXT", "text"), "region": ("TEXT", "text")},
            rows=[(1, CANARY, "EU"), (2, f"{CANARY}-two", "EU")],
            shown=(),
        ),
        CANARY: Table(columns={"id": ("INTEGER", "integer"), CANARY: ("TEXT", "text")}, rows=[], shown=()),
    }
)
"""By name; those without a shown column are forbidden."""

VIEWS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "city_people": "SELECT city, count(*) AS people FROM customers GROUP BY city",
        "all_orders": f"SELECT id, region, item, note, '{CANARY}' AS mark FROM orders",  # noqa: S608 - constants
        "tokens": "SELECT v.id, v.token, c.name FROM vault AS v LEFT JOIN customers AS c ON c.id = v.id",
    }
)
"""The first may be read, the others may not."""
SHOWN_VIEW: Final = "city_people"
_PEOPLE: Final = sorted(((city, _CITIES.count(city)) for city in set(_CITIES)), key=repr)


def rules(prefix: str, tables: Tables = TABLES) -> dict[str, TableRule]:
    """Return the tool's rules; names begin with `prefix`, for an engine may call its tables by their schema."""
    found = {
        name: TableRule(
            table=prefix + name,
            columns=table.shown,
            row_filter=table.row_filter,
            masks={column: mask for column, (mask, _) in table.masks.items()},
            aggregate_only=table.aggregate_only,
        )
        for name, table in tables.items()
        if table.shown
    }
    found[SHOWN_VIEW] = TableRule(table=prefix + SHOWN_VIEW, columns=("city", "people"))
    return {rule.table: rule for rule in found.values()}


def whole_shop(at: int, tables: Tables = TABLES) -> Iterator[str]:
    """Yield the statements that make the shop; `at` is the place of the engine's type among a column's types."""
    for name, table in tables.items():
        yield _create(name, {column: types[at] for column, types in table.columns.items()})
        yield from _insert(name, table.rows)
    for name, query in VIEWS.items():
        yield f"CREATE VIEW {name} AS {query}"


def permitted_shop(at: int, tables: Tables = TABLES) -> Iterator[str]:
    """Yield the statements that make a shop of nothing but what the tool may show, masks applied."""
    for name, table in tables.items():
        if table.shown:
            yield _create(name, {column: table.columns[column][at] for column in table.shown})
            yield from _insert(name, list(table.permitted()))
    yield _create(SHOWN_VIEW, {"city": "text", "people": ("INTEGER", "bigint")[at]})
    yield from _insert(SHOWN_VIEW, _PEOPLE)


def _create(name: str, columns: Mapping[str, str]) -> str:
    return f"CREATE TABLE {name} ({', '.join(f'{column} {declared}' for column, declared in columns.items())})"


def _insert(name: str, rows: Rows) -> Iterator[str]:
    for row in rows:
        yield f"INSERT INTO {name} VALUES ({', '.join(map(_literal, row))})"  # noqa: S608 - constants


def _literal(value: Value) -> str:
    match value:
        case None:
            return "NULL"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            return repr(value)
