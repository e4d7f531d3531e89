"""Who makes a process for each statement on a DuckDB file, and who ends it? One helper process, asked over a socket.

The helper forks; what it forks belongs to one statement. The service holds a handle of it, which no other process can
come to have, and kills it when the statement is over, late or cancelled.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from typing import Final, final

from sandbox.confined import duckdb_process
from sandbox.confined.frames import Reply, Task, receive_reply, send
from sandbox.executors.ending import Over
from sandbox.stages import Cancellation

START_S: Final = 10.0
"""Within which a new process must be there."""
MAX_SPARE: Final = 2
"""Processes that are there ahead of their statement."""
_GONE_MS: Final = 1_000
"""Within which a killed one must be gone."""


class Lost(Exception):
    """The process ended by itself, or said what it could not."""


@final
class Process:
    """A process for one task, until the block ends."""

    def __init__(self, connection: socket.socket, handle: int, until: float, cancellation: Cancellation) -> None:
        """Hold what the helper gave; `until` is in `time.monotonic()` seconds."""
        self._connection = connection
        self._handle = handle
        self._until = until
        self._cancellation = cancellation

    def __enter__(self) -> Process:
        """Kill the process as soon as the call is cancelled."""
        self._cancellation.on_cancel(self._kill)
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whatever it does."""
        self._cancellation.forget(self._kill)
        self.close()

    def close(self) -> None:
        """Kill the process and wait until it is gone."""
        self._kill()
        gone = select.poll()
        gone.register(self._handle, select.POLLIN)
        gone.poll(_GONE_MS)  # with it goes its lock on the file
        os.close(self._handle)
        self._connection.close()

    def take(self) -> Reply:
        """Return what the process says next; raises `Over` or `Lost`."""
        try:
            self._connection.settimeout(max(self._until - time.monotonic(), 0.001))
            return receive_reply(self._connection)
        except (OSError, EOFError) as error:
            raise self._why(error) from error

    def _why(self, error: Exception) -> Over | Lost:
        is_over = isinstance(error, TimeoutError) or self._cancellation.is_cancelled
        return Over() if is_over or time.monotonic() >= self._until else Lost()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)


def _handle_of(connection: socket.socket) -> int:
    """Return the handle of the process at the other end; raises `EOFError` if there is none."""
    word, handles, _, _ = socket.recv_fds(connection, 1, 1)
    if not word or not handles:
        raise EOFError
    return handles[0]


@final
class _Helper:
    """A running helper, and processes of it that wait for their task; their handles have not been taken yet."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        self.spare: deque[socket.socket] = deque()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - this very Python
                [sys.executable, "-I", "-m", duckdb_process.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={"LANG": "C.UTF-8"},
                cwd="/",
            )

    def asked(self) -> socket.socket:
        """Ask for a process; its handle comes over what is returned. Raises `OSError` if the helper is gone."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self.control, [b"f"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def end(self) -> None:
        while self.spare:
            self.spare.popleft().close()
        self.control.close()
        self.process.kill()
        self.process.wait()


@final
class Host:
    """Asks the helper for processes, and starts it when it is not there."""

    def __init__(self) -> None:
        """Begin without a helper."""
        self._lock = threading.Lock()
        self._helper: _Helper | None = None
        self._end = weakref.finalize(self, int)
        """Ends the helper, also when nobody holds the host any more."""

    def process(self, task: Task, until: float, cancellation: Cancellation) -> Process:
        """Return a process that does the task; raises `Over`, or `Lost` where none can be made."""
        for _ in range(MAX_SPARE + 1):  # spare ones die with a helper that was killed
            with self._lock:
                ours = self._next()
            try:
                ours.settimeout(max(min(until - time.monotonic(), START_S), 0.001))
                process = Process(ours, _handle_of(ours), until, cancellation)
            except TimeoutError as error:
                ours.close()
                raise Over from error
            except (OSError, EOFError):
                ours.close()
                continue
            with contextlib.suppress(OSError):
                send(ours, task)
                return process
            process.close()
        raise Lost

    def close(self) -> None:
        """End the helper, and every process of it."""
        with self._lock:
            self._end()
            self._helper = None

    def _next(self) -> socket.socket:
        """Return a process that waits already, and have another made."""
        helper = self._helper
        if helper is not None:
            with contextlib.suppress(OSError):
                return self._filled(helper)
            self._end()
        self._helper = helper = _Helper()
        self._end = weakref.finalize(self, helper.end)
        return self._filled(helper)

    def _filled(self, helper: _Helper) -> socket.socket:
        while len(helper.spare) <= MAX_SPARE:
            helper.spare.append(helper.asked())
        return helper.spare.popleft()
