"""Do imports point down, and does danger live only in the rooms named for it?"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from source_tree import ROOT, Module, imports, modules, planted

RPC = ("sandbox.doors.rpc", "sandbox.client")
DOORS = ("sandbox.doors", "sandbox.client")
"""Every door speaks in the messages of the protos, whatever carries them."""
ENGINES = ("sandbox.executors", "sandbox.stores", "sandbox.leases", "sandbox.outbound")
INSTRUMENTS = ("sandbox.bench", "sandbox.demo")
"""They start a service as a process of its own to measure or show it; nothing serves from them."""
WORKERS = ("sandbox.workers",)
"""They are processes, and talk to each other."""

BARE = "sandbox.bench.mcp_server"
"""A process of its own, which other Pythons run: what MCP costs without us."""

ROOMS_OF = {
    "grpc": RPC,
    "grpc_health": RPC,
    "grpc_reflection": RPC,
    "grpc_status": RPC,
    "google.rpc": DOORS,
    "sandbox.v1.tool_execution_pb2_grpc": RPC,
    "sandbox.v1.execution_log_pb2_grpc": RPC,
    "sandbox.v1.tool_execution_pb2": (*DOORS, "sandbox.bench"),
    "sandbox.v1.execution_log_pb2": DOORS,
    "sandbox.v1.record_pb2": (
        *DOORS,
        "sandbox.receipts",
        "sandbox.stores",
        "sandbox.audit",
        "sandbox.cli.records",
        "sandbox.reviewing",
    ),
    "apsw": (*ENGINES, "sandbox.bench.sql.sqlite_owner"),
    "sqlite3": (BARE,),  # a second SQLite library in one process breaks the first one's file locks
    "subprocess": (*ENGINES, *INSTRUMENTS, *WORKERS),
    "multiprocessing": ENGINES,
    "duckdb": ("sandbox.confined", "sandbox.bench.sql.duckdb_ground"),
    "socket": (*ENGINES, *RPC, *WORKERS, "sandbox.confined", "sandbox.doors", "sandbox.receipts.witness", BARE),
    "http.client": (*ENGINES, "sandbox.identity.oidc", "sandbox.receipts.witness", "sandbox.bench.doors"),
    "urllib.request": (),
    "httpx": (*ENGINES, "sandbox.identity.oidc", "sandbox.receipts.witness"),
    "cedarpy": ("sandbox.policy",),
    "joserfc": ("sandbox.identity",),
    "mcp": ("sandbox.doors.mcp", "sandbox.doors.http", BARE),
    "starlette": ("sandbox.doors.http", BARE),
    "uvicorn": ("sandbox.doors.http", BARE),
    "mcp_types": ("sandbox.doors.mcp", BARE),
    "langchain_core": ("sandbox.client.frameworks", "sandbox.client.tools"),
    "agents": ("sandbox.client.frameworks", "sandbox.client.tools"),
    "pydantic_ai": ("sandbox.client.frameworks", "sandbox.client.tools"),
    "pickle": (),
    "marshal": (),
    "shelve": (),
    "copy": (),
    "ctypes": ("sandbox.tidying",),
}
"""What may be imported only in certain rooms, and there."""

ONLY = {
    "sandbox.pipeline": ("sandbox.stages", "sandbox.reasons"),
    "sandbox.stages": ("sandbox.reasons", "sandbox.toolspec", "sandbox.values"),
    "sandbox.reasons": (),
    "sandbox.values": (),
    "sandbox.confined": ("sandbox.confined",),
    "sandbox.audit": ("sandbox.audit", "sandbox.v1.record_pb2", "sandbox.values", "sandbox.stores"),
    "sandbox.audit.verify": ("sandbox.audit", "sandbox.v1.record_pb2", "sandbox.values"),
    "sandbox.client": ("sandbox.client", "sandbox.audit", "sandbox.v1", "sandbox.values"),
}
"""Rooms that know nothing of ours but what is named."""


def strays(module: Module) -> Iterable[str]:
    """Yield each import that the tables do not allow."""
    for imported in imports(module):
        for package, rooms in ROOMS_OF.items():
            if f"{imported.name}.".startswith(f"{package}.") and not module.is_in(rooms):
                yield f"{module.name}:{imported.line} imports {imported.name}"
        for room, known in ONLY.items():
            if not module.is_in((room,)) or not imported.name.startswith("sandbox."):
                continue
            if not any(f"{imported.name}.".startswith((f"{name}.",)) for name in known):
                yield f"{module.name}:{imported.line} imports {imported.name}"


def without_prefixes(found: Iterable[str], name: str) -> list[str]:
    """Drop findings about `from sandbox.v1 import record_pb2` naming the folder as well as the module."""
    return sorted({line for line in found if not line.endswith(f"imports {name}")})


@pytest.mark.requirement("house:imports:rooms")
def test_drivers_sockets_and_grpc_stay_in_their_rooms() -> None:
    found = [line for module in modules().values() for line in strays(module)]

    found = without_prefixes(found, "sandbox.v1")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sandbox.policy.decide", "import grpc"),
        ("sandbox.cli.call", "def f():\n    import grpc.aio"),
        ("sandbox.sql.gate", "import apsw"),
        ("sandbox.stores.log", "import sqlite3"),
        ("sandbox.flow.flow", "from subprocess import run"),
        ("sandbox.receipts.log", "from sandbox.v1.tool_execution_pb2_grpc import ToolExecutionServiceStub"),
        ("sandbox.receipts.log", "from sandbox.v1 import tool_execution_pb2"),
        ("sandbox.pipeline", "from sandbox.policy import CedarPolicy"),
        ("sandbox.audit.verify", "from sandbox.receipts import Receipts"),
        ("sandbox.client.sync", "import sandbox.app"),
        ("sandbox.stages", "import pickle"),
    ],
)
def test_a_planted_import_is_found(name: str, source: str) -> None:
    assert without_prefixes(strays(planted(name, source)), "sandbox.v1") != []


def broken_contracts(root: Path) -> str:
    """Return what import-linter says about the package in `root`; empty if every contract holds."""
    command: list[Path | str] = [
        Path(sys.executable).with_name("lint-imports"),
        "--no-cache",
        "--config",
        ROOT / "pyproject.toml",
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(root)})  # noqa: S603 - our own tool
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.requirement("house:imports:down")
def test_imports_point_down() -> None:
    broken = broken_contracts(ROOT)
    assert not broken, broken


def test_a_planted_upward_import_breaks_a_contract(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sandbox", tmp_path / "sandbox", ignore=shutil.ignore_patterns("__pycache__", "*.csv"))
    with (tmp_path / "sandbox" / "stages.py").open("a") as file:
        file.write("\nimport sandbox.pipeline\n")

    assert "sandbox.stages is not allowed to import sandbox.pipeline" in broken_contracts(tmp_path)


@pytest.mark.requirement("house:imports:offline-verifier")
def test_the_offline_verifier_loads_no_service() -> None:
    program = (
        "import sys, sandbox.audit.verify, sandbox.cli.log; "
        "print(*sorted({'grpc', 'apsw', 'cedarpy', 'sqlglot', 'sandbox.app', 'sandbox.receipts'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter

    assert done.stdout.split() == []
