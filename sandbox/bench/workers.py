"""Do several workers do as much with a second of CPU as one process does? `sandbox bench workers`."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

from sandbox.bench.call import EXECUTE, SLICES, WARM_UP_S
from sandbox.bench.deployment import BENCH_TOOL, make_bench_deployment
from sandbox.bench.process import END_WITHIN_S, ServerProcess, first_line
from sandbox.client.credentials import Identity
from sandbox.client.load import Load, run
from sandbox.v1 import tool_execution_pb2 as pb

CALLERS: Final = 64
CHANNELS: Final = 16
"""Connections: the system parts them among workers, and few could all fall to one."""


@final
@dataclass(frozen=True, slots=True)
class _Served:
    """A running service and its processes."""

    processes: tuple[ServerProcess, ...]
    load: Load

    def cpu_s(self) -> float:
        """Return the CPU seconds of all processes."""
        return sum(process.cpu_s() for process in self.processes)


def bench_workers(seconds: float, workers: int, tell: Callable[[str], None]) -> dict[str, float]:
    """Load one process and several workers in turns, and compare what each does with a second of CPU."""
    with _served(1, seconds) as one, _served(workers, seconds) as several:
        found: dict[_Served, list[tuple[float, float]]] = {one: [], several: []}
        for number in range(SLICES):
            tell(f"slice {number + 1} of {SLICES}")
            for served, slices in found.items():
                slices.append(_slice(served))
    per_cpu_s = {served: statistics.median([each for each, _ in slices]) for served, slices in found.items()}
    per_s = {served: statistics.median([each for _, each in slices]) for served, slices in found.items()}
    return {
        "workers": workers,
        "one_calls_per_cpu_s": round(per_cpu_s[one], 1),
        "workers_calls_per_cpu_s": round(per_cpu_s[several], 1),
        "one_calls_per_s": round(per_s[one], 1),
        "workers_calls_per_s": round(per_s[several], 1),
        "ratio": round(per_cpu_s[several] / per_cpu_s[one], 3),
    }


def _slice(served: _Served) -> tuple[float, float]:
    """Return calls for each second of CPU, and for each second."""
    run(replace(served.load, seconds=min(WARM_UP_S, served.load.seconds)))
    before = served.cpu_s()
    seen = run(served.load)
    return len(seen.latencies_s) / (served.cpu_s() - before), len(seen.latencies_s) / seen.seconds


@contextmanager
def _served(workers: int, seconds: float) -> Iterator[_Served]:
    with TemporaryDirectory(prefix="sandbox-bench-") as folder:
        root = Path(folder) / "deployment"
        make_bench_deployment(root)
        command = [sys.executable, "-m", "sandbox.cli.main", "serve", "--workers", str(workers)]
        with subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--listen", "127.0.0.1:0", "--deployment", str(root)], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield _Served(*_found(process, root, seconds))
            finally:
                process.terminate()
                try:
                    process.wait(timeout=END_WITHIN_S)
                except subprocess.TimeoutExpired:
                    process.kill()


def _found(process: subprocess.Popen[str], root: Path, seconds: float) -> tuple[tuple[ServerProcess, ...], Load]:
    line = first_line(process)
    if not line.startswith("ready grpc="):
        raise RuntimeError(f"the service did not start: {line!r}")
    address = line.split()[1].removeprefix("grpc=")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
    pids = [int(pid) for pid in children] or [process.pid]
    call = pb.ExecuteRequest(tool=BENCH_TOOL, arguments_json=b'{"id":7}')
    load = Load(
        address=address,
        identity=Identity.from_deployment(root, "agent"),
        method=EXECUTE,
        request=call.SerializeToString(),
        concurrency=CALLERS,
        channels=CHANNELS,
        seconds=seconds / SLICES,
    )
    return tuple(ServerProcess(pid, address) for pid in pids), load
