"""What do driver and client alone cost? The yardsticks of `sandbox bench`: the same question, asked plainly."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import apsw
import psycopg

POINT_READ: Final = "SELECT id, customer_id, region, cents, placed_on FROM orders WHERE id = "


@final
@dataclass(frozen=True, slots=True)
class DriverSeen:
    """What a run of the bare driver saw."""

    cpu_s: float
    seconds: float
    latencies_s: list[float]


def measure_driver(database: Path, seconds: float) -> DriverSeen:
    """Read one order again and again over one kept connection."""
    with closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return _measured(seconds, lambda: connection.execute(POINT_READ + ":id", {"id": 7}).fetchall())


def measure_postgres_driver(dsn: str, seconds: float) -> DriverSeen:
    """Read one order again and again over one kept connection, prepared, each in a transaction of its own."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        query = (POINT_READ + "%s").encode()
        return _measured(seconds, lambda: connection.execute(query, (7,), prepare=True).fetchall())


def measure_http_client(port: int, path: str, seconds: float) -> DriverSeen:
    """Ask a service of this machine for one order again and again, over a new connection each time."""

    def ask() -> object:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            return json.loads(connection.getresponse().read())

    return _measured(seconds, ask)


def _measured(seconds: float, ask: Callable[[], object]) -> DriverSeen:
    latencies: list[float] = []
    cpu_before, begun = time.process_time(), time.perf_counter()
    now = begun
    while now - begun < seconds:
        ask()
        before, now = now, time.perf_counter()
        latencies.append(now - before)
    return DriverSeen(time.process_time() - cpu_before, now - begun, latencies)
