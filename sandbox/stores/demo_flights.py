"""Where does the demo's database come from? Built from the open data in `sandbox/data/flights` (see its ORIGIN.md)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

import apsw

from sandbox.values import Cell

_SCHEMA: Final = """
CREATE TABLE airlines (carrier TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE airports (faa TEXT PRIMARY KEY, name TEXT NOT NULL, lat REAL NOT NULL, lon REAL NOT NULL,
                       alt INTEGER NOT NULL, tzone TEXT NOT NULL) STRICT;
CREATE TABLE planes (tailnum TEXT PRIMARY KEY, year INTEGER, type TEXT NOT NULL, manufacturer TEXT NOT NULL,
                     model TEXT NOT NULL, engines INTEGER NOT NULL, seats INTEGER NOT NULL,
                     engine TEXT NOT NULL) STRICT;
CREATE TABLE flights (id INTEGER PRIMARY KEY, time_hour TEXT NOT NULL, carrier TEXT NOT NULL REFERENCES airlines,
                      flight INTEGER NOT NULL, tailnum TEXT, origin TEXT NOT NULL, dest TEXT NOT NULL,
                      sched_dep_time INTEGER NOT NULL, dep_time INTEGER, dep_delay INTEGER,
                      sched_arr_time INTEGER NOT NULL, arr_time INTEGER, arr_delay INTEGER, air_time INTEGER,
                      distance INTEGER NOT NULL) STRICT;
"""
_INDEXES: Final = """
CREATE INDEX flights_origin ON flights (origin);
CREATE INDEX flights_carrier ON flights (carrier);
CREATE INDEX flights_time_hour ON flights (time_hour);
ANALYZE;
"""
_COLUMNS: Final = {"airlines": 2, "airports": 6, "planes": 8, "flights": 15}
"""How many columns each table has, airlines before the flights that refer to them."""


def build_flights_database(path: Path) -> None:
    """Write a new SQLite database of 2,699 departures from New York to `path`, which must not exist yet."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:
            connection.execute(_SCHEMA)
            for table, columns in _COLUMNS.items():
                places = ", ".join("?" * columns)
                connection.executemany(f"INSERT INTO {table} VALUES ({places})", _rows(table))  # noqa: S608 - our own names
            connection.execute(_INDEXES)
    finally:
        connection.close()


def _rows(table: str) -> Iterator[tuple[Cell, ...]]:
    """Return one table's rows; an empty field is NULL, and STRICT columns turn numerals into numbers."""
    text = (files("sandbox.data") / "flights" / f"{table}.csv").read_text(encoding="utf-8")
    lines = csv.reader(text.splitlines())
    next(lines)
    return (tuple(field or None for field in line) for line in lines)
