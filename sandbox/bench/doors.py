"""What does each door cost? The same governed read through all, beside MCP's bare SDK doing it without a check."""

from __future__ import annotations

import json
import ssl
import statistics
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPSConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from sandbox.bench.deployment import BENCH_TOOL, make_bench_deployment
from sandbox.bench.process import ServerProcess, client_core, running, running_file
from sandbox.client.credentials import Identity
from sandbox.client.load import Load, run
from sandbox.deployment import Deployment
from sandbox.v1 import tool_execution_pb2 as pb
from sandbox.values import JsonObject

CONCURRENCY: Final = 8
SLICES: Final = 5
WARM_UP_S: Final = 0.5
EXECUTE: Final = "/sandbox.v1.ToolExecutionService/Execute"
_ARGUMENTS: Final = b'{"id":7}'
_REVISION: Final = "2026-07-28"
_META: Final[JsonObject] = {
    "io.modelcontextprotocol/protocolVersion": _REVISION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
_CALL: Final = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": BENCH_TOOL, "arguments": {"id": 7}, "_meta": _META},
    }
).encode()
_MCP_HEADERS: Final = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": _REVISION,
    "mcp-method": "tools/call",
    "mcp-name": BENCH_TOOL,
}


class Figure(NamedTuple):
    """One door's."""

    door: str
    cpu_us: float
    """Server CPU, user and system, per answered call: the median of the slices."""
    times_bare_mcp: float
    """Of the bare SDK's, in the same run."""


class _Post(NamedTuple):
    """The same request, again and again."""

    address: str
    path: str
    headers: dict[str, str]
    body: bytes
    context: ssl.SSLContext


Timed = Callable[[float], int]
"""Calls for so many seconds; returns how many were answered."""


def bench_doors(seconds: float, tell: Callable[[str], None], fastmcp: str = "") -> list[Figure]:
    """Measure each door at eight callers, `seconds` each; `fastmcp` is a Python that has it, measured too."""
    cpu_s: dict[str, list[float]] = {}
    with ExitStack() as stack:
        doors = _doors(stack, fastmcp)
        stack.enter_context(client_core())
        for at in range(SLICES):
            tell(f"round {at + 1} of {SLICES}")
            for name, server, timed in doors:
                timed(min(WARM_UP_S, seconds / SLICES))
                before = server.cpu_s()
                answered = timed(seconds / SLICES)
                cpu_s.setdefault(name, []).append((server.cpu_s() - before) / answered)
    bare = statistics.median(cpu_s["bare mcp"])
    return [
        Figure(name, round(statistics.median(each) * 1e6, 1), round(statistics.median(each) / bare, 3))
        for name, each in cpu_s.items()
    ]


def lines(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield the figures as lines to read."""
    yield f"{'server CPU per call, 8 callers':<34}{'µs':>9}{'times bare mcp':>18}"
    for door, cpu_us, times in figures:
        yield f"{door:<34}{cpu_us:>9.1f}{times:>18.2f}"


def _doors(stack: ExitStack, fastmcp: str) -> list[tuple[str, ServerProcess, Timed]]:
    root = Path(stack.enter_context(TemporaryDirectory(prefix="sandbox-bench-"))) / "deployment"
    make_bench_deployment(root)
    deployment = Deployment(root)
    text = deployment.settings.read_text("utf-8")
    deployment.settings.write_text(text.replace("[http]", '[http]\nlisten = "127.0.0.1:0"'), "utf-8")
    service = stack.enter_context(running("service", root))
    identity = Identity.from_deployment(root, "agent")
    context = ssl.create_default_context(cafile=deployment.pki / "ca.pem")
    context.load_cert_chain(deployment.pki / "clients" / "agent.pem", deployment.pki / "clients" / "agent.key")
    token = {"authorization": f"Bearer {identity.token}"}
    connect = json.dumps({"tool": BENCH_TOOL, "argumentsJson": b64encode(_ARGUMENTS).decode()}).encode()
    json_headers = {"content-type": "application/json", **token}
    request = pb.ExecuteRequest(tool=BENCH_TOOL, arguments_json=_ARGUMENTS).SerializeToString()
    load = Load(
        address=service.address,
        identity=identity,
        method=EXECUTE,
        request=request,
        concurrency=CONCURRENCY,
        seconds=1.0,
    )
    mcp = _Post(service.http, "/mcp", {**_MCP_HEADERS, **token}, _CALL, context)
    doors: list[tuple[str, ServerProcess, Timed]] = [
        ("gRPC", service, lambda s: len(run(replace(load, seconds=s)).latencies_s)),
        ("ExecuteStream", service, lambda s: len(run(replace(load, method=EXECUTE + "Stream", seconds=s)).latencies_s)),
        ("Connect, JSON", service, _posts(_Post(service.http, EXECUTE, json_headers, connect, context))),
        ("MCP, Streamable HTTP", service, _posts(mcp)),
    ]
    for kind, python in (("mcp", ""), ("fastmcp", fastmcp)):
        if kind == "mcp" or python:
            files = (deployment.root / "data" / "shop.db", deployment.pki / "server.pem", deployment.pki / "server.key")
            server = stack.enter_context(running_file("mcp_server.py", kind, *map(str, files), python=python))
            bare = mcp._replace(address=server.address, path="/mcp/", headers=_MCP_HEADERS)
            doors.append(("bare mcp" if kind == "mcp" else kind, server, _posts(bare)))
    return doors


def _posts(post: _Post) -> Timed:
    """Post from eight threads, each over a connection of its own."""

    def timed(seconds: float) -> int:
        answered: list[int] = []
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=lambda: answered.append(_post_until(post, until))) for _ in range(CONCURRENCY)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(answered) < CONCURRENCY:
            raise RuntimeError(f"{post.path}: a caller was not answered")
        return sum(answered)

    return timed


def _post_until(post: _Post, until: float) -> int:
    host, _, port = post.address.rpartition(":")
    with closing(HTTPSConnection(host, int(port), context=post.context)) as connection:
        count = 0
        while time.monotonic() < until or not count:
            connection.request("POST", post.path, post.body, post.headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or b'isError":true' in body or b"refusal" in body:
                raise RuntimeError(f"{post.path}: {answer.status} {body[:200]!r}")
            count += 1
        return count
