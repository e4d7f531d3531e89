"""What does a server process use? Its CPU time and memory, read from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

_SCHEDULED: Final = 2
"""The CPU clock of another process, as clock_getcpuclockid(3) makes its id: the inverted pid and this kind of clock."""
END_WITHIN_S: Final = 60.0
"""A process that was told to end and has not is killed."""
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@final
@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server and how to reach it."""

    pid: int
    address: str
    http: str = ""
    """Where its HTTP door is, if it has one."""

    def cpu_s(self) -> float:
        """Return the CPU seconds, user and system, that all threads of the process have used, to the nanosecond."""
        return time.clock_gettime(~self.pid << 3 | _SCHEDULED)

    def resident_bytes(self) -> int:
        """Return the resident memory (proc(5), `statm`)."""
        return int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1]) * PAGE_BYTES


@contextmanager
def child(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of ours in a process of its own for the block; closing its stdin ends it."""
    with _ended_by_stdin([sys.executable, "-m", module, *arguments]) as process:
        yield process


@contextmanager
def _ended_by_stdin(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(timeout=END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()  # its folder goes next


def first_line(process: subprocess.Popen[str]) -> str:
    """Wait for the line with which a child says that it is ready; empty if it ended instead."""
    return process.stdout.readline() if process.stdout is not None else ""


@contextmanager
def running(kind: str, root: Path) -> Iterator[ServerProcess]:
    """Start `sandbox.bench.server` in a process of its own, pinned to one core if there are two; stop it at the end."""
    with child("sandbox.bench.server", kind, str(root)) as process:
        _pin(process.pid, server=True)  # before it has threads: those inherit it
        line = first_line(process)
        if not line.startswith("ready grpc="):
            raise RuntimeError(f"the {kind} server did not start: {line!r}")
        address, _, http = line.removeprefix("ready grpc=").strip().partition(" http=")
        yield ServerProcess(process.pid, address, http)


@contextmanager
def running_file(name: str, *arguments: str, python: str = "") -> Iterator[ServerProcess]:
    """Run a file of this folder by another Python, or by ours, pinned and ended as `running` does it."""
    command = [python or sys.executable, str(Path(__file__).with_name(name)), *arguments]
    with _ended_by_stdin(command) as process:
        _pin(process.pid, server=True)
        line = first_line(process)
        if not line.startswith("ready grpc="):
            raise RuntimeError(f"{name} did not start: {line!r}")
        yield ServerProcess(process.pid, line.removeprefix("ready grpc=").strip())


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
