"""What does a governed call cost beside a bare echo and the bare driver? `sandbox bench call`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple, final

from sandbox.bench.deployment import make_bench_deployment
from sandbox.bench.grounds import Ground
from sandbox.bench.process import ServerProcess, client_core, running
from sandbox.client.credentials import Identity
from sandbox.client.load import Load, run
from sandbox.deployment import Deployment
from sandbox.problems import counted
from sandbox.v1 import tool_execution_pb2 as pb

CONCURRENCIES: Final = (1, 8, 64)
ECHO_BYTES: Final = 1024
WARM_UP_S: Final = 0.2
SLICES: Final = 5
"""Slices of each figure. Yardstick and governed call alternate, for a machine is not equally fast all the time."""

ECHO: Final = "/sandbox.bench.Echo/Echo"
EXECUTE: Final = "/sandbox.v1.ToolExecutionService/Execute"


@final
@dataclass(frozen=True, slots=True)
class Figure:
    """One measured line."""

    name: str
    concurrency: int
    cpu_us: float
    """Server CPU, user and system, per answered call: the median of the slices."""
    per_s: float
    p50_ms: float
    p99_ms: float


class _Slice(NamedTuple):
    """One measurement of several."""

    cpu_s: float
    """Per answered call."""
    latencies_s: list[float]
    seconds: float


@final
@dataclass(frozen=True, slots=True)
class _Range:
    """What stands ready to be measured."""

    service: ServerProcess
    bare: ServerProcess
    identity: Identity
    ground: Ground
    seconds: float


def bench_call(
    seconds: float, tell: Callable[[str], None], on: Callable[[Deployment], AbstractContextManager[Ground]]
) -> list[dict[str, str | float]]:
    """Measure echo, governed call and driver, single and streamed, for each concurrency, `seconds` each.

    `on` is one of `sandbox.bench.grounds`.
    """
    figures: list[Figure] = []
    with _range(seconds, on) as stand:
        for concurrency in CONCURRENCIES:
            for suffix in ("", "Stream"):
                tell(f"{counted(concurrency, 'caller')}{', streamed' if suffix else ''}")
                figures += _round(stand, suffix, concurrency)
    return [asdict(figure) for figure in figures]


@contextmanager
def _range(seconds: float, on: Callable[[Deployment], AbstractContextManager[Ground]]) -> Iterator[_Range]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(prefix="sandbox-bench-"))) / "deployment"
        make_bench_deployment(root)
        ground = stack.enter_context(on(Deployment(root)))
        service = stack.enter_context(running("service", root))
        bare = stack.enter_context(running("bare", root))
        stack.enter_context(client_core())
        yield _Range(service, bare, Identity.from_deployment(root, "agent"), ground, seconds)


def _round(stand: _Range, suffix: str, concurrency: int) -> Iterator[Figure]:
    echo = b"x" * ECHO_BYTES
    call = pb.ExecuteRequest(tool=stand.ground.tool, arguments_json=b'{"id":7}').SerializeToString()
    ending = "-stream" if suffix else ""
    measured: dict[str, list[_Slice]] = {}
    for _ in range(SLICES):
        for name, server, method, request in (
            ("bare-echo", stand.bare, ECHO, echo),
            ("echo", stand.service, ECHO, echo),
            ("governed", stand.service, EXECUTE, call),
        ):
            load = Load(
                address=server.address,
                identity=stand.identity,
                method=method + suffix,
                request=request,
                concurrency=concurrency,
                seconds=stand.seconds / SLICES,
            )
            measured.setdefault(name, []).append(_measure(server, load))
    for name, slices in measured.items():
        yield _figure(name + ending, concurrency, slices)
    driver = stand.ground.measure(stand.seconds)
    cpu_s = driver.cpu_s / len(driver.latencies_s)
    yield _figure(stand.ground.driver + ending, concurrency, [_Slice(cpu_s, driver.latencies_s, driver.seconds)])


def _measure(server: ServerProcess, load: Load) -> _Slice:
    run(replace(load, seconds=min(WARM_UP_S, load.seconds)))
    before = server.cpu_s()
    seen = run(load)
    return _Slice((server.cpu_s() - before) / len(seen.latencies_s), seen.latencies_s, seen.seconds)


def _figure(name: str, concurrency: int, slices: Sequence[_Slice]) -> Figure:
    latencies_s = [latency for each in slices for latency in each.latencies_s]
    percentiles = statistics.quantiles(latencies_s, n=100)
    return Figure(
        name,
        concurrency,
        round(statistics.median([each.cpu_s for each in slices]) * 1e6, 1),
        round(len(latencies_s) / sum(each.seconds for each in slices), 1),
        round(percentiles[49] * 1e3, 3),
        round(percentiles[98] * 1e3, 3),
    )
