"""What connects workers? Sockets and memory without an address, which the parent makes and they inherit."""

from __future__ import annotations

import mmap
import os
import socket
from typing import final

from sandbox.limits.shared import MAX_PROCESSES


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Return the receiving and the sending end of one worker: messages arrive whole or not at all."""
    receiving, sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return receiving, sending


@final
class Roll:
    """Who is there: a byte a worker, in memory that parent and workers share."""

    def __init__(self, descriptor: int) -> None:
        """Read and write the memory behind `make`'s descriptor."""
        self._there = mmap.mmap(descriptor, MAX_PROCESSES)

    @staticmethod
    def make() -> int:
        """Return the descriptor of a new roll, with nobody there."""
        descriptor = os.memfd_create("sandbox-roll")
        os.ftruncate(descriptor, MAX_PROCESSES)
        return descriptor

    def enter(self, worker: int) -> None:
        """Note that a worker answers questions."""
        self._there[worker] = 1

    def leave(self, worker: int) -> None:
        """Note that a worker is dead, so that nobody waits for it."""
        self._there[worker] = 0

    def others(self, worker: int) -> list[int]:
        """Return who else is there."""
        return [other for other, is_there in enumerate(self._there[:]) if is_there and other != worker]
