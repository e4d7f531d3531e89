"""What is in the example database of `sandbox init`? A made-up shop: six customers and twenty-four orders."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

SCHEMA: Final = """\
CREATE TABLE customers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  city TEXT NOT NULL,
  email TEXT NOT NULL
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers (id),
  region TEXT NOT NULL,
  cents INTEGER NOT NULL,
  placed_on TEXT NOT NULL,
  note TEXT
);
CREATE INDEX orders_by_region ON orders (region);
CREATE INDEX orders_by_customer ON orders (customer_id);
"""

_CUSTOMERS: Final = (
    (1, "Anna de Vries", "Amsterdam", "anna@shop.example", "EU"),
    (2, "Grace Hopper", "New York", "grace@shop.example", "US"),
    (3, "João Silva", "Lisboa", "joao@shop.example", "EU"),
    (4, "Mary Jackson", "Hampton", "mary@shop.example", "US"),
    (5, "Zofia Nowak", "Kraków", "zofia@shop.example", "EU"),
    (6, "Wu Chien-Shiung", "San Francisco", "wu@shop.example", "US"),
)
_ORDERS_EACH: Final = 4
_NOTES: Final = ("leave it with the neighbour", None, None, "a present, no invoice please")


def build_shop_database(path: Path) -> None:
    """Make the database in a new file."""
    connection = apsw.Connection(str(path))
    try:
        with connection:
            connection.execute(SCHEMA)
            connection.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", [row[:4] for row in _CUSTOMERS])
            connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", _orders())
    finally:
        connection.close()


def _orders() -> list[tuple[int, int, str, int, str, str | None]]:
    return [
        (
            number,
            (customer := _CUSTOMERS[(number - 1) % len(_CUSTOMERS)])[0],
            customer[4],
            number * 700,
            f"2026-{number // 3 + 1:02}-{number + 2:02}",
            _NOTES[number % len(_NOTES)],
        )
        for number in range(1, _ORDERS_EACH * len(_CUSTOMERS) + 1)
    ]
