"""Which processes is a running `sandbox serve`? Its parent and workers, their memory, and their end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, final

from sandbox.deployment import Deployment

END_WITHIN_S: Final = 60.0


@final
@dataclass(frozen=True, slots=True)
class Served:
    """A running service."""

    process: subprocess.Popen[str]
    address: str

    def workers(self) -> list[int]:
        """Return the workers' processes, in the order in which they were started; none of a service in one process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        return [int(pid) for pid in children.split()]

    def kill(self) -> None:
        """Kill all of it at once: parent and workers; returns when they are gone."""
        pids = self.workers()
        lives = [os.pidfd_open(pid) for pid in pids]
        self.process.kill()
        for life in lives:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(life, signal.SIGKILL)
        self.process.wait(END_WITHIN_S)
        for life in lives:
            select.select([life], [], [], END_WITHIN_S)
            os.close(life)

    def end(self) -> None:
        """Have it drain and end; raises `SystemExit` unless it ends well."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(END_WITHIN_S)
        if code:
            raise SystemExit(f"the service ended with {code}")


@contextmanager
def serving(deployment: Deployment, workers: int, events: IO[str]) -> Iterator[Served]:
    """Run `sandbox serve` over the deployment for the block; its events go to the file `events`."""
    command = [sys.executable, "-m", "sandbox.cli.main", "serve", "--workers", str(workers)]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--listen", "127.0.0.1:0", "--deployment", str(deployment.root)],
        stdout=subprocess.PIPE,
        stderr=events,
        text=True,
    )
    try:
        ready = process.stdout.readline() if process.stdout is not None else ""
        if not ready.startswith("ready grpc="):
            raise SystemExit(f"the service did not start: {Path(events.name).read_text('utf-8')[-2000:]}")
        yield Served(process, ready.split()[1].removeprefix("grpc="))
    finally:
        process.kill()
        process.communicate()


def memory_mib(pid: int) -> float:
    """Return the anonymous part of the proportional set size (proc(5), `smaps_rollup`): what the process itself wrote.

    Proportional, so that processes can be added up; anonymous, for the share of a library's pages depends on who else
    has the library open, and falls and rises with processes that have nothing to do with this one.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"the memory of process {pid} cannot be read")
