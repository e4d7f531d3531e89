"""What does a server process use? Its CPU time and memory, read from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@final
@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server and how to reach it."""

    pid: int
    address: str

    def cpu_s(self) -> float:
        """Return the CPU seconds, user and system, that the process has used (proc(5), `stat`)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_bytes(self) -> int:
        """Return the resident memory (proc(5), `statm`)."""
        return int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1]) * PAGE_BYTES


@contextmanager
def running(kind: str, root: Path) -> Iterator[ServerProcess]:
    """Start `sandbox.bench.server` in a process of its own, pinned to one core if there are two; stop it at the end."""
    command = [sys.executable, "-m", "sandbox.bench.server", kind, str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module
    try:
        _pin(process.pid, server=True)
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line.startswith("ready grpc="):
            raise RuntimeError(f"the {kind} server did not start: {line!r}")
        yield ServerProcess(process.pid, line.removeprefix("ready grpc=").strip())
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def client_core() -> Iterator[None]:
    """Keep this process off the server's core while it makes load."""
    before = os.sched_getaffinity(0)
    _pin(0, server=False)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _pin(pid: int, *, server: bool) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[0]} if server else set(cores[1:]))
