"""Is the demo's database what its origin note says?"""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from sandbox.stores.demo_flights import build_flights_database


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> apsw.Connection:
    path = tmp_path_factory.mktemp("flights") / "flights.db"
    build_flights_database(path)
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


@pytest.mark.requirement("house:demo-data:real-rows")
def test_every_published_row_of_the_three_days_is_there(flights: apsw.Connection) -> None:
    counts = {
        table: flights.execute(f"SELECT count(*) FROM {table}").get  # noqa: S608 - names of this test
        for table in ("flights", "airlines", "airports", "planes")
    }
    assert counts == {"flights": 2699, "airlines": 15, "airports": 88, "planes": 1140}
    assert flights.execute("SELECT DISTINCT origin FROM flights ORDER BY origin").fetchall() == [
        ("EWR",),
        ("JFK",),
        ("LGA",),
    ]


def test_numerals_become_numbers_and_missing_values_null(flights: apsw.Connection) -> None:
    first = flights.execute("SELECT id, dep_delay, distance, tailnum, time_hour FROM flights WHERE id = 1").fetchone()
    cancelled = flights.execute("SELECT count(*) FROM flights WHERE dep_time IS NULL AND dep_delay IS NULL").get

    assert first == (1, 2, 1400, "N14228", "2013-01-01T10:00:00Z")
    assert cancelled == 22
    assert flights.execute("SELECT typeof(lat), typeof(alt) FROM airports LIMIT 1").fetchone() == ("real", "integer")


def test_a_row_is_found_by_its_airport_without_a_scan(flights: apsw.Connection) -> None:
    plan = flights.execute("EXPLAIN QUERY PLAN SELECT id FROM flights WHERE origin = 'JFK' AND id = 7").fetchall()

    assert "SCAN" not in str(plan)


def test_an_existing_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "flights.db"
    build_flights_database(path)
    before = path.read_bytes()

    with pytest.raises(apsw.SQLError, match="already exists"):
        build_flights_database(path)
    assert path.read_bytes() == before
