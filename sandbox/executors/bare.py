"""What does the driver alone cost? The yardstick of `sandbox bench`: the same point read with nothing in its way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import apsw

POINT_READ: Final = "SELECT id, customer_id, region, cents, placed_on FROM orders WHERE id = :id"


@final
@dataclass(frozen=True, slots=True)
class DriverSeen:
    """What a run of the bare driver saw."""

    cpu_s: float
    seconds: float
    latencies_s: list[float]


def measure_driver(database: Path, seconds: float) -> DriverSeen:
    """Read one order again and again over one kept connection."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    latencies: list[float] = []
    cpu_before, begun = time.process_time(), time.perf_counter()
    now = begun
    while now - begun < seconds:
        connection.execute(POINT_READ, {"id": 7}).fetchall()
        before, now = now, time.perf_counter()
        latencies.append(now - before)
    cpu_s = time.process_time() - cpu_before
    connection.close()
    return DriverSeen(cpu_s, now - begun, latencies)
