"""What is a worker to its parent, and what do all of them share? Processes, pipes, and memory without a name."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self, final

from sandbox.limits.shared import give_back, make_memory
from sandbox.presence import Addresses
from sandbox.workers.lines import Roll, make_pair
from sandbox.workers.orders import READY, Orders

# WHY: fresh interpreters, not copies of this one: gRPC does not outlive a fork. -P, for a folder named like us in the
# working directory is not us.
COMMAND: Final = (sys.executable, "-P", "-m", "sandbox.cli.main", "worker")

SECRET_BYTES: Final = 32
MAX_TOLD: Final = 256
"""Bytes of what a worker says of itself."""


@final
class Worker:
    """One worker's place, and the process that has it now."""

    def __init__(self, number: int) -> None:
        """Begin without a process."""
        self.number = number
        self.is_alive = False
        """Whether there is a process that has not been buried."""
        self.is_ready = False
        """Whether it answers calls."""
        self.tools = 0
        """How many it offers, once it is ready."""
        self.started_at = 0.0
        self.life = self.told = self._orders = -1

    def start(self, inherited: list[int]) -> None:
        """Begin a process, which waits for orders.

        `life` is readable once it has ended (pidfd_open(2)), `told` when it says something. Raises `OSError` where the
        system gives no process or descriptor, and leaves none behind.
        """
        with ExitStack() as theirs, ExitStack() as ours:
            stdin, orders = os.pipe()
            theirs.callback(os.close, stdin)
            ours.callback(os.close, orders)
            told, stdout = os.pipe()
            theirs.callback(os.close, stdout)
            ours.callback(os.close, told)
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                COMMAND,
                stdin=stdin,
                stdout=stdout,
                pass_fds=inherited,
                process_group=0,  # what a terminal sends to us is ours to pass on
            )
            ours.callback(self._process.wait)
            ours.callback(self._process.kill)
            self.life, self.told, self._orders = os.pidfd_open(self._process.pid), told, orders
            ours.pop_all()
        self.is_alive, self.started_at = True, time.monotonic()

    def tell(self, word: bytes) -> None:
        """Write to the process, if there is one."""
        if self.is_alive:
            with suppress(OSError):  # it has just died
                os.write(self._orders, word)

    def hear(self) -> bool:
        """Take what the process has said; False once it will say nothing more."""
        said = os.read(self.told, MAX_TOLD).decode("ascii", "replace").split()
        if said[:1] == [READY]:
            self.is_ready, self.tools = True, int(said[1])
        return bool(said)

    def bury(self) -> int:
        """Let go of a process that has ended; returns its exit code, negative for a signal."""
        code = self._process.wait()
        for descriptor in (self.life, self.told, self._orders):
            os.close(descriptor)
        self.is_alive = self.is_ready = False
        return code


@final
class Crew:
    """The workers of one service, and what they share, which outlives each of them."""

    def __init__(self, root: Path, addresses: Addresses, grace_s: float, workers: int, lock: int) -> None:
        """Make what they share. They inherit `lock`, so that no other service begins before the last has ended."""
        self._root = root
        self._addresses = addresses
        self._grace_s = grace_s
        self._lock = lock
        self._secret = secrets.token_hex(SECRET_BYTES)
        self._counts = make_memory()
        self._roll_memory = Roll.make()
        self._roll = Roll(self._roll_memory)
        self._lines: list[tuple[socket.socket, socket.socket]] = [make_pair() for _ in range(workers)]
        self.workers = [Worker(number) for number in range(workers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for receiving, sending in self._lines:
            receiving.close()
            sending.close()
        for descriptor in (self._counts, self._roll_memory):
            os.close(descriptor)

    def start(self, worker: Worker) -> None:
        """Start a worker's process; raises `OSError`."""
        receiving, sending = self._lines_of(worker)
        worker.start([self._lock, self._counts, self._roll_memory, receiving, *sending])

    def order(self, worker: Worker) -> None:
        """Let a worker that was started serve."""
        receiving, sending = self._lines_of(worker)
        orders = Orders(
            root=str(self._root),
            listen=self._addresses.grpc,
            http_listen=self._addresses.http,
            grace_s=self._grace_s,
            worker=worker.number,
            workers=len(self.workers),
            secret=self._secret,
            counts=self._counts,
            roll=self._roll_memory,
            receiving=receiving,
            sending=sending,
        )
        worker.tell(orders.line())

    def bury(self, worker: Worker) -> int:
        """Free what a worker that has ended still held; returns its exit code."""
        code = worker.bury()
        self._roll.leave(worker.number)
        give_back(self._counts, worker.number)
        return code

    def _lines_of(self, worker: Worker) -> tuple[int, list[int]]:
        return self._lines[worker.number][0].fileno(), [sending.fileno() for _, sending in self._lines]

    def tell(self, word: bytes) -> None:
        """Write to every worker."""
        for worker in self.workers:
            worker.tell(word)
