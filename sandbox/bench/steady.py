"""Does the service stay steady? Memory under load, and one caller's latency while another floods the SQL gate."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sandbox.bench.deployment import BENCH_TOOL, make_bench_deployment
from sandbox.bench.process import ServerProcess, child, client_core, first_line, running
from sandbox.client.credentials import Identity
from sandbox.client.load import Load, run
from sandbox.v1 import tool_execution_pb2 as pb

EXECUTE: Final = "/sandbox.v1.ToolExecutionService/Execute"
MIB: Final = 1024 * 1024
WARM_UP_S: Final = 30.0
"""Until 64 threads have met their sessions, arenas and caches: 8 MiB in the first half minute, 2 in the next minute."""
HOT_CALLERS: Final = 8


def bench_memory(seconds: float, tell: Callable[[str], None]) -> dict[str, float]:
    """Load the service with 64 callers and compare its memory after warm-up with that at the end."""
    with _service() as (server, root):
        load = _hot(server, root, concurrency=64, seconds=WARM_UP_S)
        tell(f"warming up for {WARM_UP_S:.0f} s")
        run(load)
        before = server.resident_bytes()
        tell(f"{seconds:.0f} s of load")
        calls = len(run(_hot(server, root, concurrency=64, seconds=seconds)).latencies_s)
        after = server.resident_bytes()
    return {
        "seconds": seconds,
        "calls": calls,
        "before_mib": round(before / MIB, 1),
        "after_mib": round(after / MIB, 1),
        "growth_percent": round((after / before - 1) * 100, 2),
        "growth_bytes_per_call": round((after - before) / calls, 2),
    }


def bench_flood(seconds: float, tell: Callable[[str], None]) -> dict[str, float]:
    """Time one caller's hot calls alone, then while another principal sends SQL texts never met before."""
    with _service() as (server, root):
        load = _hot(server, root, concurrency=HOT_CALLERS, seconds=seconds)
        run(_hot(server, root, concurrency=HOT_CALLERS, seconds=1.0))
        tell("alone")
        alone = _p99_ms(run(load).latencies_s)
        tell("beside a flood of cold SQL")
        with _flood(server, root):
            beside = _p99_ms(run(load).latencies_s)
    return {
        "alone_p99_ms": alone,
        "flooded_p99_ms": beside,
        "ratio": round(beside / alone, 2),
    }


@contextmanager
def _service() -> Iterator[tuple[ServerProcess, Path]]:
    with TemporaryDirectory(prefix="sandbox-bench-") as folder:
        root = Path(folder) / "deployment"
        make_bench_deployment(root)
        with running("service", root) as server, client_core():
            yield server, root


def _hot(server: ServerProcess, root: Path, *, concurrency: int, seconds: float) -> Load:
    call = pb.ExecuteRequest(tool=BENCH_TOOL, arguments_json=b'{"id":7}')
    return Load(
        address=server.address,
        identity=Identity.from_deployment(root, "agent"),
        method=EXECUTE,
        request=call.SerializeToString(),
        concurrency=concurrency,
        seconds=seconds,
    )


@contextmanager
def _flood(server: ServerProcess, root: Path) -> Iterator[None]:
    """Send cold texts for the block, from a process of its own that gives way to the one that measures."""
    with child("sandbox.bench.flooder", server.address, str(root)) as flooder:
        if not first_line(flooder):
            raise RuntimeError("the flood did not begin")
        yield


def _p99_ms(latencies_s: list[float]) -> float:
    return round(statistics.quantiles(latencies_s, n=100)[98] * 1e3, 3)
