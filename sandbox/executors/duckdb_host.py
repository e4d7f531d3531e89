"""Who makes a process for each statement on a DuckDB file, and who ends it? One helper process, asked over a socket.

The helper forks; what it forks belongs to one statement. The service holds a handle of it, which no other process can
come to have, and kills it when the statement is over, late or cancelled. A helper that is let go ends with the last
statement under way, and with the service at once.
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
from collections.abc import Callable
from functools import partial
from typing import Final, final

from sandbox.confined.frames import Reply, Task, receive_reply, send
from sandbox.executors.ending import Over
from sandbox.stages import Cancellation

START_S: Final = 10.0
"""Within which a new process must be there."""
MAX_SPARE: Final = 2
"""Processes that are there ahead of their statement."""
_GONE_MS: Final = 1_000
"""Within which a killed one must be gone."""
_PROGRAM: Final = "sandbox.confined.duckdb_process"
"""What the helper runs. INVARIANT: it is named, never imported: DuckDB's code is not loaded into the service."""


class Lost(Exception):
    """The process ended by itself, or said what it could not."""


class NotMade(Exception):
    """No process can be made, for a reason that operators can read."""


@final
class Process:
    """A process for one task, until the block ends."""

    def __init__(
        self,
        connection: socket.socket,
        handle: int,
        until: float,
        cancellation: Cancellation,
        give_back: Callable[[], None],
    ) -> None:
        """Hold what the helper gave, and give it back; `until` is in `time.monotonic()` seconds."""
        self._connection = connection
        self._guard = threading.Lock()
        self._handle = handle
        self._until = until
        self._cancellation = cancellation
        self._give_back = give_back

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
        with self._guard:
            os.close(self._handle)
            self._handle = -1
        self._connection.close()
        self._give_back()

    def take(self) -> Reply:
        """Return what the process says next; raises `Over` or `Lost`."""
        try:
            return receive_reply(self._connection, self._until)
        except (OSError, EOFError) as error:
            raise self._why(error) from error

    def _why(self, error: Exception) -> Over | Lost:
        is_over = isinstance(error, TimeoutError) or self._cancellation.is_cancelled
        return Over() if is_over or time.monotonic() >= self._until else Lost()

    def _kill(self) -> None:
        with self._guard, contextlib.suppress(ProcessLookupError):
            if self._handle >= 0:  # INVARIANT: a late cancellation never reaches a descriptor used anew
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

    def __init__(self, host: Host) -> None:
        self.running = 0
        """Calls that have a process of it."""
        self.control, theirs = socket.socketpair()
        self._spare: deque[socket.socket] = deque()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - this very Python
                [sys.executable, "-I", "-m", _PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={"LANG": "C.UTF-8"},
                cwd="/",
            )
        self.end = weakref.finalize(host, self._end)
        """Ends it once, with every process of it; also when nobody holds the host any more, and with the service."""

    def next(self) -> socket.socket:
        """Return a process that waits already, and have another made; its handle comes over what is returned.

        Raises `OSError` if the helper is gone.
        """
        while len(self._spare) <= MAX_SPARE:
            self._spare.append(self._asked())
        return self._spare.popleft()

    def _asked(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self.control, [b"f"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def _end(self) -> None:
        while self._spare:
            self._spare.popleft().close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # nobody has waited for it, so the number is still its own
        self.process.wait()
        self.control.close()


@final
class Host:
    """Asks the helper for processes, and starts it when it is not there."""

    def __init__(self) -> None:
        """Begin without a helper."""
        self._lock = threading.Lock()
        self._helper: _Helper | None = None

    def process(self, task: Task, until: float, cancellation: Cancellation) -> Process:
        """Return a process that does the task; raises `Over`, or `NotMade`."""
        for _ in range(MAX_SPARE + 1):  # spare ones die with a helper that was killed
            helper, ours = self._next()
            give_back = partial(self._give_back, helper)
            try:
                ours.settimeout(max(min(until - time.monotonic(), START_S), 0.001))
                process = Process(ours, _handle_of(ours), until, cancellation, give_back)
            except (OSError, EOFError) as error:
                ours.close()
                give_back()
                if isinstance(error, TimeoutError):
                    raise (Over() if time.monotonic() >= until else NotMade("the helper does not answer")) from error
                continue
            with contextlib.suppress(OSError):
                send(ours, task)
                return process
            process.close()
        raise NotMade(self._end_of_helper())

    def close(self) -> None:
        """Let the helper go: it ends now, or with the last call under way."""
        with self._lock:
            self._let_go()

    def _next(self) -> tuple[_Helper, socket.socket]:
        """Return the helper, started where there is none, and a process of it for one call; raises `NotMade`."""
        with self._lock:
            helper = self._helper
            if helper is not None:
                with contextlib.suppress(OSError):
                    ours = helper.next()
                    helper.running += 1
                    return helper, ours
                self._let_go()
            try:
                self._helper = helper = _Helper(self)
                ours = helper.next()
            except OSError as error:
                raise NotMade(f"the helper cannot be started ({type(error).__name__})") from error
            helper.running += 1
            return helper, ours

    def _end_of_helper(self) -> str:
        """Let go of a helper that makes no process; returns what operators are told of it."""
        with self._lock:
            helper = self._helper
            self._let_go()
        status = None if helper is None else helper.process.returncode
        return "the helper makes no process" if status is None else f"the helper ended with status {status}"

    def _give_back(self, helper: _Helper) -> None:
        with self._lock:
            helper.running -= 1
            if helper is not self._helper and not helper.running:
                helper.end()

    def _let_go(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None and not helper.running:
            helper.end()
